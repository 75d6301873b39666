"""Make docs/metrics.md and its pictures: each metric at the start, when the terminal phase begins, and at collapse.

Two runs on handwritten digits with a learned linear classifier: one balanced, told apart from clothes, and one with a
long tail. The page's words are the catalogue's, its numbers what the runs measured. Needs what `make test` installs.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from metric_drawings import DRAWINGS, INK, Moment, words

import ncengine as nc
from ncengine.config import RunConfig, with_overrides
from ncengine.data.loader import load
from ncengine.data.ood import load_ood
from ncengine.training import checkpoint
from ncengine.training.trainer import Trainer

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "metrics.md"
PICTURES = ROOT / "docs" / "pictures" / "metrics"
VALUES = PICTURES / "values.json"
NAMES = ("start", "terminal phase", "collapse")
CPU = torch.device("cpu")
EPOCHS = 150
COMMON = {"epochs": EPOCHS, "measure.outside": "fashion-mnist-mini", "measure.first_epoch_captures": 0}
RUNS: dict[str, dict[str, object]] = {
    "balanced": {},
    "long tail": {"head.normalise": False, "data.imbalance": "exponential", "data.imbalance_factor": 0.02},
}
OF_THE_LONG_TAIL = ("Long tail", "Norms")
"""Families of metrics that are shown of the run with a long tail, whose features have free norms."""


def config_of(name: str) -> RunConfig:
    """Return the config of one of the two runs."""
    return with_overrides(nc.presets["digits-linear"](), {**COMMON, **RUNS[name]})


def drained(steps: Generator[Any, None, Any]) -> Any:
    """Return what a generator returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def moments(name: str) -> list[Moment]:
    """Run, and return its three moments from the checkpoints there."""
    config = config_of(name)
    saved: dict[int, Any] = {}
    phase, last = None, config.epochs
    for event in nc.run(config):
        if event.type not in ("EpochMeasured", "CheckpointSaved"):
            continue
        if event.type == "EpochMeasured" and event.terminal_phase is not None:
            phase = event.terminal_phase
        wanted = phase is None or event.epoch in (phase, last - 1, last)
        if event.type == "CheckpointSaved" and wanted:
            saved[event.epoch] = event
    if phase is None:
        raise RuntimeError(f"the {name} run did not reach its terminal phase")
    splits = drained(load(config, CPU, nc.DataPaths()))
    ood = drained(load_ood(config, CPU, nc.DataPaths()))
    return [_moment(config, splits, ood, saved[epoch], saved.get(epoch - 1)) for epoch in (1, phase, last)]


def _moment(config: RunConfig, splits: Any, ood: Any, saved: Any, before: Any) -> Moment:
    trainer = Trainer(config, CPU, splits, ood, lambda: 0.0)
    checkpoint.restore(trainer, saved)
    trainer.model.eval()
    train, test = splits
    features = {}
    for name, split in (("train", train), ("test", test), ("ood", ood)):
        features[name] = torch.cat([part for part, _ in trainer.evaluator.penultimate(split, step=trainer.step)])
    meters = {name: nc.Meter(config.classes, features["train"].shape[1]) for name in ("train", "test")}
    meters["train"].update(features["train"], train.labels)
    meters["test"].update(features["test"], test.labels)
    other = nc.Meter(1, features["train"].shape[1])
    other.update(features["ood"], ood.labels)
    weight, bias = trainer.model.head.weight.detach(), trainer.model.head.bias.detach()
    frame = trainer.evaluator.frame_DR
    previous = None if before is None else torch.tensor(before.tensors["frame"])
    found = meters["train"].compute(weight, bias, ood=other, frame_DR=frame, previous_frame_DR=previous)
    return Moment(
        epoch=saved.epoch,
        features_ND=features["train"].double().numpy(),
        labels_N=train.labels.numpy(),
        ood_ND=features["ood"].double().numpy(),
        weight_KD=weight.double().numpy(),
        bias_K=bias.double().numpy(),
        train=found,
        test=meters["test"].compute(weight, bias, training=meters["train"], ood=other),
        frame_DR=frame.numpy(),
        previous_DR=None if previous is None else previous.numpy(),
        counts_K=found.arrays["counts"],
    )


