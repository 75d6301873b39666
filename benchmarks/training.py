"""Whole training: the head's share of a step, the input pipeline beside torchvision's, the engine beside a bare loop.

step       ResNet-18 (batch 256, 32×32, three channels) and the small CNN, nearest-ETF head beside a linear one
pipeline   CIFAR-size images, crop with padding 4, flip, normalisation: in memory, and by a PIL DataLoader
engine     `ncengine.run` beside the same arithmetic written out, nothing measured
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

import ncengine as nc
from benchmarks.report import Figure, side_by_side
from ncengine.backbones.registry import BackboneConfig
from ncengine.backbones.small_networks import CnnSmall
from ncengine.backbones.torchvision_models_config import ResNet18
from ncengine.config import MeasureConfig, RunConfig, Sgd
from ncengine.data import resolve_config
from ncengine.data.augment import Augmentation
from ncengine.data.batch_order import epoch_order
from ncengine.data.loader import load
from ncengine.data.paths import DataPaths
from ncengine.data.split import Split, make_source
from ncengine.heads.linear_config import LinearHeadConfig
from ncengine.heads.nearest_etf_config import NearestETFHeadConfig
from ncengine.training.optim import lr_factor, make_optimiser

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def measure() -> list[Figure]:
    """Return the ratios."""
    torch.manual_seed(0)
    return [
        *_steps(CnnSmall(), (1, 28, 28), 1.3, rounds=9, repeat=5),
        *_steps(ResNet18(), (3, 32, 32), 1.05, rounds=3, repeat=1),
        *_pipeline(),
        *_engine(),
    ]


def _synchronised(call: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        call()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()

    return run


def _steps(config: BackboneConfig, shape: tuple[int, ...], bound: float, *, rounds: int, repeat: int) -> list[Figure]:
    images = torch.randn(256, *shape, device=DEVICE).to(memory_format=torch.channels_last)
    labels = torch.arange(256, device=DEVICE) % 10

    def step(head_config: LinearHeadConfig | NearestETFHeadConfig) -> Callable[[], None]:
        backbone = config.build(shape, 256).to(DEVICE, memory_format=torch.channels_last)
        head = head_config.build(config.features, 10, 0).to(DEVICE)
        optimiser = make_optimiser(Sgd(), backbone, head)

        def run() -> None:
            optimiser.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(head(backbone(images), labels), labels).backward()
            optimiser.step()

        return _synchronised(run)

    calls = {"linear": step(LinearHeadConfig()), "nearest": step(NearestETFHeadConfig())}
    seconds = side_by_side(calls, rounds=rounds, repeat=repeat)
    what = f"training step of {config.name}, nearest-ETF head / linear head"
    note = f"batch 256, {shape[1]}×{shape[2]}, {DEVICE.type}"
    return [
        Figure(what, seconds["nearest"] / seconds["linear"], "×", at_most=bound, note=note),
        Figure(f"training step of {config.name}, nearest-ETF head", 1e3 * seconds["nearest"], "ms", note=note),
    ]


class _Pictures(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """The usual data set of PIL images and torchvision's transforms."""

    def __init__(self, images: np.ndarray) -> None:
        from torchvision import transforms

        self._images = images
        self._change = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._change(Image.fromarray(self._images[index])), index % 10


def _pipeline() -> list[Figure]:
    images = np.random.default_rng(0).integers(0, 256, (20_000, 32, 32, 3), dtype=np.uint8)
    loader = torch.utils.data.DataLoader(
        _Pictures(images), batch_size=256, shuffle=True, num_workers=2, persistent_workers=True
    )
    labels = torch.arange(len(images), device=DEVICE) % 10
    split = Split(make_source(images, DEVICE), labels, None, MEAN, STD, Augmentation(crop_padding=4, flip=True))
    steps = len(images) // 256

    def drained(batches: Iterator[object]) -> float:
        start = time.perf_counter()
        count = sum(1 for _ in batches)
        return count * 256 / (time.perf_counter() - start)

    def ours() -> Iterator[object]:
        order = epoch_order(labels, "shuffled", 0, 1).to(DEVICE)
        return split.training(order, 256, seed=0, epoch=1, first=0, steps=steps)

    drained(iter(loader))  # starts the processes
    rates = [(drained(ours()), drained(iter(loader))) for _ in range(5)]
    ratio = float(np.median([mine / usual for mine, usual in rates]))
    note = "32×32 colour, crop, flip, normalise; the loader with two processes"
    return [
        Figure("images a second in memory / by the PIL DataLoader", ratio, "×", at_least=10, note=note),
        Figure("images a second in memory", float(np.median([mine for mine, _ in rates])), "/s", note=note),
    ]


def _engine() -> list[Figure]:
    """Steps by `run` with all its events but measurements, beside the same steps written out."""
    config = resolve_config(
        RunConfig(
            epochs=3,
            batch_size=128,
            measure=MeasureConfig(every=1000, first_epoch_captures=0, checkpoint_every=1000),
            device=DEVICE.type,
        )
    )

    def engine() -> float:
        """Return the seconds from the first step to the last."""
        steps = []
        for event in nc.run(config):
            now = time.perf_counter()
            if event.type == "StepMeasured":
                steps.append((event.step, now))
        first, last = steps[0], steps[-1]
        return (last[1] - first[1]) / (last[0] - first[0])

    def bare() -> float:
        generator = load(config, DEVICE, DataPaths())
        try:
            while True:
                next(generator)
        except StopIteration as end:
            train, _ = end.value
        torch.manual_seed(config.seed)
        backbone = config.backbone.build(config.dataset_info.shape, len(train))
        backbone = backbone.to(DEVICE, memory_format=torch.channels_last)
        head = config.head.build(config.backbone.features, config.classes, config.seed).to(DEVICE)
        optimiser = make_optimiser(config.optimiser, backbone, head)
        steps, samples = config.steps_per_epoch, train.source.samples
        report_every = steps // 8
        mean, std = config.dataset_info.mean[0], config.dataset_info.std[0]
        marks = []
        for epoch in range(1, config.epochs + 1):
            order = epoch_order(train.labels, config.sampler.name, config.seed, epoch).to(DEVICE)
            for step in range(steps):
                rows = order[step * 128 : (step + 1) * 128]
                images = samples[rows].permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
                number = (epoch - 1) * steps + step
                for group in optimiser.param_groups:
                    group["lr"] = 0.1 * lr_factor(config.schedule, number, steps * config.epochs, steps)
                optimiser.zero_grad(set_to_none=True)
                loss = config.loss.loss(head(backbone(images), train.labels[rows]), train.labels[rows])
                loss.backward()
                optimiser.step()
                if (step + 1) % report_every == 0:
                    float(loss.detach())
                    marks.append((number + 1, time.perf_counter()))
        return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])

    engine(), bare()
    pairs = [(engine(), bare()) for _ in range(5)]
    ratio = float(np.median([ours / plain for ours, plain in pairs]))
    note = f"small CNN, batch 128, {DEVICE.type}"
    return [
        Figure("step of the engine with its events / of a bare loop", ratio, "×", at_most=1.03, note=note),
        Figure("step of the engine", 1e3 * float(np.median([ours for ours, _ in pairs])), "ms", note=note),
    ]
