"""Three ways to one polar factor: exact, by products alone, and geoopt's iteration; and the two meanings of δ."""

import math

import pytest
import torch

import ncengine as nc
from ncengine.geometry.nearest_etf import SOLVERS, effective_delta, resolve_solver
from ncengine.geometry.newton_schulz import CONVERGING, lyapunov, newton_schulz_polar
from ncengine.geometry.polar import newton_schulz_factor, polar_factor, polar_vjp

SIZES = [(512, 10), (512, 47), (99, 100), (12, 5), (3, 4), (7, 2)]


def orthonormal(rows, columns, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(rows, columns, generator=generator, dtype=torch.float64)).Q


def conditioned(rows, columns, condition):
    sigma = torch.logspace(0, -math.log10(condition), columns, dtype=torch.float64)
    return orthonormal(rows, columns) @ torch.diag(sigma) @ orthonormal(columns, columns, seed=2).T


def centred(features, classes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(features, classes, generator=generator, dtype=torch.float64)
    return means - means.mean(1, keepdim=True)


@pytest.mark.parametrize(("features", "classes"), SIZES)
def test_all_solvers_agree_in_solution_and_gradient(features, classes):
    means, previous = centred(features, classes), orthonormal(features, classes - 1)
    upstream = torch.randn(features, classes - 1, dtype=torch.float64)
    found = {}
    for solver in SOLVERS:
        # Where d = K − 1 the iteration's problem is badly conditioned, and δ has to hold it.
        leaf = means.clone().requires_grad_()
        frame = nc.nearest_etf(leaf, previous, delta=0.1, solver=solver)
        (frame * upstream).sum().backward()
        found[solver] = frame.detach(), leaf.grad
    for solver in ("matmul", "riemannian"):
        # The iteration stops at a relative gradient of 1e-10, which its condition number multiplies.
        tolerance = 1e-9 if solver == "matmul" else 1e-5
        torch.testing.assert_close(found[solver][0], found["polar"][0], atol=tolerance, rtol=0)
        torch.testing.assert_close(found[solver][1], found["polar"][1], atol=100 * tolerance, rtol=1e-3)


@pytest.mark.parametrize("condition", [1.0, 10.0, 1e3, 3e4])
def test_products_alone_are_exact_up_to_their_condition_number(condition):
    matrix = conditioned(60, 9, condition)
    factor, symmetric, inverse, arrived = newton_schulz_polar(matrix)
    assert bool(arrived)
    exact = orthonormal(60, 9) @ orthonormal(9, 9, seed=2).T
    # Squaring the condition number costs 1e-16 κ², of which the last Newton step leaves less.
    tolerance = 1e-12 + 1e-16 * condition**2
    torch.testing.assert_close(factor, exact, atol=tolerance, rtol=0)
    # The step squares the factor's distance from orthonormal columns, which is 1e-7 before it at the largest κ.
    torch.testing.assert_close(factor.mT @ factor, torch.eye(9, dtype=torch.float64), atol=1e-13, rtol=0)
    torch.testing.assert_close(factor @ symmetric, matrix, atol=10 * tolerance, rtol=0)
    torch.testing.assert_close(inverse @ symmetric, torch.eye(9, dtype=torch.float64), atol=1e4 * tolerance, rtol=0)


def test_many_equal_singular_values_leave_the_range_of_the_smallest_as_it_is():
    """The scale is the smaller of two norms: of a hundred equal values the Frobenius norm alone is ten times larger."""
    diagonal = torch.ones(100, dtype=torch.float64)
    diagonal[-1] = 2e-5
    factor, _, _, arrived = newton_schulz_polar(torch.diag(diagonal))
    assert bool(arrived)
    torch.testing.assert_close(factor, torch.eye(100, dtype=torch.float64), atol=1e-12, rtol=0)
    right = torch.randn(100, 100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = lyapunov(torch.diag(diagonal), right - right.T)
    torch.testing.assert_close(diagonal[:, None] * found + found * diagonal, right - right.T, atol=1e-12, rtol=0)


def test_the_last_steps_converge_cubically():
    """σ ← σ (a + b σ² + c σ⁴) leaves 1 as it is, and its first two derivatives there are zero."""
    a, b, c = CONVERGING
    assert (a + b + c, a + 3 * b + 5 * c, 6 * b + 20 * c) == (1, 0, 0)


def test_products_that_suffice_are_used():
    """They give no singular values; the SVD does."""
    assert len(newton_schulz_factor(conditioned(20, 5, 10.0)).sigma_R) == 0
    assert len(newton_schulz_factor(conditioned(20, 5, 1e6)).sigma_R) == 5
    matrix = conditioned(20, 5, 10.0)
    assert len(SOLVERS["matmul"](matrix, matrix).sigma_R) == 0
    assert len(SOLVERS["polar"](matrix, matrix).sigma_R) == 5


@pytest.mark.parametrize("condition", [1e6, math.inf])
def test_where_products_do_not_suffice_the_exact_way_is_taken(condition):
    matrix = conditioned(20, 5, 1e6)
    if math.isinf(condition):
        matrix[:, 0] = matrix[:, 1]
    assert not bool(newton_schulz_polar(matrix)[3])
    found, exact = newton_schulz_factor(matrix), polar_factor(matrix)
    torch.testing.assert_close(found.factor_DR, exact.factor_DR)
    assert torch.isfinite(polar_vjp(found, torch.randn(20, 5, dtype=torch.float64))).all()


def test_gradcheck_of_the_factor_by_products():
    matrix = conditioned(7, 4, 20.0).requires_grad_()
    means = centred(7, 5)
    basis = nc.simplex_basis(5, dtype=torch.float64)
    # nearest_etf's problem is H V, so H = A Vᵀ is the way to hand it a matrix of ours.
    assert torch.autograd.gradcheck(lambda a: nc.nearest_etf(a @ basis.T, None, solver="matmul"), (matrix,), atol=1e-6)
    assert torch.autograd.gradcheck(
        lambda m: nc.nearest_etf(m, orthonormal(7, 4), delta=0.3, solver="matmul"), (means.requires_grad_(),), atol=1e-6
    )


@pytest.mark.parametrize("condition", [1.0, 1e2, 1e4])
def test_lyapunov_solves_its_equation(condition):
    eigenvalues = torch.logspace(0, -math.log10(condition), 9, dtype=torch.float64)
    vectors = orthonormal(9, 9, seed=5)
    symmetric = vectors @ torch.diag(eigenvalues) @ vectors.T
    right = torch.randn(9, 9, dtype=torch.float64)
    right = right - right.T
    found = lyapunov(symmetric, right)
    torch.testing.assert_close(symmetric @ found + found @ symmetric, right, atol=1e-12 * condition**2 + 1e-10, rtol=0)
    torch.testing.assert_close(found, -found.T)


def test_auto_is_exact_on_a_cpu_and_products_on_a_gpu():
    assert resolve_solver("auto", "cpu") == "polar"
    assert resolve_solver("auto", "cuda") == "matmul"
    assert resolve_solver("riemannian", "cuda") == "riemannian"
    means = centred(8, 4)
    assert torch.equal(nc.nearest_etf(means, solver="auto"), nc.nearest_etf(means, solver="polar"))
    with pytest.raises(ValueError, match="solver must be 'auto', 'polar', 'matmul', 'riemannian'"):
        nc.nearest_etf(means, solver="newton")


def test_a_relative_delta_pulls_as_much_at_every_number_of_classes():
    """Near collapse the data term's singular values are 2/(K−1); a relative δ is a fixed share of them."""
    assert effective_delta(1e-3, "fixed", 1000) == 1e-3
    for classes in (10, 100, 1000):
        assert effective_delta(1e-3, "relative", classes) / (2 / (classes - 1)) == pytest.approx(0.1)
    head = nc.NearestETFHead(32, 9, delta=1e-3, delta_mode="relative")
    assert head.delta == pytest.approx(0.025)
    with pytest.raises(ValueError, match="delta_mode must be"):
        nc.NearestETFHead(32, 9, delta_mode="absolute")
