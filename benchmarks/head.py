"""A training step's head, forward and backward: closed form beside a linear layer and beside geoopt's iterations.

The problem is (d, K) = (512, 10) with batches of 128. The iterative solvers start from the previous solution, as the
method does, and stop as soon as they are within 1e-5 of the exact answer, which they are told; nothing is charged for
finding out. `RiemannianAdam` and `RiemannianSGD` are geoopt's own, each at the best of several learning rates; the
reference solver of `ncengine.geometry.riemannian` (Barzilai–Borwein steps on geoopt's manifold) is far quicker than
both on this problem, whose objective is linear, and is listed beside them.
"""

from __future__ import annotations

import itertools
import math
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

import ncengine as nc
from benchmarks.report import Figure, side_by_side
from ncengine.geometry.nearest import solve
from ncengine.geometry.riemannian import maximise_alignment, stiefel

FEATURES, CLASSES, BATCH = 512, 10, 128
PROBLEMS, ACCURACY = 5, 1e-5


def measure() -> list[Figure]:
    """Return the ratios."""
    torch.manual_seed(0)
    return [*_beside_linear(), *_beside_iterations()]


def _beside_linear() -> list[Figure]:
    centres_KD = torch.randn(CLASSES, FEATURES)
    labels_B = torch.randint(0, CLASSES, (BATCH,))
    batches = itertools.cycle(
        [(centres_KD[labels_B] + 0.5 * torch.randn(BATCH, FEATURES)).requires_grad_() for _ in range(20)]
    )
    linear, ours, normalised = (
        nn.Linear(FEATURES, CLASSES),
        nc.NearestETFHead(FEATURES, CLASSES),
        nc.LinearHead(FEATURES, CLASSES),
    )

    def step(module: nn.Module, logits: Callable[[Tensor], Tensor]) -> Callable[[], None]:
        def run() -> None:
            features_BD = next(batches)
            features_BD.grad = None
            module.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(logits(features_BD), labels_B).backward()

        return run

    seconds = side_by_side(
        {
            "linear": step(linear, linear),
            "normalised": step(normalised, lambda features_BD: normalised(features_BD, labels_B)),
            "nearest": step(ours, lambda features_BD: ours(features_BD, labels_B)),
        }
    )
    ratio = seconds["nearest"] / seconds["linear"]
    return [
        Figure("step of the nearest-ETF head / of nn.Linear", ratio, "×", at_most=4, note="d=512, K=10, B=128"),
        Figure("step of the nearest-ETF head / of LinearHead", seconds["nearest"] / seconds["normalised"], "×"),
        Figure("step of the nearest-ETF head", 1e3 * seconds["nearest"], "ms"),
    ]


def _beside_iterations() -> list[Figure]:
    basis_KR = nc.simplex_basis(CLASSES, dtype=torch.float64)
    base_DK = torch.randn(FEATURES, CLASSES, dtype=torch.float64)
    previous_DR = nc.nearest_etf(base_DK - base_DK.mean(1, keepdim=True))
    means = [base_DK + 0.05 * torch.randn_like(base_DK) for _ in range(PROBLEMS)]
    means = [m - m.mean(1, keepdim=True) for m in means]
    targets = [2 / math.sqrt(CLASSES - 1) * m / m.norm() @ basis_KR + 1e-3 * previous_DR for m in means]
    exact = [nc.nearest_etf(m, previous_DR) for m in means]

    def near(found_DR: Tensor, index: int) -> bool:
        return float((found_DR - exact[index]).norm() / exact[index].norm()) <= ACCURACY

    def ours(index: int) -> None:
        solve(means[index], previous_DR, 1e-3, "polar")

    def of_geoopt(name: str, rate: float) -> float:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
            import geoopt
        manifold = stiefel()

        def descend(index: int) -> None:
            frame = geoopt.ManifoldParameter(previous_DR.clone(), manifold=manifold)
            optimiser = getattr(geoopt.optim, name)([frame], lr=rate)
            for _ in range(5000):
                optimiser.zero_grad()
                (-(targets[index] * frame).sum()).backward()
                optimiser.step()
                if near(frame.detach(), index):
                    return
            raise RuntimeError(f"geoopt's {name} at {rate} did not arrive")

        return _median_seconds(descend, repeat=1)

    def reference(tolerance: float) -> Callable[[int], Tensor]:
        return lambda index: maximise_alignment(targets[index], previous_DR, tolerance=tolerance)[0]

    closed = _median_seconds(ours)
    adam = min(of_geoopt("RiemannianAdam", rate) for rate in (0.003, 0.01, 0.03, 0.1))
    sgd = {rate: of_geoopt("RiemannianSGD", rate) for rate in (0.3, 1.0, 3.0)}
    loosest = next(t for t in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7) if all(near(reference(t)(i), i) for i in range(PROBLEMS)))
    iterated = _median_seconds(reference(loosest))
    note = f"within {ACCURACY:g} of the exact answer"
    return [
        Figure("geoopt RiemannianAdam / closed form", adam / closed, "×", at_least=30, note=f"{note}, best rate"),
        Figure("geoopt RiemannianSGD, lr 1 / closed form", sgd[1.0] / closed, "×", at_least=30, note=note),
        Figure("geoopt RiemannianSGD / closed form", min(sgd.values()) / closed, "×", note=f"{note}, best rate"),
        Figure("our Barzilai–Borwein steps on geoopt's manifold / closed form", iterated / closed, "×", note=note),
        Figure("closed form, solution alone", 1e3 * closed, "ms"),
    ]


def _median_seconds(call: Callable[[int], object], *, repeat: int = 20) -> float:
    """Return the median seconds of a call over all problems."""
    taken = []
    for index in list(range(PROBLEMS)) * repeat:
        start = time.perf_counter()
        call(index)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
