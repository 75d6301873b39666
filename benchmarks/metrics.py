"""Measuring neural collapse: its cost beside the forward pass, beside the usual loops, and its memory.

cost     20,000 samples, d = 512: everything that a run measures, beside ResNet-18's forward pass over the same samples
loops    the same beside a loop over classes that computes the main metrics, with pseudo-inverses and pair by pair, and
         beside NC1 alone as released code has it: outer products sample by sample, or class by class in each batch
memory   peak beyond the batches at K = 1000, d = 2048, and at K = 30,000, d = 768 (tokens of a language model)
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import torch
from torch import Tensor

import ncengine as nc
from benchmarks.report import Figure
from ncengine.backbones.torchvision_models_config import ResNet18

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SAMPLES, FEATURES, BATCH = 20_000, 512, 250
FORWARD_BATCHES = 4
"""Batches of a forward pass that are timed in each round; the whole pass is as many times longer."""
ROUNDS = 5
SCALES = {"classifier of images": (1000, 2048, 50_000, 500), "tokens": (30_000, 768, 60_000, 4096)}
MEMORY_MB = {"classifier of images": 1500, "tokens": 2000}


def measure() -> list[Figure]:
    """Return ratios of time, and megabytes."""
    return [*_cost(), *[figure for name in SCALES for figure in _memory(name)]]


def _problem(classes: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    means_KD = torch.randn(classes, FEATURES, generator=generator)
    labels_N = torch.arange(SAMPLES) % classes
    features_ND = means_KD[labels_N] + 0.3 * torch.randn(SAMPLES, FEATURES, generator=generator)
    return features_ND.to(DEVICE), labels_N.to(DEVICE), means_KD.to(DEVICE)


def _batches(features_ND: Tensor, labels_N: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(features_ND, BATCH), torch.split(labels_N, BATCH), strict=True)


def _ours(features_ND: Tensor, labels_N: Tensor, weight_KD: Tensor, keys: list[str] | None = None) -> float:
    meter = nc.Meter(len(weight_KD), FEATURES)
    for features_BD, labels_B in _batches(features_ND, labels_N):
        meter.update(features_BD, labels_B)
    return meter.compute(weight_KD, torch.zeros(len(weight_KD), device=DEVICE), keys=keys).scalars["nc1"]


def _means(features_ND: Tensor, labels_N: Tensor, classes: int) -> Tensor:
    sums_KD = torch.zeros(classes, FEATURES, device=DEVICE)
    counts_K = torch.zeros(classes, device=DEVICE)
    for features_BD, labels_B in _batches(features_ND, labels_N):
        for label in range(classes):
            own = features_BD[labels_B == label]
            sums_KD[label] += own.sum(0)
            counts_K[label] += len(own)
    return sums_KD / counts_K[:, None]


def _loop_of_everything(features_ND: Tensor, labels_N: Tensor, weight_KD: Tensor) -> list[float]:
    """The main metrics in float32, by loops over classes and pairs: NC1, VCI, ranks, CDNV, NC2, NC3, NC4, margins."""
    classes = len(weight_KD)
    own = [features_ND[labels_N == label] for label in range(classes)]
    means_KD = torch.stack([held.mean(0) for held in own])
    centred_KD = means_KD - means_KD.mean(0)
    within_DD = torch.zeros(FEATURES, FEATURES, device=DEVICE)
    spreads, ranks, mismatch, margins = [], [], 0.0, 0.0
    rows_KD = torch.nn.functional.normalize(weight_KD - weight_KD.mean(0), dim=1)
    for label, held in enumerate(own):
        around = held - means_KD[label]
        within_DD += around.mT @ around
        spreads.append(float((around**2).sum(1).mean()))
        singular = torch.linalg.svdvals(held)
        ranks.append(float(singular.sum() ** 2 / (singular**2).sum()))
        mismatch += float(((held @ weight_KD.mT).argmax(1) != torch.cdist(held, means_KD).argmin(1)).sum())
        cosines = torch.nn.functional.normalize(held - means_KD.mean(0), dim=1) @ rows_KD.mT
        others = torch.cat([cosines[:, :label], cosines[:, label + 1 :]], dim=1)
        margins += float((cosines[:, label] - others.amax(1)).sum())
    within_DD /= SAMPLES
    between_DD = centred_KD.mT @ centred_KD / classes
    nc1 = (within_DD @ torch.linalg.pinv(between_DD)).trace() / classes
    vci = 1 - (torch.linalg.pinv(within_DD + between_DD) @ between_DD).trace() / (classes - 1)
    cdnv, angles = 0.0, 0.0
    for i in range(classes):
        for j in range(classes):
            if i != j:
                cdnv += (spreads[i] + spreads[j]) / (2 * float(((means_KD[i] - means_KD[j]) ** 2).sum()))
                cosine = torch.nn.functional.cosine_similarity(centred_KD[i], centred_KD[j], dim=0)
                angles += abs(float(cosine) + 1 / (classes - 1))
    product = weight_KD @ centred_KD.mT
    return [float(nc1), float(vci), sum(ranks), cdnv, angles, mismatch, margins, float(product.norm())]


def _loop(features_ND: Tensor, labels_N: Tensor, classes: int, *, outer: bool) -> float:
    """NC1 alone: two passes, a loop over classes in each batch, a d×d pseudo-inverse.

    `outer` sums outer products sample by sample, as released code does; otherwise a product a class.
    """
    means_KD = _means(features_ND, labels_N, classes)
    within_DD = torch.zeros(FEATURES, FEATURES, device=DEVICE)
    for features_BD, labels_B in _batches(features_ND, labels_N):
        for label in range(classes):
            around = features_BD[labels_B == label] - means_KD[label]
            within_DD += (around[:, :, None] @ around[:, None, :]).sum(0) if outer else around.mT @ around
    return _nc1(within_DD, means_KD)


def _nc1(within_DD: Tensor, means_KD: Tensor) -> float:
    """tr(Σ_W Σ_B†)/K with a d×d pseudo-inverse, of the sum N Σ_W."""
    centred_KD = means_KD - means_KD.mean(0)
    between_DD = centred_KD.mT @ centred_KD / len(means_KD)
    return float((within_DD / SAMPLES @ torch.linalg.pinv(between_DD)).trace() / len(means_KD))


def _loop_over_samples(features_ND: Tensor, labels_N: Tensor, classes: int) -> float:
    """NC1 alone: an outer product for each sample, a d×d pseudo-inverse."""
    means_KD = _means(features_ND, labels_N, classes)
    within_DD = torch.zeros(FEATURES, FEATURES, device=DEVICE)
    for feature_D, label in zip(features_ND, labels_N.tolist(), strict=True):
        around_D = feature_D - means_KD[label]
        within_DD += around_D[:, None] @ around_D[None, :]
    return _nc1(within_DD, means_KD)


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def _cost() -> list[Figure]:
    network = ResNet18().build((3, 32, 32), SAMPLES).to(DEVICE, memory_format=torch.channels_last).eval()
    images = torch.randn(BATCH, 3, 32, 32, device=DEVICE).to(memory_format=torch.channels_last)

    def forward() -> None:
        with torch.no_grad():
            for _ in range(FORWARD_BATCHES):
                network(images)

    found = []
    most = 0.01 if DEVICE.type == "cpu" else 0.05
    for classes in (10, 100):
        features_ND, labels_N, weight_KD = _problem(classes)
        calls: dict[str, Callable[[], object]] = {
            "ours": lambda f=features_ND, y=labels_N, w=weight_KD: _ours(f, y, w),
            "nc1": lambda f=features_ND, y=labels_N, w=weight_KD: _ours(f, y, w, ["nc1"]),
            "forward": forward,
            "everything": lambda f=features_ND, y=labels_N, w=weight_KD: _loop_of_everything(f, y, w),
            "samples": lambda f=features_ND, y=labels_N, k=classes: _loop_over_samples(f, y, k),
            "product": lambda f=features_ND, y=labels_N, k=classes: _loop(f, y, k, outer=False),
            "outer": lambda f=features_ND, y=labels_N, k=classes: _loop(f, y, k, outer=True),
        }
        _ours(features_ND, labels_N, weight_KD)
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                seconds[name].append(_seconds(call))
        median = {name: statistics.median(taken) for name, taken in seconds.items()}
        passes = SAMPLES / (BATCH * FORWARD_BATCHES)
        note = f"20,000 samples, d = 512, K = {classes}, {DEVICE.type}"
        found += [
            Figure(
                "everything measured / forward pass of ResNet-18",
                median["ours"] / (passes * median["forward"]),
                "×",
                at_most=most,
                note=f"{note}; the pass timed on {BATCH * FORWARD_BATCHES} images",
            ),
            Figure(
                "NC1 by a loop over classes, outer products, pseudo-inverse / NC1 by a meter",
                median["outer"] / median["nc1"],
                "×",
                at_least=10,
                note=note,
            ),
            Figure(
                "NC1 by a loop over classes, outer products, pseudo-inverse / everything measured",
                median["outer"] / median["ours"],
                "×",
                at_least=10,
                note=note,
            ),
            Figure(
                "NC1 by a loop over samples, outer products, pseudo-inverse / everything measured",
                median["samples"] / median["ours"],
                "×",
                note=note,
            ),
            Figure(
                "the main metrics in float32 by a loop over classes, pseudo-inverses / everything measured",
                median["everything"] / median["ours"],
                "×",
                note=note,
            ),
            Figure(
                "NC1 by a product for each class in each batch, pseudo-inverse / NC1 by a meter",
                median["product"] / median["nc1"],
                "×",
                note=note,
            ),
            Figure("everything measured", 1e3 * median["ours"], "ms", note=note),
            Figure("NC1 by a meter", 1e3 * median["nc1"], "ms", note=note),
        ]
    return found


def _memory(name: str) -> list[Figure]:
    classes, features, samples, batch = SCALES[name]
    command = [sys.executable, "-m", "benchmarks.metrics", name]
    held = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    note = f"K = {classes:,}, d = {features}, N = {samples:,}, batches of {batch}"
    return [
        Figure(f"peak memory of a measurement, {name}", held["peak_mb"], "MB", at_most=MEMORY_MB[name], note=note),
        Figure(f"accumulating, {name}", held["update_s"], "s", note=note),
        Figure(f"computing all metrics, {name}", held["compute_s"], "s", note=note),
    ]


def _child(name: str) -> None:
    """Print peak memory beyond that of the first batch, and seconds; in a process of its own."""
    classes, features, samples, batch = SCALES[name]
    generator = torch.Generator().manual_seed(0)
    weight_KD = torch.randn(classes, features, generator=generator)

    def drawn(first: int) -> tuple[Tensor, Tensor]:
        labels_B = torch.arange(first, min(first + batch, samples)) % classes
        noise = torch.randn(len(labels_B), features, generator=generator)
        return weight_KD[labels_B] + 0.3 * noise, labels_B

    nc.measure(torch.randn(20, 4), torch.arange(20) % 3)  # what importing takes
    drawn(0)
    process, peak, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.005):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    meter = nc.Meter(classes, features)
    update_s = 0.0
    for first in range(0, samples, batch):
        features_BD, labels_B = drawn(first)
        start = time.perf_counter()
        meter.update(features_BD, labels_B)
        update_s += time.perf_counter() - start
    start = time.perf_counter()
    meter.compute(weight_KD)
    compute_s = time.perf_counter() - start
    done.set()
    watcher.join()
    print(json.dumps({"peak_mb": (peak - before) / 1e6, "update_s": update_s, "compute_s": compute_s}))


if __name__ == "__main__":
    _child(sys.argv[1])