def picture(key: str, three: list[Moment]) -> None:
    """Draw a metric's three moments side by side."""
    figure = Figure(figsize=(7.6, 2.1), layout="constrained")
    for place, (name, moment) in enumerate(zip(NAMES, three, strict=True), start=1):
        axes = figure.add_subplot(1, 3, place)
        DRAWINGS[key](axes, moment)
        axes.tick_params(labelsize=6, colors=INK["ink-2"])
        axes.spines[:].set_linewidth(0.5)
        value = moment.train.scalars.get(key)
        said = "" if value is None else f": {value:.3g}"
        axes.set_title(f"{name}, epoch {moment.epoch}{said}", fontsize=8, loc="left")
    figure.savefig(PICTURES / f"{key}.png", dpi=110, metadata={"Software": None})


def run_of(key: str) -> str:
    """Return which of the two runs a metric is shown of."""
    family = {spec.key: spec.family for spec in nc.catalogue()}[key]
    return "long tail" if family in OF_THE_LONG_TAIL else "balanced"


def ideal_words(spec: Any) -> str:
    """Return a metric's ideal in words, by its values for two numbers of classes."""
    if spec.ideal is None:
        return "none"
    few, many = spec.ideal(10), spec.ideal(100)
    if few == many:
        return f"{few:g}"
    return {True: "K/(K−1)", False: "−1/(K−1)"}[few > 0]


def page(values: dict[str, Any]) -> str:
    """Return docs/metrics.md for the values of the runs; the rest of its words are the catalogue's."""
    lines = [
        "# The metrics",
        "",
        "Every metric that a run measures and that `nc.measure` and `nc.Meter` give, with what it is read off at three",
        "moments: after the first epoch, when the terminal phase begins (training accuracy 99.9 %), and at the end.",
        "",
        "Symbols: class mean μ_c, their mean μ_G, m_c = μ_c − μ_G, H = [m_1 … m_K], classifier rows w_c, mean row w̄,",
        "Σ_W and Σ_B the covariances within and between classes, T = (I − 11ᵀ/K)/√(K−1).",
        "",
        "Numbers are of the training split. *Exact* metrics count every sample; the others those that the meter kept,",
        "all up to 256 MiB, and `Measurement.samples`, `.of` and `.errors` say how many and how far off they may be.",
        "",
        f"Both runs: handwritten digits, small CNN, learned linear classifier, {EPOCHS} epochs. The balanced one has",
        "its features on a sphere, and is told apart from clothes (Fashion-MNIST). Long tail and norms are shown of",
        "the other: its features are as the network makes them, and its rarest class has a fiftieth of the samples of",
        "the most frequent one.",
        "",
        "`scripts/make_metric_pages.py` makes this page and its pictures.",
        "",
    ]
    family = None
    for spec in nc.catalogue():
        if spec.family != family:
            family = spec.family
            lines += [f"## {family}", ""]
        three = values["runs"][run_of(spec.key)]
        better = "low is better" if spec.direction == "low" else "high is better"
        shown = [moment["scalars"].get(spec.key) for moment in three]
        numbers = [
            f"{name} {'absent' if value is None else format(value, '.3g')}"
            for name, value in zip(NAMES, shown, strict=True)
        ]
        lines += [
            f"### {spec.label}",
            "",
            f"`{spec.key}` = `{spec.formula}`",
            "",
            f"{spec.reading} Ideal: {ideal_words(spec)}; {better}; {'exact' if spec.exact else 'of kept samples'}. "
            f"Source: {spec.source}.",
            "",
            f"![{spec.label} at three moments](pictures/metrics/{spec.key}.png)",
            "",
            f"{words(DRAWINGS[spec.key], spec.key)} Here: {', '.join(numbers)}.",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    """Run, draw, write."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    found = {name: moments(name) for name in RUNS}
    for spec in nc.catalogue():
        picture(spec.key, found[run_of(spec.key)])
    values = {
        "runs": {
            name: [{"epoch": moment.epoch, "scalars": moment.train.scalars} for moment in three]
            for name, three in found.items()
        }
    }
    VALUES.write_text(json.dumps(values, indent=1) + "\n")
    PAGE.write_text(page(values))


if __name__ == "__main__":
    main()
