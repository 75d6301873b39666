"""Three-dimensional views: exact, spherical, principal directions, four classes; and captures in these views."""

import math

import numpy as np
import pytest

import ncengine as nc
from ncengine.geometry.projections import project_capture
from ncengine.geometry.views import (
    SHIPPED,
    aligned_pca,
    block_size,
    cosine_block_size,
    fibonacci_spherical,
    simplex_rows,
    stream_projection,
    tetrahedron_matrix,
    view_matrix,
    view_name,
)


@pytest.mark.parametrize("classes", [6, 8, 10, 47, 64, 65, 100, 129, 333, 1000])
def test_spherical_view_keeps_vertices_on_a_sphere(classes):
    points = nc.simplex_etf(classes).numpy() @ view_matrix(classes)
    norms = np.linalg.norm(points, axis=1)
    assert norms.mean() == pytest.approx(1, abs=5e-3)
    assert norms.std() / norms.mean() < 1e-5
    directions = points / norms[:, None]
    angle = np.degrees(np.arccos((directions @ directions.T)[~np.eye(classes, dtype=bool)].max()))
    # Even spreading gives about 200/√K degrees; a view with two names on one spot would fail.
    assert angle > 0.8 * 198 / math.sqrt(classes)


def test_there_is_a_spherical_view_of_every_number_of_classes():
    for classes in [*range(5, 66), *range(66, 1001, 37), 1000]:
        projection = view_matrix(classes).astype(np.float64) / math.sqrt((classes - 1) / 3)
        np.testing.assert_allclose(projection.T @ projection, np.eye(3), atol=1e-4, err_msg=str(classes))
        norms = np.linalg.norm(nc.simplex_etf(classes).numpy() @ view_matrix(classes), axis=1)
        # Five such points do not exist: their complement would be five numbers ±a that sum to zero.
        assert norms.std() / norms.mean() < (0.07 if classes == 5 else 1e-5), classes


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_small_views_are_exact(classes):
    vertices = nc.simplex_etf(classes).numpy()
    points = vertices @ view_matrix(classes)
    assert (points.shape, points.dtype) == ((classes, 3), np.float32)
    np.testing.assert_allclose(points @ points.T, vertices @ vertices.T, atol=1e-6)


def test_views_of_up_to_64_classes_are_the_shipped_ones():
    with np.load(SHIPPED) as stored:
        assert stored.files == [f"K{classes}" for classes in range(5, 65)]
        for classes in (5, 64):
            expected = stored[f"K{classes}"] * math.sqrt((classes - 1) / 3)
            np.testing.assert_allclose(view_matrix(classes), expected, rtol=1e-6)


def test_from_65_classes_on_a_view_is_the_fibonacci_lattice():
    """Each vertex lies near its point of the lattice, written here as a spiral of the golden angle."""
    found = fibonacci_spherical(100)
    assert found.dtype == np.float32
    points = simplex_rows(100) @ found
    golden_angle = math.pi * (1 + math.sqrt(5))
    for index, point in enumerate(points):
        height = 1 - (2 * index + 1) / 100
        angle = golden_angle * (index + 0.5)
        radius = math.sqrt(1 - height**2)
        lattice = np.array([radius * math.cos(angle), radius * math.sin(angle), height])
        # Making the frame tight and centred moves points by up to 0.03.
        assert np.linalg.norm(point / np.linalg.norm(point) - lattice) < 0.05
    # Shipped views end at 64 classes, so the one of 65 is this.
    np.testing.assert_allclose(view_matrix(65), fibonacci_spherical(65) * math.sqrt(64 / 3), rtol=1e-6)


def test_six_classes_are_an_octahedron():
    """Shipped views are the best of several optimisations; of six points the best arrangement is known."""
    points = simplex_rows(6) @ view_matrix(6)
    # Each vertex has one opposite and four at right angles.
    np.testing.assert_allclose(np.sort(points @ points.T, axis=1), [[-1, 0, 0, 0, 0, 1]] * 6, atol=1e-3)


# Principal directions


def test_principal_directions_of_a_simplex_stay_where_they_were():
    rng = np.random.default_rng(0)
    vertices = simplex_rows(10).astype(np.float64)
    first = aligned_pca(vertices, None)
    np.testing.assert_allclose(first.T @ first, np.eye(3), atol=1e-6)
    for _ in range(20):
        second = aligned_pca(vertices + 1e-4 * rng.normal(size=vertices.shape), first)
        np.testing.assert_allclose(second, first, atol=0.05)


