"""The nearest ETF: against the unreduced problem, gradcheck, equivariance, degenerate input, two routes."""

import math

import numpy as np
import pytest
import torch

import ncengine as nc
from ncengine.geometry.polar import floor_hits
from ncengine.geometry.sphere import on_sphere
from ncengine.geometry.views import optimise_spherical, view_matrix


def centred_means(features, classes, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(features, classes, generator=generator, dtype=dtype)
    return means - means.mean(1, keepdim=True)


def frame(features, rank, seed=1, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(features, rank, generator=generator, dtype=dtype)).Q


@pytest.mark.parametrize("classes", [2, 3, 4, 10, 100])
def test_simplex_basis_and_etf(classes):
    basis = nc.simplex_basis(classes, dtype=torch.float64)
    etf = nc.simplex_etf(classes, dtype=torch.float64)
    projector = torch.eye(classes, dtype=torch.float64) - 1 / classes
    torch.testing.assert_close(basis.T @ basis, torch.eye(classes - 1, dtype=torch.float64))
    torch.testing.assert_close(basis @ basis.T, projector)
    torch.testing.assert_close(etf @ etf.T, projector * classes / (classes - 1))


@pytest.mark.parametrize(("features", "classes"), [(20, 5), (4, 4), (64, 10)])
def test_agrees_with_the_unreduced_problem(features, classes):
    """U* = polar((2/√(K−1)) H̃ M + δ U_prox) over St(d, K), as the paper states it; only U M enters the classifier."""
    means, delta = centred_means(features, classes), 1e-3
    basis = nc.simplex_basis(classes, dtype=torch.float64)
    projector = basis @ basis.T
    previous_U = frame(features, classes)
    normalised = means / means.norm()
    left, _, right = torch.linalg.svd(
        2 / math.sqrt(classes - 1) * normalised @ projector + delta * previous_U, full_matrices=False
    )
    expected = left @ right @ projector
    found = nc.nearest_etf(means, None, delta=delta) @ basis.T
    # The unreduced proximal term couples to U1, the reduced one does not: they differ by the order of delta.
    torch.testing.assert_close(found, expected, atol=5 * delta, rtol=0)
    without = torch.linalg.svd(normalised @ basis, full_matrices=False)
    torch.testing.assert_close(found, without.U @ without.Vh @ basis.T, atol=1e-10, rtol=0)


@pytest.mark.parametrize("with_previous", [False, True])
@pytest.mark.parametrize(("features", "classes"), [(7, 4), (3, 4), (5, 2)])
def test_gradcheck(features, classes, with_previous):
    previous = frame(features, classes - 1) if with_previous else None
    means = centred_means(features, classes).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: nc.nearest_etf(m, previous, delta=0.1), (means,), atol=1e-6)


def test_gradcheck_of_the_polar_factor():
    assert torch.autograd.gradcheck(nc.polar, (torch.randn(6, 4, dtype=torch.float64, requires_grad=True),), atol=1e-6)


@pytest.mark.parametrize("condition", [1.0, 900.0, 1100.0, 1e7])
def test_both_ways_to_the_polar_factor_are_exact(condition):
    """Eigenvectors of AᵀA up to a condition number of 1/WELL_CONDITIONED = 1000, the SVD beyond."""
    left, right = frame(40, 6), frame(6, 6, seed=2)
    matrix = left @ torch.diag(torch.logspace(0, -math.log10(condition), 6, dtype=torch.float64)) @ right.T
    # 1e-16 κ² for the eigenvectors, 1e-16 κ for the SVD.
    torch.testing.assert_close(nc.polar(matrix), left @ right.T, atol=1e-9, rtol=0)


