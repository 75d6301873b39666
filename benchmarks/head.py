"""The nearest-ETF head beside what it replaces: linear layers of the same shape, iterative solutions of its problem.

Batches of 256. The iterative solvers start from the previous solution, as the method does. The trust region runs as in
the paper's code, to its default tolerance of 1e-6; geoopt's optimisers stop as soon as they are within the accuracy
that it reaches, which they are told, and nothing is charged for finding out. All go on to give the gradient, geoopt's
by the closed form's own derivative, in their favour.
"""

from __future__ import annotations

import itertools
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import ncengine as nc
from benchmarks.report import Figure, side_by_side
from benchmarks.trust_region import TrustRegion
from ncengine.geometry.nearest_etf import nearest_etf_vjp, solve
from ncengine.geometry.polar import PolarFactor, newton_schulz_factor, polar_factor, polar_vjp
from ncengine.geometry.riemannian import geoopt, maximise_alignment, stiefel

BATCH = 256
BESIDE_LINEAR = (((512, 10), 4.0), ((512, 100), 12.0), ((2048, 1000), 40.0))
BESIDE_ITERATIONS = (((512, 10), 50.0, 2e-5), ((512, 47), 300.0, 1e-4))
"""Size, bound, and accuracy: the paper's problem over St(d, K) has its answer that far from that over St(d, K−1)."""
SOLVER_SIZES = ((512, 10), (512, 47), (512, 100), (2048, 200), (2048, 1000))
PROBLEMS = 5
TOLERANCE = 1e-6
"""The trust region's default, which the paper's code leaves as it is."""
DELTA = 1e-3


def measure() -> list[Figure]:
    """Return the ratios."""
    torch.manual_seed(0)
    figures = [figure for size, bound in BESIDE_LINEAR for figure in _beside_linear(*size, bound)]
    figures.append(_memory(2048, 1000))
    for size, bound, accuracy in BESIDE_ITERATIONS:
        figures += _beside_iterations(*size, bound, accuracy)
    return figures + _solvers()


def _beside_linear(features: int, classes: int, bound: float) -> list[Figure]:
    rounds, repeat = (15, 40) if classes < 50 else (15, 10) if classes < 500 else (3, 1)
    centres_KD = torch.randn(classes, features)
    labels_B = torch.randint(0, classes, (BATCH,))
    batches = itertools.cycle(
        [(centres_KD[labels_B] + 0.5 * torch.randn(BATCH, features)).requires_grad_() for _ in range(4)]
    )
    heads: dict[str, nn.Module] = {
        "linear": nn.Linear(features, classes),
        "nearest": nc.NearestETFHead(features, classes),
        "normalised": nc.LinearHead(features, classes),
    }

    def step(name: str) -> Callable[[], None]:
        module = heads[name]

        def run() -> None:
            features_BD = next(batches)
            features_BD.grad = None
            module.zero_grad(set_to_none=True)
            logits = module(features_BD) if name == "linear" else module(features_BD, labels_B)
            nn.functional.cross_entropy(logits, labels_B).backward()

        return run

    seconds = side_by_side({name: step(name) for name in heads}, rounds=rounds, repeat=repeat)
    note = f"d={features}, K={classes}, B={BATCH}"
    ratio = seconds["nearest"] / seconds["linear"]
    return [
        Figure("step of the nearest-ETF head / of nn.Linear", ratio, "×", at_most=bound, note=note),
        Figure(
            "step of the nearest-ETF head / of LinearHead", seconds["nearest"] / seconds["normalised"], "×", note=note
        ),
        Figure("step of the nearest-ETF head", 1e3 * seconds["nearest"], "ms", note=note),
    ]


MEMORY = """
import sys, torch, ncengine as nc
from pathlib import Path
d, k, which = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
head = torch.nn.Linear(d, k) if which == "linear" else nc.NearestETFHead(d, k)
labels = torch.randint(0, k, (256,))
features = torch.randn(256, d, requires_grad=True)
def held(key):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key))
Path("/proc/self/clear_refs").write_text("5")  # the peak so far, of importing, is forgotten
for _ in range(3):
    features.grad = None
    logits = head(features) if which == "linear" else head(features, labels)
    torch.nn.functional.cross_entropy(logits, labels).backward()
print(held("VmHWM") * 1024)
"""


def _memory(features: int, classes: int) -> Figure:
    """Peak memory of a process with the head, less that of one with a linear layer."""
    peaks = {}
    for which in ("linear", "nearest"):
        command = [sys.executable, "-c", MEMORY, str(features), str(classes), which]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[which] = int(done.stdout)
    more = (peaks["nearest"] - peaks["linear"]) / 1e6
    return Figure(
        "memory beyond that of nn.Linear", more, "MB", at_most=500, note=f"d={features}, K={classes}, B={BATCH}"
    )


