"""The training loop: `run(config)` is a generator of events, and reads top to bottom.

    RunStarted, GeometryCaptured (step 0), then for each epoch StepMeasured …, EpochMeasured, GeometryCaptured,
    CheckpointSaved, and at the end RunFinished

Closing the generator stops the run. `resume` takes a CheckpointSaved and continues after its epoch: batch orders come
from (seed, epoch) alone, so the numbers are those of a run that was never interrupted. Nothing here reads a clock or
the environment; torch's random state is seeded from the config.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

import ncengine
from ncengine import checkpoint
from ncengine.backbones import make_backbone
from ncengine.capture import capture, measured_frame, sample_budget
from ncengine.config import RunConfig
from ncengine.data.loading import Split, balanced_rows, epoch_order, load
from ncengine.events import (
    CheckpointSaved,
    EpochMeasured,
    Event,
    GeometryCaptured,
    Resumed,
    RunFinished,
    RunStarted,
    StepMeasured,
)
from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import view_matrix, view_name
from ncengine.heads import make_head
from ncengine.measurement import Meter
from ncengine.metrics import METRICS
from ncengine.optim import lr_factor, make_optimiser

EVALUATION_BATCH = 250
STEP_EVENTS_PER_EPOCH = 8
SAMPLE_PER_CLASS = 50
"""Training samples a class whose means stand in for the whole split's within the first epoch."""
TERMINAL_ACCURACY = 0.999


