"""The state of a training run, and one optimisation step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ncengine.config import RunConfig
from ncengine.data.split import Split
from ncengine.events import EpochMeasured, FeaturesKept, GeometryCaptured, RunStarted, StepMeasured
from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import stream_projection, view_matrix, view_name
from ncengine.metrics import METRICS
from ncengine.plugins import loaded_plugins
from ncengine.training.device import device_name
from ncengine.training.evaluator import Evaluator
from ncengine.training.model import Model
from ncengine.training.optim import AutomaticGradientDescent, lr_factor, make_optimiser
from ncengine.training.stopwatch import Stopwatch
from ncengine.version import __version__


class Trainer:
    """Model, optimisers, data and evaluator of a run. `state_dict` is the whole of a checkpoint.

    `step` counts the optimisation steps taken; `loss_sum` is the sum of the losses of the last `loss_steps` steps,
    which no event has reported yet.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        splits: tuple[Split, Split],
        ood_split: Split | None,
        clock: Callable[[], float],
    ) -> None:
        self.config, self.device = config, device
        self.train_split, self.test_split = splits
        self.model = Model(config, device, len(self.train_split))
        self.evaluator = Evaluator(config, self.model, splits, ood_split, clock)
        head = self.model.head
        self.optimisers = [make_optimiser(config.optimiser, self.model.backbone, head)]
        manifold_optimiser = head.manifold_optimiser()
        if manifold_optimiser is not None:
            self.optimisers.append(manifold_optimiser)
        self._base_rates = [group["lr"] for group in self._parameter_groups()]
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        backbone = self.model.backbone
        self._forward: Callable[[Tensor], Tensor] = torch.compile(backbone) if config.compile else backbone
        # Of the samples that could be read, which may be fewer than were found.
        self.steps_per_epoch = max(1, len(self.train_split) // config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.stopwatch = Stopwatch(device, clock)
        self._step_s = 0.0
        self._is_measured = [config.measure.measured(epoch, config.epochs) for epoch in range(1, config.epochs + 1)]
        self.step = 0
        self.loss_sum, self.loss_steps = torch.zeros((), device=device), 0
        self._diverged_at = torch.zeros((), dtype=torch.int64, device=device)

    def _parameter_groups(self) -> list[dict[str, float]]:
        """Return the parameter groups of all optimisers, in order."""
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    @property
    def epoch(self) -> int:
        """Number of complete epochs."""
        return self.step // self.steps_per_epoch

    def started(self) -> RunStarted:
        """Return the event that describes the run and its metrics."""
        k = self.config.classes
        vertices, projection = simplex_etf(k, dtype=torch.float32).numpy(), stream_projection(k)
        return RunStarted(
            classes=k,
            class_names=self.config.class_names,
            features=self.config.backbone.features,
            parameters=sum(parameter.numel() for parameter in self.model.parameters()),
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            device=device_name(self.device),
            view=view_name(k),
            view_matrix=(view_matrix(k) if projection is None else np.eye(3)).tolist(),
            vertices=(vertices if projection is None else vertices @ projection).tolist(),
            metrics={
                key: {
                    "label": spec.label,
                    "symbol": spec.symbol,
                    "formula": spec.formula,
                    "family": spec.family,
                    "direction": spec.direction,
                    "ideal": None if spec.ideal is None else spec.ideal(k),
                    "source": spec.source,
                    "reading": spec.reading,
                }
                for key, spec in METRICS.items()
            },
            versions={
                "collapse-lab": __version__,
                "torch": torch.__version__,
                "numpy": np.__version__,
                **{plugin.package: plugin.version for plugin in loaded_plugins()},
            },
        )

    def train_step(self, samples: Tensor, labels: Tensor) -> None:
        """Take one optimisation step and add its loss to `loss_sum`.

        Raises FloatingPointError if the loss is not finite; on a GPU `require_finite` does, since reading the loss
        would wait for the device.
        """
        config, stopwatch = self.config, self.stopwatch
        factor = lr_factor(config.schedule, self.step, self.total_steps, self.steps_per_epoch)
        for group, rate in zip(self._parameter_groups(), self._base_rates, strict=True):
            group["lr"] = rate * factor
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        parts = config.optimiser.accumulate
        # Parts of nearly equal size: a remainder could be a single sample, which has no batch statistics.
        for part_samples, part_labels in zip(samples.tensor_split(parts), labels.tensor_split(parts), strict=True):
            with self.model.autocast():
                features = self._forward(self.model.in_memory_order(part_samples))
                stopwatch.mark("forward")
                logits = self.model.head(features, part_labels)
            loss = config.loss.loss(logits.float(), part_labels)
            if parts > 1:
                loss = loss * (len(part_labels) / len(labels))
            stopwatch.mark("head")
            self._check_loss(loss, part_samples)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.loss_sum += loss.detach()
            stopwatch.mark("backward")
        if config.optimiser.clip_norm is not None:
            for optimiser in self.optimisers:
                self.scaler.unscale_(optimiser)
            nn.utils.clip_grad_norm_(list(self.model.parameters()), config.optimiser.clip_norm)
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
        self.scaler.update()
        self.model.head.after_step()
        self.step += 1
        self.loss_steps += 1
        stopwatch.mark("optimiser")

    def _check_loss(self, loss: Tensor, samples: Tensor) -> None:
        """Raise FloatingPointError if the loss is not finite; on a GPU record the step without waiting for it."""
        if self.device.type == "cuda":
            first = (self._diverged_at == 0) & ~torch.isfinite(loss.detach())
            self._diverged_at = torch.where(first, self.step + 1, self._diverged_at)
        elif not bool(torch.isfinite(loss.detach())):
            raise self.model.divergence_error(self.config, self.step + 1, samples)

    def require_finite(self) -> None:
        """Raise FloatingPointError if a loss on the GPU or a parameter is not finite."""
        if self.device.type == "cuda" and (step := int(self._diverged_at)):
            raise self.model.divergence_error(self.config, step)
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.model.parameters()):
            raise self.model.divergence_error(self.config, self.step)

    def measure_epoch(self) -> tuple[EpochMeasured, list[GeometryCaptured | FeaturesKept]]:
        """Measure all splits and capture the geometry at the end of an epoch."""
        self.require_finite()
        return self.evaluator.measure_epoch(self.epoch, self.step)

    def capture_sample(self, epoch: float) -> list[GeometryCaptured | FeaturesKept]:
        """Capture the geometry now, with class means from a fixed sample of the training split."""
        self.require_finite()
        return self.evaluator.capture_sample(epoch, self.step)

    def reset_loss(self) -> None:
        """Start a new mean of the training loss."""
        self.loss_sum.zero_()
        self.loss_steps = 0

    def step_measured(self) -> StepMeasured:
        """Return the event with means over the steps since the last such event, and start new means."""
        seconds, memory_bytes = self.stopwatch.take()
        steps = self.loss_steps
        loss = float(self.loss_sum) / steps
        if not np.isfinite(loss):
            self.require_finite()  # names the step on a GPU
            raise self.model.divergence_error(self.config, self.step)
        self.reset_loss()
        self._step_s = sum(seconds.values()) / steps
        return StepMeasured(
            epoch=(self.step - 1) // self.steps_per_epoch + 1,
            step=self.step,
            loss=loss,
            lr=self._learning_rate(),
            seconds={phase: spent / steps for phase, spent in seconds.items()},
            memory_bytes=memory_bytes,
            samples_per_s=self.config.batch_size / self._step_s if self._step_s > 0 else None,
            remaining_s=self._remaining_s(),
        )

    def _learning_rate(self) -> float:
        first = self.optimisers[0]
        if isinstance(first, AutomaticGradientDescent):
            return first.automatic_rate
        return float(first.param_groups[0]["lr"])

    def _remaining_s(self) -> float:
        """Return an estimate of the time left, from the mean durations of steps and of measurements."""
        measurements = sum(self._is_measured[(self.step - 1) // self.steps_per_epoch :])
        return (self.total_steps - self.step) * self._step_s + measurements * self.evaluator.mean_duration_s

    def state_dict(self) -> dict[str, Any]:
        """Return everything that continuing the run needs; tensors are not copied.

        Hyperparameters of the optimisers come from the config. Of their groups only the step count of geoopt's SGD is
        state. Batch orders and random crops need no state: they are functions of (seed, epoch, step).
        """
        on_gpu = self.device.type == "cuda"
        return {
            "step": self.step,
            "loss": self.loss_sum,
            "loss_steps": self.loss_steps,
            "backbone": self.model.backbone.state_dict(),
            "head": self.model.head.state_dict(),
            "optimisers": [
                {
                    "slots": optimiser.state_dict()["state"],
                    "group_steps": [group.get("step") for group in optimiser.param_groups],
                }
                for optimiser in self.optimisers
            ],
            "scaler": self.scaler.state_dict(),
            "random": torch.get_rng_state(),
            "random-cuda": torch.cuda.get_rng_state(self.device) if on_gpu else None,
            "evaluator": self.evaluator.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, and torch's random state."""
        self.model.backbone.load_state_dict(state["backbone"])
        self.model.head.load_state_dict(state["head"])
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            _load_optimiser(optimiser, saved["slots"], saved["group_steps"])
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(state["scaler"])
        self.evaluator.load_state_dict(state["evaluator"])
        self.step = state["step"]
        self.loss_sum, self.loss_steps = state["loss"].to(self.device, copy=True), state["loss_steps"]
        torch.set_rng_state(state["random"])
        if state["random-cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random-cuda"], self.device)


def _load_optimiser(
    optimiser: torch.optim.Optimizer, slots: Mapping[int, Mapping[str, Any]], group_steps: list[int | None]
) -> None:
    groups = optimiser.state_dict()["param_groups"]
    for group, step in zip(groups, group_steps, strict=True):
        group |= {} if step is None else {"step": step}
    optimiser.load_state_dict({"state": dict(slots), "param_groups": groups})
    # torch's Adam, from which geoopt's inherits, turns a step count that was a number into a tensor.
    for loaded, saved in zip(optimiser.state.values(), slots.values(), strict=True):
        loaded.update({name: value for name, value in saved.items() if not isinstance(value, Tensor)})
