"""The training loop: `run(config)` is a generator of events, and reads top to bottom.

    DataProgressed …, RunStarted, SamplesPictured (of images), GeometryCaptured (step 0), then for each epoch
    StepMeasured …, EpochMeasured, GeometryCaptured, FeaturesKept (where asked for), CheckpointSaved, and at the end
    RunFinished

Closing the generator stops the run. Sending it "checkpoint" in answer to a StepMeasured has it save one as soon as the
numbers of that step are told, so that a run can be left and continued where it stands. `resume` continues after a
checkpoint, at whatever step it was made: batch orders and random crops come from (seed, epoch, step) alone, so the
numbers are those of a run that was never interrupted. The clock is an argument and changes nothing but reported times;
torch's random state is seeded from the config.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from ncengine.config import RunConfig
from ncengine.data import resolve_config
from ncengine.data.batch_order import epoch_order
from ncengine.data.image_folder import left_out
from ncengine.data.loader import load
from ncengine.data.ood import load_ood
from ncengine.data.paths import DataPaths
from ncengine.events import CheckpointSaved, EpochMeasured, Event, Resumed, RunFinished
from ncengine.training import checkpoint
from ncengine.training.device import choose_device, global_settings, memory_advice
from ncengine.training.trainer import Trainer

STEP_EVENTS_PER_EPOCH = 8


def run(
    config: RunConfig,
    *,
    resume: CheckpointSaved | Path | None = None,
    places: DataPaths | None = None,
) -> Generator[Event, str | None, None]:
    """Train as `config` says and yield events; `resume` continues after a checkpoint of the same config.

    `resume` is the event itself, a checkpoint's file, or a folder of them (`ncengine.save_checkpoint`), of which the
    newest whole one is taken. `places` says where data sets lie, and what time it is. Raises ValueError where something
    of the config is not there or does not fit, FileNotFoundError for a data set that may not be downloaded,
    FloatingPointError where the loss stops being a number, and MemoryError, with the sizes, where memory does not
    suffice.
    """
    config = resolve_config(config)
    saved = checkpoint.load_checkpoint(resume) if isinstance(resume, Path) else resume
    if saved is not None:
        checkpoint.require_same_config(saved, config)
    device = choose_device(config.device)
    places = places or DataPaths()
    with global_settings(config, device), memory_advice(config):
        splits = yield from load(config, device, places)
        outside = yield from load_ood(config, device, places)
        trainer = Trainer(config, device, splits, outside, places.clock)
        if saved is None:
            yield trainer.started()
            yield from trainer.pictured()
            trainer.set_training(True)
            yield from trainer.captured(0.0)
        else:
            checkpoint.restore(trainer, saved)
            yield Resumed(epoch=trainer.epoch, step=trainer.step)
        yield from _epochs(trainer)


def _epochs(trainer: Trainer) -> Generator[Event, str | None, None]:
    config, cadence, steps = trainer.config, trainer.config.measure, trainer.steps_per_epoch
    report_every = max(1, steps // STEP_EVENTS_PER_EPOCH)
    early = _early_steps(steps, cadence.first_epoch_captures)
    measured: EpochMeasured | None = None
    asked: str | None = None
    trainer.set_training(True)
    while trainer.step < trainer.total_steps:
        epoch, first = trainer.epoch + 1, trainer.step % steps
        order = epoch_order(trainer.train_split.labels, config.sampler.name, config.seed, epoch).to(trainer.device)
        if first == 0:
            trainer.loss_sum.zero_()
            trainer.loss_steps = 0
        trainer.watch.start()
        for samples, labels in trainer.train_split.training(
            order, config.batch_size, seed=config.seed, epoch=epoch, first=first, steps=steps
        ):
            trainer.watch.mark("data")
            trainer.train_step(samples, labels)
            done = trainer.step - (epoch - 1) * steps
            if done % report_every == 0:
                asked = yield trainer.step_measured()
                trainer.watch.start()
            if epoch == 1 and done in early:
                yield from trainer.captured(done / steps)
                trainer.watch.start()
            due = cadence.checkpoint_steps and trainer.step % cadence.checkpoint_steps == 0
            if (due or asked == "checkpoint") and done < steps:
                asked = None
                yield checkpoint.save(trainer)
                trainer.watch.start()
        for split in (trainer.train_split, trainer.test_split):
            if reasons := split.source.newly_unreadable():
                yield left_out(reasons, len(split))
        if cadence.measured(epoch, config.epochs):
            measured, beside = trainer.measure_epoch()
            yield measured
            yield from beside
        if epoch % cadence.checkpoint_every == 0 or epoch == config.epochs or asked == "checkpoint":
            asked = None
            yield checkpoint.save(trainer)
    # A run resumed after its last epoch has nothing left to train; its numbers are measured again, from the checkpoint.
    if measured is None:
        measured, _ = trainer.measure_epoch()
    yield RunFinished(epoch=config.epochs, step=trainer.step, summary=measured.scalars)


def _early_steps(steps: int, captures: int) -> frozenset[int]:
    """Return the steps of the first epoch after which the geometry is captured, evenly spread, none at its end."""
    return frozenset(round(steps * (i + 1) / (captures + 1)) for i in range(captures)) - {0, steps}
