"""The nearest ETF: against the unreduced problem, gradcheck, equivariance, degenerate input, two routes."""

import math

import pytest
import torch

import ncengine as nc
from ncengine.geometry import polar as polar_module
from ncengine.geometry.class_means import batch_shares
from ncengine.geometry.nearest_etf import first_frame, nearest_etf_vjp, solve
from ncengine.geometry.newton_schulz import newton_schulz_polar
from ncengine.geometry.polar import _FloorCounter, bounded, floor_hits, polar_factor
from ncengine.geometry.riemannian import maximise_alignment
from ncengine.geometry.simplex import constant
from ncengine.geometry.sphere import on_sphere


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


def test_short_features_and_means_are_scaled_as_long_ones_are():
    """The bounds of norms are for zeros alone: a gradient grows as its input shrinks."""
    features = torch.randn(5, 7, dtype=torch.float64)
    torch.testing.assert_close(on_sphere(1e-9 * features, 3.0), on_sphere(features, 3.0))
    gradients = []
    for scale in (1.0, 1e-9):
        leaf = (scale * centred_means(7, 4)).requires_grad_()
        (nc.nearest_etf(leaf, frame(7, 3), delta=0.5) * frame(7, 3, seed=5)).sum().backward()
        gradients.append(scale * leaf.grad)
    torch.testing.assert_close(*gradients)


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


def test_a_delta_of_zero_is_no_proximal_term_and_the_default_is_a_thousandth():
    means, previous = centred_means(7, 4), frame(7, 3)
    torch.testing.assert_close(nc.nearest_etf(means, previous, delta=0), nc.nearest_etf(means), atol=0, rtol=0)
    torch.testing.assert_close(
        nc.nearest_etf(means, previous), nc.nearest_etf(means, previous, delta=1e-3), atol=0, rtol=0
    )


def test_a_later_change_of_the_previous_frame_does_not_reach_the_gradient():
    """The head overwrites its frame before the backward pass."""
    means, gradients = centred_means(7, 4), []
    for overwrites in (False, True):
        leaf, previous = means.clone().requires_grad_(), frame(7, 3)
        found = nc.nearest_etf(leaf, previous, delta=0.5)
        if overwrites:
            previous.fill_(9)
        (found * frame(7, 3, seed=5)).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients, atol=0, rtol=0)


@pytest.mark.parametrize("solver", ["polar", "matmul", "riemannian"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lower_precisions_are_computed_in_float64_and_returned_in_float32(solver, dtype):
    means, previous = centred_means(12, 5).to(dtype), frame(12, 4).to(dtype)
    leaf = means.clone().requires_grad_()
    found = nc.nearest_etf(leaf, previous, delta=0.1, solver=solver)
    assert found.dtype == torch.float32
    found.sum().backward()
    assert leaf.grad.dtype == dtype
    exact_leaf = means.double().requires_grad_()
    exact = nc.nearest_etf(exact_leaf, previous.double(), delta=0.1)
    exact.sum().backward()
    # One rounding to float32; the gradient once more to the dtype of the means.
    torch.testing.assert_close(found, exact.float(), atol=3e-7, rtol=0)
    torch.testing.assert_close(
        leaf.grad.double(), exact_leaf.grad, atol=1e-5, rtol=1e-5 if dtype.itemsize > 2 else 0.01
    )


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 3, 3)])
def test_the_polar_factor_of_what_has_none_is_refused(shape):
    with pytest.raises(ValueError, match=r"needs a \(D, R\) matrix with D >= R, got"):
        nc.polar(torch.ones(shape))


def test_the_polar_factor_of_a_square_matrix_is_its_rotation():
    turn = frame(4, 4)
    stretch = torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5], dtype=torch.float64))
    torch.testing.assert_close(nc.polar(turn @ stretch), turn)


def test_only_singular_values_below_the_floor_are_replaced_and_counted():
    before = floor_hits()
    found = bounded(
        torch.eye(3), torch.eye(3, dtype=torch.float64), torch.tensor([2.0, 2e-6, 1e-9], dtype=torch.float64)
    )
    # FLOOR is 1e-6 of the largest; the second value is the floor itself.
    assert found.sigma_R.tolist() == [2.0, pytest.approx(2e-6), pytest.approx(2e-6)]
    torch.testing.assert_close(found.inverse_RR.diagonal(), 1 / found.sigma_R)
    assert floor_hits() - before == 1
    zero = bounded(torch.eye(2), torch.eye(2, dtype=torch.float64), torch.zeros(2).double())
    assert torch.isfinite(zero.inverse_RR).all()


def test_hits_of_the_floor_add_up():
    counter = _FloorCounter()
    assert counter.total() == 0
    for hits in (3, 4):
        counter.add(torch.tensor(hits))
    assert counter.total() == 7


# Constants


def test_constants_are_computed_once_for_each_size_and_type():
    cpu = torch.device("cpu")
    first = constant(nc.simplex_etf, 5, torch.float64, cpu)
    assert constant(nc.simplex_etf, 5, torch.float64, cpu) is first
    torch.testing.assert_close(first, nc.simplex_etf(5, dtype=torch.float64), atol=0, rtol=0)
    assert constant(nc.simplex_basis, 5, torch.float32, cpu).dtype == torch.float32


def test_constants_that_inference_computes_can_be_used_in_training():
    rank = 22  # of which no other test makes the constant before
    with torch.inference_mode():
        assert nc.etf_weights(torch.eye(30, rank)).shape == (rank + 1, 30)
    leaf = torch.eye(30, rank, requires_grad=True)
    nc.etf_weights(leaf).sum().backward()
    assert torch.isfinite(leaf.grad).all()