def _beside_iterations(features: int, classes: int, bound: float, accuracy: float) -> list[Figure]:
    basis_KR = nc.simplex_basis(classes, dtype=torch.float64)
    base_DK = torch.randn(features, classes, dtype=torch.float64)
    previous_DR = nc.nearest_etf(base_DK - base_DK.mean(1, keepdim=True))
    means = [base_DK + 0.05 * torch.randn_like(base_DK) for _ in range(PROBLEMS)]
    means = [m - m.mean(1, keepdim=True) for m in means]
    targets = [2 / math.sqrt(classes - 1) * m / m.norm() @ basis_KR + DELTA * previous_DR for m in means]
    exact = [nc.nearest_etf(m, previous_DR, delta=DELTA) for m in means]
    upstream_DR = torch.randn(features, classes - 1, dtype=torch.float64)

    def near(found_DR: Tensor, index: int) -> bool:
        return float((found_DR - exact[index]).norm() / exact[index].norm()) <= accuracy

    def ours(index: int) -> None:
        nearest_etf_vjp(solve(means[index], previous_DR, DELTA, "polar"), DELTA, upstream_DR)

    # The paper's variable U has one column more: the previous frame, and a direction that M removes.
    spare_DK = torch.linalg.qr(torch.cat([previous_DR, torch.randn(features, 1, dtype=torch.float64)], 1)).Q[:, -1:]
    previous_DK = previous_DR @ basis_KR.T + spare_DK / math.sqrt(classes)
    problems = [TrustRegion((m / m.norm()).numpy(), previous_DK.numpy(), DELTA) for m in means]
    upstream_DK = (upstream_DR @ basis_KR.T).numpy()

    def in_gauge(solution: object) -> Tensor:
        return torch.from_numpy(solution) @ basis_KR

    if not all(near(in_gauge(problem.solve(TOLERANCE)), index) for index, problem in enumerate(problems)):
        raise RuntimeError("the trust region did not arrive")

    def trust_region(index: int) -> None:
        problem = problems[index]
        problem.vjp(problem.solve(TOLERANCE), upstream_DK)

    def of_geoopt(name: str, rate: float) -> float:
        manifold = stiefel()

        def descend(index: int) -> None:
            frame = geoopt().ManifoldParameter(previous_DR.clone(), manifold=manifold)
            optimiser = getattr(geoopt().optim, name)([frame], lr=rate)
            for _ in range(5000):
                optimiser.zero_grad()
                (-(targets[index] * frame).sum()).backward()
                optimiser.step()
                if near(frame.detach(), index):
                    break
            else:
                raise RuntimeError(f"geoopt's {name} at {rate} did not arrive")
            nearest_etf_vjp(solve(means[index], previous_DR, DELTA, "polar"), DELTA, upstream_DR)

        return _median_seconds(descend, repeat=1)

    def reference(tolerance: float) -> Callable[[int], Tensor]:
        return lambda index: maximise_alignment(targets[index], previous_DR, tolerance=tolerance)[0]

    loosest = next(t for t in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7) if all(near(reference(t)(i), i) for i in range(PROBLEMS)))

    def steps(index: int) -> None:
        reference(loosest)(index)
        nearest_etf_vjp(solve(means[index], previous_DR, DELTA, "polar"), DELTA, upstream_DR)

    closed = _median_seconds(ours, repeat=20)
    paper = _median_seconds(trust_region, repeat=2)
    adam = min(of_geoopt("RiemannianAdam", rate) for rate in (0.01, 0.03, 0.1))
    sgd = {rate: of_geoopt("RiemannianSGD", rate) for rate in (0.3, 1.0, 3.0)}
    iterated = _median_seconds(steps, repeat=4)
    size = f"d={features}, K={classes}, solution and gradient, within {accuracy:g}"
    return [
        Figure(
            "the paper's trust region and implicit matrices / closed form",
            paper / closed,
            "×",
            at_least=bound,
            note=size,
        ),
        Figure("geoopt RiemannianAdam / closed form", adam / closed, "×", at_least=bound, note=f"{size}, best rate"),
        Figure("geoopt RiemannianSGD, lr 1 / closed form", sgd[1.0] / closed, "×", note=size),
        Figure("geoopt RiemannianSGD / closed form", min(sgd.values()) / closed, "×", note=f"{size}, best rate"),
        Figure("our Barzilai–Borwein steps on geoopt's manifold / closed form", iterated / closed, "×", note=size),
        Figure("closed form, solution and gradient", 1e3 * closed, "ms", note=size),
    ]


def _solvers() -> list[Figure]:
    """What `solver: auto` is decided by: each way to the factor and its gradient, in float64, on this device."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures = []
    for features, classes in SOLVER_SIZES:
        matrix_DR = torch.randn(features, classes - 1, dtype=torch.float64, device=device)
        upstream_DR = torch.randn_like(matrix_DR)

        def both(
            way: Callable[[Tensor], PolarFactor], matrix: Tensor = matrix_DR, upstream: Tensor = upstream_DR
        ) -> Callable[[], None]:
            def run() -> None:
                polar_vjp(way(matrix), upstream)
                if device == "cuda":
                    torch.cuda.synchronize()

            return run

        calls = {"decomposition": both(polar_factor), "products": both(newton_schulz_factor)}
        rounds, repeat = (5, 20) if classes < 150 else (3, 1)
        seconds = side_by_side(calls, rounds=rounds, repeat=repeat)
        note = f"d={features}, K={classes}, {device}"
        ratio = seconds["products"] / seconds["decomposition"]
        figures.append(Figure("factor and gradient by products / by decomposition", ratio, "×", note=note))
        figures.append(Figure("factor and gradient by decomposition", 1e3 * seconds["decomposition"], "ms", note=note))
    return figures


def _median_seconds(call: Callable[[int], object], *, repeat: int) -> float:
    """Return the median seconds of a call over all problems."""
    call(0)
    taken = []
    for index in list(range(PROBLEMS)) * repeat:
        start = time.perf_counter()
        call(index)
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)
