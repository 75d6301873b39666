"""The training loop: `run(config)` is a generator of events.

    DataProgressed …, RunStarted, SamplesPictured (of images), GeometryCaptured (step 0), then for each epoch
    StepMeasured …, EpochMeasured, GeometryCaptured, FeaturesKept (where requested for), CheckpointSaved, and at the end
    RunFinished

Closing the generator stops the run. Sending it "checkpoint" in answer to a StepMeasured makes it yield a checkpoint
next, so that a run can be stopped and continued at that step. `resume` continues after a checkpoint of any step: batch
orders and random crops are functions of (seed, epoch, step), so the numbers are those of a run without interruption.
The clock is an argument and affects reported times only; torch's random state is seeded from the config.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from ncengine.config import RunConfig
from ncengine.data import resolve_config
from ncengine.data.batch_order import epoch_order
from ncengine.data.image_folder import unreadable_log_line
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
    data_paths: DataPaths | None = None,
) -> Generator[Event, str | None, None]:
    """Train as `config` describes and yield events.

    Args:
        config: the run.
        resume: continue after this checkpoint of the same config: the event, a file, or a folder of files
            (`ncengine.save_checkpoint`), of which the newest valid one is used.
        data_paths: the directory of downloaded data sets, a mirror to download them from, and a clock.

    Raises ValueError if a part of the config is not available or does not fit, FileNotFoundError for a data set that is
    missing and may not be downloaded, FloatingPointError if the training diverges, and MemoryError, with the sizes, if
    memory does not suffice.
    """
    config = resolve_config(config)
    saved = checkpoint.load_checkpoint(resume) if isinstance(resume, Path) else resume
    if saved is not None:
        checkpoint.require_same_config(saved, config)
    device = choose_device(config.device)
    data_paths = data_paths or DataPaths()
    with global_settings(config, device), memory_advice(config):
        splits = yield from load(config, device, data_paths)
        ood_split = yield from load_ood(config, device, data_paths)
        trainer = Trainer(config, device, splits, ood_split, data_paths.clock)
        if saved is None:
            yield trainer.started()
            yield from trainer.evaluator.samples_pictured()
            trainer.model.train()
            yield from trainer.capture_sample(0.0)
        else:
            checkpoint.restore(trainer, saved)
            yield Resumed(epoch=trainer.epoch, step=trainer.step)
        yield from _epochs(trainer)


def _epochs(trainer: Trainer) -> Generator[Event, str | None, None]:
    config, cadence, steps = trainer.config, trainer.config.measure, trainer.steps_per_epoch
    report_every = max(1, steps // STEP_EVENTS_PER_EPOCH)
    early = _early_steps(steps, cadence.first_epoch_captures)
    measured: EpochMeasured | None = None
    requested: str | None = None
    trainer.model.train()
    while trainer.step < trainer.total_steps:
        epoch, first = trainer.epoch + 1, trainer.step % steps
        order = epoch_order(trainer.train_split.labels, config.sampler.name, config.seed, epoch).to(trainer.device)
        if first == 0:
            trainer.reset_loss()
        trainer.stopwatch.start()
        for samples, labels in trainer.train_split.training(
            order, config.batch_size, seed=config.seed, epoch=epoch, first=first, steps=steps
        ):
            trainer.stopwatch.mark("data")
            trainer.train_step(samples, labels)
            done = trainer.step - (epoch - 1) * steps
            if done % report_every == 0:
                requested = yield trainer.step_measured()
                trainer.stopwatch.start()
            if epoch == 1 and done in early:
                yield from trainer.capture_sample(done / steps)
                trainer.stopwatch.start()
            due = cadence.checkpoint_steps and trainer.step % cadence.checkpoint_steps == 0
            if (due or requested == "checkpoint") and done < steps:
                requested = None
                yield checkpoint.save(trainer)
                trainer.stopwatch.start()
        for split in (trainer.train_split, trainer.test_split):
            if reasons := split.source.newly_unreadable():
                yield unreadable_log_line(reasons, len(split))
        if cadence.measured(epoch, config.epochs):
            measured, beside = trainer.measure_epoch()
            yield measured
            yield from beside
        if epoch % cadence.checkpoint_every == 0 or epoch == config.epochs or requested == "checkpoint":
            requested = None
            yield checkpoint.save(trainer)
    # A run resumed after its last epoch has no step left; it is measured again, from the checkpoint.
    if measured is None:
        measured, _ = trainer.measure_epoch()
    yield RunFinished(epoch=config.epochs, step=trainer.step, summary=measured.scalars)


def _early_steps(steps: int, captures: int) -> frozenset[int]:
    """Return the steps of the first epoch after which the geometry is captured: evenly spaced, not at its end."""
    return frozenset(round(steps * (i + 1) / (captures + 1)) for i in range(captures)) - {0, steps}