def test_everything_is_made_on_the_device_of_its_input(monkeypatch):
    """`meta` is a device without data: an operation with a tensor of the CPU raises an error."""
    monkeypatch.setattr(polar_module, "_floor_counter", _FloorCounter())
    meta = torch.device("meta")
    for make in (nc.simplex_basis, nc.simplex_etf):
        assert make(5, device=meta).device == constant(make, 5, torch.float64, meta).device == meta
    means = torch.empty(7, 4, device=meta)
    assert first_frame(7, 4, like=means).device == meta
    assert {each.device for each in newton_schulz_polar(torch.empty(7, 3, device=meta))} == {meta}
    solution = solve(means, torch.empty(7, 3, device=meta), 0.1, "polar")
    assert nearest_etf_vjp(solution, 0.1, torch.empty(7, 3, device=meta)).shape == (7, 4)
    assert nc.etf_weights(solution.polar.factor_DR).device == meta
    shares, present = batch_shares(torch.empty(6, dtype=torch.int64, device=meta), 4, torch.float32)
    assert (shares.device, present.device) == (meta, meta)


def test_the_first_frame_has_the_type_of_the_means():
    assert first_frame(4, 3, like=torch.empty(0, dtype=torch.float64)).dtype == torch.float64
    torch.testing.assert_close(first_frame(4, 3, like=torch.empty(0)), torch.eye(4, 2), atol=0, rtol=0)


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_from_a_condition_number_of_a_thousand_on_the_svd_is_used(scale):
    """Seen by the order of the singular values: eigenvalues ascend, those of an SVD descend."""
    for condition, ascends in ((30.0, True), (990.0, True), (1010.0, False), (3e4, False)):
        sigma = scale * torch.logspace(0, -math.log10(condition), 5, dtype=torch.float64)
        found = polar_factor(frame(9, 5) @ torch.diag(sigma) @ frame(5, 5, seed=2).T)
        # Their error is 1e-16 κ² of the largest.
        torch.testing.assert_close(found.sigma_R, sigma.sort(descending=not ascends).values, atol=1e-7 * scale, rtol=0)


def test_a_basis_has_the_default_type_and_needs_two_classes():
    assert nc.simplex_basis(3).dtype == torch.float32
    assert nc.simplex_etf(3).dtype == torch.float32
    with pytest.raises(ValueError, match="a simplex needs at least 2 classes, got 1"):
        nc.simplex_basis(1)
    # Column j has 1/√(j(j+1)) in rows 1 … j and −j/√(j(j+1)) in row j+1.
    expected = [[1 / math.sqrt(2), 1 / math.sqrt(6)], [-1 / math.sqrt(2), 1 / math.sqrt(6)], [0, -2 / math.sqrt(6)]]
    torch.testing.assert_close(nc.simplex_basis(3, dtype=torch.float64), torch.tensor(expected, dtype=torch.float64))


# The iteration on the manifold


def problem(scale=1.0):
    target = frame(9, 4) @ torch.diag(torch.tensor([1.0, 0.8, 0.6, 0.5], dtype=torch.float64)) @ frame(4, 4, seed=2)
    return scale * target, frame(9, 4, seed=3)


@pytest.mark.parametrize("scale", [2.0**-20, 2.0**20])
def test_the_riemannian_solver_takes_the_same_steps_at_every_scale(scale):
    plain, steps = maximise_alignment(*problem())
    scaled, scaled_steps = maximise_alignment(*problem(scale))
    # A power of two changes no digit.
    assert scaled_steps == steps
    torch.testing.assert_close(scaled, plain, atol=0, rtol=0)
    torch.testing.assert_close(plain, nc.polar(problem()[0]), atol=1e-9, rtol=0)


def test_the_riemannian_solver_climbs_from_its_first_step_with_steps_of_the_curvature():
    target, start = problem()
    # It takes 17 steps; 20 if the first goes downwards.
    assert maximise_alignment(target, start)[1] <= 18
    solution = nc.polar(target)
    nearly = nc.polar(solution + 1e-3 * frame(9, 4, seed=4))
    # Near a solution a first step downwards would lead away from it.
    assert maximise_alignment(target, nearly)[1] < maximise_alignment(target, start)[1]


def test_the_riemannian_solver_stops_at_once_where_there_is_nothing_to_do():
    start = frame(5, 3)
    found, steps = maximise_alignment(torch.zeros(5, 3, dtype=torch.float64), start)
    assert steps == 0
    assert torch.equal(found, start)


def test_the_riemannian_solver_names_the_remedy_if_it_does_not_arrive():
    # A frame that stays as it is has no curvature, which is no division by zero.
    with pytest.raises(RuntimeError, match="relative gradient of -1 in 3 steps"):
        maximise_alignment(torch.eye(5, 3).double(), torch.eye(5, 3).double(), tolerance=-1, max_steps=3)
    with pytest.raises(
        RuntimeError, match=r"relative gradient of 1e-10 in 3 steps; .* raise delta or use solver='polar'"
    ):
        maximise_alignment(*problem(), max_steps=3)


# Shares of a batch


def test_shares_of_a_batch_are_the_weights_of_its_means():
    labels = torch.tensor([0, 2, 2, 3, 2])
    features = torch.randn(5, 3, dtype=torch.float64)
    shares, present = batch_shares(labels, 4, torch.float64)
    assert present.tolist() == [1, 0, 1, 1]
    found, mean = features.mT @ shares, features.mean(0)
    torch.testing.assert_close(found[:, -1], mean)
    for label in range(4):
        rows = features[labels == label]
        expected = rows.mean(0) - mean if len(rows) else torch.zeros(3, dtype=torch.float64)
        torch.testing.assert_close(found[:, label], expected)