def test_features_on_a_sphere():
    features = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(on_sphere(features, 3.0), 3 * features / features.norm(dim=1, keepdim=True))
    assert torch.autograd.gradcheck(lambda f: on_sphere(f, 3.0), (features,))
    zero = torch.zeros(2, 7, requires_grad=True)
    on_sphere(zero, 3.0).sum().backward()
    assert torch.equal(on_sphere(zero, 3.0), zero)
    assert torch.isfinite(zero.grad).all()


def test_equivariant_under_rotation_and_invariant_under_scale():
    means, turn = centred_means(12, 5), frame(12, 12, seed=4)
    found = nc.nearest_etf(means)
    torch.testing.assert_close(nc.nearest_etf(turn @ means), turn @ found)
    torch.testing.assert_close(nc.nearest_etf(13 * means), found)


def test_no_other_etf_is_nearer():
    means = centred_means(12, 5)
    normalised, basis = means / means.norm(), nc.simplex_basis(5, dtype=torch.float64)
    distance = lambda r: float((normalised - r @ basis.T / 2).norm() ** 2)
    best = distance(nc.nearest_etf(means))
    assert all(distance(frame(12, 4, seed=s)) > best for s in range(200))
    assert nc.measure(means.T, torch.arange(5)).scalars["etf_distance_means"] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize(("features", "classes"), [(512, 10), (16, 4)])
def test_closed_form_and_riemannian_optimiser_agree(features, classes):
    means, previous = centred_means(features, classes), frame(features, classes - 1)
    target = torch.randn(features, classes - 1, dtype=torch.float64)
    solutions, gradients = [], []
    for solver in ("polar", "riemannian"):
        leaf = means.clone().requires_grad_()
        solution = nc.nearest_etf(leaf, previous, solver=solver)
        (solution * target).sum().backward()
        solutions.append(solution.detach())
        gradients.append(leaf.grad)
    torch.testing.assert_close(*solutions, atol=1e-7, rtol=0)
    torch.testing.assert_close(*gradients, atol=1e-6, rtol=1e-5)


def test_all_zero_means_return_the_previous_frame_or_unit_vectors():
    zeros = torch.zeros(6, 4, requires_grad=True)
    previous = frame(6, 3, dtype=torch.float32)
    torch.testing.assert_close(nc.nearest_etf(zeros, previous), previous)
    found = nc.nearest_etf(zeros)
    torch.testing.assert_close(found, torch.eye(6, 3))
    found.sum().backward()
    assert torch.isfinite(zeros.grad).all()


@pytest.mark.parametrize("missing", [1, 3, 4])
def test_collapsed_or_missing_classes_give_finite_gradients(missing):
    means = centred_means(8, 5, dtype=torch.float32)
    means[:, :missing] = 0
    leaf = means.clone().requires_grad_()
    before = floor_hits()
    found = nc.nearest_etf(leaf, None)
    (found * torch.randn_like(found)).sum().backward()
    assert torch.isfinite(leaf.grad).all()
    torch.testing.assert_close(found.T @ found, torch.eye(4))
    assert (floor_hits() > before) == (missing > 1), "the floor is counted where it bit, and only there"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3, 5), None), "at least 4 features"),
        ((torch.zeros(5), None), "one column a class"),
        ((torch.zeros(6, 4), torch.zeros(6, 4)), r"must be \(6, 3\)"),
    ],
)
def test_bad_shapes_say_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        nc.nearest_etf(*arguments)
    with pytest.raises(ValueError, match="delta"):
        nc.nearest_etf(torch.zeros(6, 4), delta=-1)


def test_weights_are_a_simplex_etf():
    weights = nc.etf_weights(frame(9, 4))
    expected = (torch.eye(5, dtype=torch.float64) - 0.2) * 1.25
    torch.testing.assert_close(weights @ weights.T, expected)


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
    np.testing.assert_allclose(points @ points.T, vertices @ vertices.T, atol=1e-6)


def test_computed_views_are_deterministic():
    first, second = (optimise_spherical(7, steps=20, starts=1) for _ in range(2))
    np.testing.assert_array_equal(first, second)