def test_principal_directions_are_those_of_the_points_where_they_differ():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(30, 8)) * [9, 7, 5, 1, 1, 1, 1, 1]
    leading = np.linalg.eigh(points.T @ points)[1][:, -3:]
    found = aligned_pca(points, aligned_pca(rng.normal(size=(30, 8)), None))
    np.testing.assert_allclose(np.linalg.svd(found.T @ leading)[1], 1, atol=0.01)
    assert aligned_pca(points[:, :2], None).shape == (2, 3)


def on_axes(*eigenvalues):
    """Return points whose second moments are diagonal with these eigenvalues."""
    return np.diag(np.sqrt(eigenvalues))


@pytest.mark.parametrize(("gap", "stays"), [(0.0095, True), (0.0105, False)])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_hundredth_of_the_largest_eigenvalue_decides_for_the_previous_direction(gap, stays, scale):
    """Of the third and fourth eigenvalue the fourth's direction was shown before; it stays if the gap is small."""
    before = np.eye(4)[:, [0, 1, 3]]
    found = aligned_pca(scale * on_axes(1, 0.9, 0.5, 0.5 - gap), before)
    np.testing.assert_allclose(found, before if stays else np.eye(4)[:, [0, 1, 2]] @ _best_turn(before), atol=1e-6)


def _best_turn(before):
    left, _, right = np.linalg.svd(np.eye(4)[:, :3].T @ before)
    return left @ right


def test_without_previous_directions_the_largest_coordinate_is_positive():
    turn = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))[0]
    for signs in np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, -1).T:
        axes = turn * [*signs, 1, 1]
        found = aligned_pca(on_axes(9, 7, 5, 2, 1) @ axes.T, None)
        assert found.dtype == np.float32
        largest = found[np.abs(found).argmax(axis=0), range(3)]
        np.testing.assert_allclose(largest, np.abs(turn[:, :3]).max(axis=0), rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_directions_that_do_not_exist_are_zero_columns(rank):
    found = aligned_pca(on_axes(*range(rank, 0, -1)), None)
    np.testing.assert_allclose(found, np.eye(rank, 3), atol=1e-6)


def test_three_previous_directions_are_followed_in_three_dimensions():
    before = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    np.testing.assert_allclose(aligned_pca(on_axes(3, 2, 1), before), before, atol=1e-6)


def test_previous_directions_of_another_dimension_are_left_out():
    points = on_axes(4, 3, 2, 1)
    np.testing.assert_array_equal(aligned_pca(points, np.eye(5, 3)), aligned_pca(points, None))
    np.testing.assert_array_equal(aligned_pca(points[:, :2], np.eye(2, 3)), aligned_pca(points[:, :2], None))


def test_points_that_are_all_zero_have_some_directions():
    found = aligned_pca(np.zeros((6, 5)), None)
    np.testing.assert_allclose(found.T @ found, np.eye(3), atol=1e-6)
    np.testing.assert_allclose(aligned_pca(np.zeros((6, 5)), np.eye(5, 3)), np.eye(5, 3), atol=1e-6)


# Four classes


@pytest.mark.parametrize("classes", [4, 10, 1000])
def test_four_classes_are_a_tetrahedron_and_the_rest_its_centre(classes):
    four = (0, 2, 3, 1) if classes == 4 else (7, 0, 3, 5)
    matrix = tetrahedron_matrix(classes, four)
    assert matrix.dtype == np.float32
    vertices = nc.simplex_etf(classes).numpy() @ matrix
    np.testing.assert_allclose(np.linalg.norm(vertices[list(four)], axis=1), 1, atol=1e-5)
    cosines = vertices[list(four)] @ vertices[list(four)].T
    np.testing.assert_allclose(cosines, 4 / 3 * np.eye(4) - 1 / 3, atol=1e-5)
    rest = np.delete(vertices, list(four), axis=0)
    np.testing.assert_allclose(rest, 0, atol=1e-5)


@pytest.mark.parametrize("four", [(1, 1, 2, 3), (0, 1, 2), (0, 1, 2, 3, 4), (0, 1, 2, 10), (-1, 0, 1, 2)])
def test_what_are_not_four_classes_is_refused(four):
    with pytest.raises(ValueError, match=r"classes must be 4 different ones of 0 … 9, got \["):
        tetrahedron_matrix(10, four)
    assert tetrahedron_matrix(10, (0, 1, 2, 9)).shape == (9, 3)


# What depends on the number of classes alone


@pytest.mark.parametrize("classes", [2, 3, 5, 129])
def test_vertices_without_torch_are_those_of_torch(classes):
    found = simplex_rows(classes)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, nc.simplex_etf(classes).numpy(), atol=1e-6)


