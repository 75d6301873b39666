"""Make the pictures of the page of metrics: each at the start, when the terminal phase begins, and at collapse.

Two runs on handwritten digits with a learned linear classifier: one balanced, told apart from clothes, and one with a
long tail. What they measured is written beside the pictures; the page itself is generated from the catalogue when the
documentation is built. Needs what `make test` installs.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from typing import Any

import torch
from documentation.catalogues import EPOCHS, METRIC_PICTURES, MOMENTS, VALUES, run_of
from matplotlib.figure import Figure
from metric_drawings import DRAWINGS, INK, Moment

import ncengine as nc
from ncengine.config import RunConfig, with_overrides
from ncengine.data.loader import load
from ncengine.data.ood import load_ood
from ncengine.training import checkpoint
from ncengine.training.trainer import Trainer

CPU = torch.device("cpu")
COMMON = {"epochs": EPOCHS, "measure.outside": "fashion-mnist-mini", "measure.first_epoch_captures": 0}
RUNS: dict[str, dict[str, object]] = {
    "balanced": {},
    "long tail": {"head.normalise": False, "data.imbalance": "exponential", "data.imbalance_factor": 0.02},
}


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
    for place, (name, moment) in enumerate(zip(MOMENTS, three, strict=True), start=1):
        axes = figure.add_subplot(1, 3, place)
        DRAWINGS[key](axes, moment)
        axes.tick_params(labelsize=6, colors=INK["ink-2"])
        axes.spines[:].set_linewidth(0.5)
        value = moment.train.scalars.get(key)
        said = "" if value is None else f": {value:.3g}"
        axes.set_title(f"{name}, epoch {moment.epoch}{said}", fontsize=8, loc="left")
    figure.savefig(METRIC_PICTURES / f"{key}.png", dpi=110, metadata={"Software": None})


def main() -> None:
    """Run, draw, write."""
    METRIC_PICTURES.mkdir(parents=True, exist_ok=True)
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


if __name__ == "__main__":
    main()