def choose_device(name: str) -> torch.device:
    """Return the torch device for a config's `device`; raises ValueError where it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name} is not there: {torch.cuda.device_count()} GPUs found; set device=auto or cpu")
    return device


class Trainer:
    """Everything that lives as long as a run: network, head, optimiser, data, and what was measured so far."""

    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.device = choose_device(config.device)
        torch.manual_seed(config.seed)
        if config.deterministic:
            torch.backends.cudnn.deterministic = True
            torch.backends.cudnn.benchmark = False
        features = config.backbone.features
        backbone = make_backbone(config.backbone, config.facts.shape)
        # Channels last: convolutions on the CPU take two thirds of the time in training, a quarter in evaluation.
        self.backbone = backbone.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.head = make_head(config.head, features, config.classes, config.seed).to(self.device)
        self.optimiser = make_optimiser(config.optimiser, [*self.backbone.parameters(), *self.head.parameters()])
        self.train_split, self.test_split = load(config, self.device)
        self.steps_per_epoch = max(1, len(self.train_split) // config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.cloud_rows = balanced_rows(self.train_split.labels, sample_budget(config.classes, config.measure.features))
        self.sample_rows = balanced_rows(self.train_split.labels, SAMPLE_PER_CLASS * config.classes)
        self.step = 0
        self.frame_DR: Tensor | None = None
        self.terminal_phase: int | None = None

    def started(self) -> RunStarted:
        """Return the event that labels everything that follows."""
        k = self.config.classes
        return RunStarted(
            classes=k,
            class_names=self.config.class_names,
            features=self.config.backbone.features,
            parameters=sum(p.numel() for p in [*self.backbone.parameters(), *self.head.parameters()]),
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            device=_device_words(self.device),
            view=view_name(k),
            view_matrix=view_matrix(k).tolist(),
            vertices=simplex_etf(k, dtype=torch.float32).tolist(),
            metrics={
                key: {
                    "label": spec.label,
                    "symbol": spec.symbol,
                    "direction": spec.direction,
                    "ideal": None if spec.ideal is None else spec.ideal(k),
                    "source": spec.source,
                    "reading": spec.reading,
                }
                for key, spec in METRICS.items()
            },
            versions={"collapse-lab": ncengine.__version__, "torch": torch.__version__, "numpy": np.__version__},
        )

    def train_step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one optimisation step and return its loss, still on the device."""
        factor = lr_factor(self.config.schedule, self.step, self.total_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = self.config.optimiser.lr * factor
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            logits = self.head(self.backbone(images), labels)
        loss = nn.functional.cross_entropy(logits.float(), labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def penultimate(self, split: Split, rows: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield penultimate features and labels in evaluation mode, in fixed order; the caller drains it at once."""
        count = len(split) if rows is None else len(rows)
        for start in range(0, count, EVALUATION_BATCH):
            chosen = slice(start, start + EVALUATION_BATCH) if rows is None else rows[start : start + EVALUATION_BATCH]
            images, labels = split.batch(chosen)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.config.precision == "bfloat16"):
                raw = self.backbone(images)
            yield self.head.penultimate(raw.float()), labels

    def set_training(self, mode: bool) -> None:
        """Switch network and head between training and evaluation mode."""
        self.backbone.train(mode)
        self.head.train(mode)

    def measure_split(self, split: Split, rows: Tensor | None = None) -> Meter:
        """Return a meter fed with a split, or some of its rows, in evaluation mode."""
        self.set_training(False)
        meter = Meter(self.config.classes, self.config.backbone.features)
        for features_BD, labels_B in self.penultimate(split, rows):
            meter.update(features_BD, labels_B)
        self.set_training(True)
        return meter

    def measure_epoch(self, epoch: int) -> tuple[EpochMeasured, GeometryCaptured]:
        """Measure both splits and capture the geometry at the end of an epoch."""
        train_meter = self.measure_split(self.train_split)
        test_meter = self.measure_split(self.test_split)
        weight, bias = self.head.weight, self.head.bias
        train = train_meter.compute(weight, bias)
        test = test_meter.compute(weight, bias, class_means_DK=train_meter.means_DK)
        if self.terminal_phase is None and train.scalars["top1"] >= TERMINAL_ACCURACY:
            self.terminal_phase = epoch
        measured = EpochMeasured(
            epoch=epoch,
            step=self.step,
            scalars={"train": train.scalars, "test": test.scalars},
            flags={"train": tuple(sorted(train.flags)), "test": tuple(sorted(test.flags))},
            terminal_phase=self.terminal_phase,
        )
        return measured, self.capture(float(epoch), train_meter)

    def capture(self, epoch: float, meter: Meter | None = None) -> GeometryCaptured:
        """Capture the geometry now, with class means from `meter` or from a fixed sample of the training split."""
        meter = self.measure_split(self.train_split, self.sample_rows) if meter is None else meter
        self.frame_DR = measured_frame(meter, self.frame_DR)
        self.set_training(False)
        cloud = list(self.penultimate(self.train_split, self.cloud_rows))
        self.set_training(True)
        return capture(
            epoch=epoch,
            step=self.step,
            meter=meter,
            frame_DR=self.frame_DR,
            weight_KD=self.head.weight,
            bias_K=self.head.bias,
            features_ND=torch.cat([features for features, _ in cloud]),
            labels_N=torch.cat([labels for _, labels in cloud]),
        )


def run(config: RunConfig, *, resume: CheckpointSaved | None = None) -> Iterator[Event]:
    """Train as `config` says and yield events; `resume` continues after a checkpoint of the same config.

    Raises ValueError where the device is not there or the checkpoint does not fit, and FloatingPointError where the
    loss stops being a number.
    """
    trainer = Trainer(config)
    first_epoch = 1
    if resume is None:
        yield trainer.started()
        trainer.set_training(True)
        yield trainer.capture(0.0)
    else:
        checkpoint.restore(trainer, resume)
        first_epoch = resume.epoch + 1
        yield Resumed(epoch=resume.epoch, step=trainer.step)

    cadence = config.measure
    report_every = max(1, trainer.steps_per_epoch // STEP_EVENTS_PER_EPOCH)
    early = _early_steps(trainer.steps_per_epoch, cadence.first_epoch_captures)
    measured: EpochMeasured | None = None
    trainer.set_training(True)
    for epoch in range(first_epoch, config.epochs + 1):
        order = epoch_order(trainer.train_split.labels, config.sampler.name, config.seed, epoch).to(trainer.device)
        loss_sum, loss_steps = torch.zeros((), device=trainer.device), 0
        for index in range(trainer.steps_per_epoch):
            rows = order[index * config.batch_size : (index + 1) * config.batch_size]
            loss_sum += trainer.train_step(*trainer.train_split.batch(rows))
            loss_steps += 1
            if (index + 1) % report_every == 0:
                yield _step_measured(trainer, epoch, float(loss_sum) / loss_steps)
                loss_sum.zero_()
                loss_steps = 0
            if epoch == 1 and index + 1 in early:
                yield trainer.capture((index + 1) / trainer.steps_per_epoch)
        if epoch % cadence.every == 0 or epoch == config.epochs:
            measured, captured = trainer.measure_epoch(epoch)
            yield measured
            yield captured
        if epoch % cadence.checkpoint_every == 0 or epoch == config.epochs:
            yield checkpoint.save(trainer, epoch)
    # A run resumed after its last epoch has nothing left to train; its numbers are measured again, from the checkpoint.
    if measured is None:
        measured, _ = trainer.measure_epoch(config.epochs)
    yield RunFinished(epoch=config.epochs, step=trainer.step, summary=measured.scalars)


def _step_measured(trainer: Trainer, epoch: int, loss: float) -> StepMeasured:
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the loss is {loss} at step {trainer.step}: training diverged; lower optimiser.lr "
            f"(now {trainer.config.optimiser.lr:g})"
        )
    return StepMeasured(epoch=epoch, step=trainer.step, loss=loss, lr=trainer.optimiser.param_groups[0]["lr"])


def _early_steps(steps: int, captures: int) -> frozenset[int]:
    """Return the steps of the first epoch after which the geometry is captured, evenly spread, none at its end."""
    return frozenset(round(steps * (i + 1) / (captures + 1)) for i in range(captures)) - {0, steps}


def _device_words(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"