def test_limits_of_views_are_where_they_are_documented():
    assert [view_name(classes) for classes in (2, 3, 4, 5)] == ["line", "triangle", "tetrahedron", "spherical"]
    assert stream_projection(128) is None
    np.testing.assert_array_equal(stream_projection(129), view_matrix(129))
    assert [cosine_block_size(classes) for classes in (2, 128, 129, 192, 193, 1000)] == [1, 1, 3, 3, 4, 16]
    assert [block_size(classes) for classes in (2, 64, 65, 128, 129, 1000)] == [1, 1, 2, 2, 3, 16]
    with pytest.raises(ValueError, match="a view needs at least 2 classes, got 1"):
        view_matrix(1)


# Captures


def capture_of(classes, samples=6, seed=0):
    """Return the arrays of a capture, with the coordinates of both views that a large one has."""
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
    arrays = {"means": normal(classes, min(classes - 1, 3)), "labels": np.arange(samples, dtype=np.int32)}
    arrays["pca"] = np.linalg.qr(normal(classes - 1, classes - 1))[0][:, :3]
    if classes > 128:
        for name in ("means", "weights"):
            arrays[f"{name}_whole"] = normal(classes, classes - 1)
        arrays["features_pca"] = normal(samples, 3)
    return arrays


def norms_of_vertices(seen):
    return np.linalg.norm(seen.vertices @ seen.matrix, axis=1)


@pytest.mark.parametrize("classes", [2, 3, 10, 128])
def test_up_to_128_classes_a_view_is_a_matrix_for_the_streamed_coordinates(classes):
    arrays = capture_of(classes)
    seen = project_capture(arrays, "pca", ())
    assert seen.arrays == {}
    np.testing.assert_array_equal(seen.vertices, simplex_rows(classes))
    np.testing.assert_allclose(seen.matrix, arrays["pca"] * max(1, math.sqrt((classes - 1) / 3)), rtol=1e-6)
    # Vertices keep a mean square norm of one; with two or three classes all dimensions are shown.
    assert np.square(norms_of_vertices(seen)).mean() == pytest.approx(1, rel=1e-5)
    if classes > 4:
        four = project_capture(arrays, "tetrahedron", (7, 0, 3, 5))
        assert four.arrays == {}
        np.testing.assert_array_equal(four.matrix, tetrahedron_matrix(classes, (7, 0, 3, 5)))


@pytest.mark.parametrize("view", ["pca", "tetrahedron"])
def test_above_128_classes_the_coordinates_are_projected_here(view):
    arrays, four = capture_of(150), (7, 0, 3, 149)
    seen = project_capture(arrays, view, four)
    matrix = arrays["pca"] * math.sqrt(149 / 3) if view == "pca" else tetrahedron_matrix(150, four)
    np.testing.assert_array_equal(seen.matrix, np.eye(3, dtype=np.float32))
    assert seen.matrix.dtype == np.float32
    np.testing.assert_allclose(seen.vertices, simplex_rows(150) @ matrix, atol=1e-5)
    assert set(seen.arrays) == {"means", "weights", "features", "labels"}
    for name in ("means", "weights"):
        np.testing.assert_allclose(seen.arrays[name], arrays[f"{name}_whole"] @ matrix, rtol=1e-4, atol=1e-4)
    features, labels = seen.arrays["features"], seen.arrays["labels"]
    assert (features.dtype, labels.dtype) == (np.float32, np.int32)
    if view == "pca":
        np.testing.assert_allclose(features, arrays["features_pca"] * math.sqrt(149 / 3), rtol=1e-6)
        np.testing.assert_array_equal(labels, arrays["labels"])
    else:
        # Features of a capture this large are kept along principal directions only.
        assert (features.shape, labels.shape) == ((0, 3), (0,))


def test_views_that_a_capture_does_not_have_are_refused():
    arrays = capture_of(10)
    with pytest.raises(ValueError, match="view must be the run's own or one of pca, tetrahedron, got 'sideways'"):
        project_capture(arrays, "sideways", ())
    del arrays["pca"]
    with pytest.raises(ValueError, match="made by an older version"):
        project_capture(arrays, "pca", ())
    assert project_capture(arrays, "tetrahedron", (0, 1, 2, 3)).matrix.shape == (9, 3)
