"""All that lives as long as a run: network, head, optimisers, data; how a step is taken and an epoch measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ncengine.backbones import make_backbone
from ncengine.capture import capture, measured_frame, sample_budget
from ncengine.config import Agd, RunConfig
from ncengine.data.order import balanced_rows
from ncengine.data.split import Split
from ncengine.device import device_words
from ncengine.events import EpochMeasured, GeometryCaptured, RunStarted, StepMeasured
from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import travelling_frame, view_matrix, view_name
from ncengine.heads import make_head
from ncengine.losses import loss_of
from ncengine.measurement import Meter
from ncengine.metrics import METRICS
from ncengine.optim import AutomaticGradientDescent, lr_factor, make_optimiser
from ncengine.stopwatch import Stopwatch
from ncengine.taps import require_layers, tapped
from ncengine.version import __version__

EVALUATION_BATCH = 250
"""Samples in an evaluation pass, or four training batches where those are fewer: without gradients they need less."""
SAMPLE_PER_CLASS = 50
"""Training samples a class whose means stand in for the whole split's within the first epoch."""
TERMINAL_ACCURACY = 0.999
AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Trainer:
    """Everything that lives as long as a run: network, head, optimisers, data, and what was measured so far."""

    def __init__(
        self, config: RunConfig, device: torch.device, splits: tuple[Split, Split], clock: Callable[[], float]
    ) -> None:
        self.config, self.device = config, device
        self.train_split, self.test_split = splits
        torch.manual_seed(config.seed)
        features = config.backbone.features
        self.backbone = make_backbone(
            config.backbone,
            config.facts.shape,
            len(self.train_split),
            linear_maps_only=isinstance(config.optimiser, Agd),
        ).to(device)
        if config.channels_last:
            # Channels last: convolutions on the CPU take two thirds of the time in training, a quarter in evaluation.
            self.backbone.to(memory_format=torch.channels_last)
        require_layers(self.backbone, config.measure.layers)
        self.head = make_head(config.head, features, config.classes, config.seed).to(device)
        self.optimisers = [make_optimiser(config.optimiser, self.backbone, self.head)]
        manifold_optimiser = self.head.manifold_optimiser()
        if manifold_optimiser is not None:
            self.optimisers.append(manifold_optimiser)
        self.base_rates = [group["lr"] for group in self.all_groups()]
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "float16")
        self._network: Callable[[Tensor], Tensor] = torch.compile(self.backbone) if config.compile else self.backbone
        # Of what could be read, which may be a little less than what was found.
        self.steps_per_epoch = max(1, len(self.train_split) // config.batch_size)
        self.total_steps = self.steps_per_epoch * config.epochs
        self.cloud_rows = balanced_rows(self.train_split.labels, sample_budget(config.classes, config.measure.features))
        self.sample_rows = balanced_rows(self.train_split.labels, SAMPLE_PER_CLASS * config.classes)
        self.watch = Stopwatch(device, clock)
        self._clock = clock
        self._measure_s: list[float] = []
        self._step_s = 0.0
        self._measured_epochs = [config.measure.measured(e, config.epochs) for e in range(1, config.epochs + 1)]
        self.step = 0
        self.loss_sum, self.loss_steps = torch.zeros((), device=device), 0
        self.not_finite_at = torch.zeros((), dtype=torch.int64, device=device)
        self.frame_DR: Tensor | None = None
        self.terminal_phase: int | None = None

    def all_groups(self) -> list[dict[str, float]]:
        """Return the parameter groups of all optimisers, in order."""
        return [group for optimiser in self.optimisers for group in optimiser.param_groups]

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.step // self.steps_per_epoch

    def started(self) -> RunStarted:
        """Return the event that labels everything that follows."""
        k = self.config.classes
        vertices, reduced = simplex_etf(k, dtype=torch.float32).numpy(), travelling_frame(k)
        return RunStarted(
            classes=k,
            class_names=self.config.class_names,
            features=self.config.backbone.features,
            parameters=sum(p.numel() for p in [*self.backbone.parameters(), *self.head.parameters()]),
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            device=device_words(self.device),
            view=view_name(k),
            view_matrix=(view_matrix(k) if reduced is None else np.eye(3)).tolist(),
            vertices=(vertices if reduced is None else vertices @ reduced).tolist(),
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
            versions={"collapse-lab": __version__, "torch": torch.__version__, "numpy": np.__version__},
        )

    def _autocast(self) -> torch.autocast:
        dtype = AUTOCAST.get(self.config.precision)
        return torch.autocast(self.device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)

    def _arranged(self, samples: Tensor) -> Tensor:
        return samples if self.config.channels_last or samples.ndim != 4 else samples.contiguous()

    def train_step(self, samples: Tensor, labels: Tensor) -> None:
        """Take one optimisation step; its loss is added to `loss_sum`. Raises FloatingPointError where that is none."""
        config, watch = self.config, self.watch
        factor = lr_factor(config.schedule, self.step, self.total_steps, self.steps_per_epoch)
        for group, rate in zip(self.all_groups(), self.base_rates, strict=True):
            group["lr"] = rate * factor
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        parts = config.optimiser.accumulate
        # As equal as can be: the rest of a division could be a single sample, of which there are no batch statistics.
        shares = zip(samples.tensor_split(parts), labels.tensor_split(parts), strict=True)
        for part_samples, part_labels in shares:
            with self._autocast():
                features = self._network(self._arranged(part_samples))
                watch.mark("forward")
                logits = self.head(features, part_labels)
            loss = loss_of(config.loss, logits.float(), part_labels)
            if parts > 1:
                loss = loss * (len(part_labels) / len(labels))
            watch.mark("head")
            self._require_number(loss, part_samples)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            self.loss_sum += loss.detach()
            watch.mark("backward")
        if config.optimiser.clip_norm is not None:
            for optimiser in self.optimisers:
                self.scaler.unscale_(optimiser)
            parameters = [*self.backbone.parameters(), *self.head.parameters()]
            nn.utils.clip_grad_norm_(parameters, config.optimiser.clip_norm)
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
        self.scaler.update()
        self.head.after_step()
        self.step += 1
        self.loss_steps += 1
        watch.mark("optimiser")

    def _require_number(self, loss: Tensor, samples: Tensor) -> None:
        """Stop at the step whose loss is no number; on a GPU only note it, since looking would wait for the device."""
        if self.device.type == "cuda":
            first = (self.not_finite_at == 0) & ~torch.isfinite(loss.detach())
            self.not_finite_at = torch.where(first, self.step + 1, self.not_finite_at)
        elif not bool(torch.isfinite(loss.detach())):
            raise self._diverged(self.step + 1, samples)

    def require_finite(self) -> None:
        """Raise FloatingPointError where a loss on the GPU was no number, or a parameter is none: none is kept."""
        if self.device.type == "cuda" and (step := int(self.not_finite_at)):
            raise self._diverged(step, None)
        parameters = [*self.backbone.parameters(), *self.head.parameters()]
        if not all(bool(torch.isfinite(parameter).all()) for parameter in parameters):
            raise self._diverged(self.step, None)

    def _diverged(self, step: int, samples: Tensor | None, last: str = "the logits") -> FloatingPointError:
        tensors: list[tuple[str, Tensor]] = [] if samples is None else [("the batch's samples", samples)]
        tensors += [(f"backbone.{name}", value) for name, value in self.backbone.state_dict().items()]
        tensors += [(f"head.{name}", value) for name, value in self.head.state_dict().items()]
        bad = next((n for n, t in tensors if t.is_floating_point() and not bool(torch.isfinite(t).all())), last)
        rate = getattr(self.config.optimiser, "lr", None)
        remedy = "lower optimiser.gain" if rate is None else f"lower optimiser.lr (now {rate:g})"
        return FloatingPointError(
            f"training diverged at step {step}: {bad} is the first tensor that holds what is no number; {remedy} or "
            "set optimiser.clip_norm; the newest checkpoint is kept"
        )

    @torch.no_grad()
    def penultimate(self, split: Split, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield penultimate features and their rows in evaluation mode, in order; the caller drains it at once."""
        size = min(EVALUATION_BATCH, 4 * self.config.batch_size)
        for samples, chosen in split.evaluation(rows, size):
            with self._autocast():
                raw = self.backbone(self._arranged(samples))
            features_BD = self.head.penultimate(raw.float())
            if not bool(torch.isfinite(features_BD).all()):
                raise self._diverged(self.step, samples, last="the penultimate features")
            yield features_BD, chosen

    def set_training(self, mode: bool) -> None:
        """Switch network and head between training and evaluation mode."""
        self.backbone.train(mode)
        self.head.train(mode)

    def measure_split(self, split: Split, rows: Tensor | None = None) -> Meter:
        """Return a meter fed with a split, or some of its rows, in evaluation mode."""
        return self._meters(split, split.all_rows() if rows is None else rows, ())[0]

    def _meters(
        self, split: Split, rows: Tensor, layers: tuple[str, ...]
    ) -> tuple[Meter, Meter | None, dict[str, Meter]]:
        """Return meters of a split by its labels, by its true labels where they differ, and of hidden layers."""
        classes, features = self.config.classes, self.config.backbone.features
        meter = Meter(classes, features)
        true_meter = None if split.true_labels is None else Meter(classes, features)
        layer_meters: dict[str, Meter] = {}
        self.set_training(False)
        with tapped(self.backbone, layers) as held:
            for features_BD, chosen in self.penultimate(split, rows):
                meter.update(features_BD, split.labels[chosen])
                if true_meter is not None and split.true_labels is not None:
                    true_meter.update(features_BD, split.true_labels[chosen])
                for name, layer_BC in held.items():
                    layer_meter = layer_meters.setdefault(name, Meter(classes, layer_BC.shape[1]))
                    layer_meter.update(layer_BC, split.labels[chosen])
        self.set_training(True)
        return meter, true_meter, layer_meters

    def measure_epoch(self) -> tuple[EpochMeasured, GeometryCaptured]:
        """Measure both splits and capture the geometry at the end of an epoch."""
        self.require_finite()
        began, epoch = self._clock(), self.epoch
        train_meter, true_meter, layers = self._meters(
            self.train_split, self.train_split.all_rows(), self.config.measure.layers
        )
        weight, bias = self.head.weight, self.head.bias
        found = {"train": train_meter.compute(weight, bias)}
        if true_meter is not None:
            found["train_true"] = true_meter.compute(weight, bias)
        scalars = {split: measurement.scalars for split, measurement in found.items()}
        flags = {split: tuple(sorted(measurement.flags)) for split, measurement in found.items()}
        scalars["test"], flags["test"] = {}, ()
        if len(self.test_split):
            test_meter = self.measure_split(self.test_split)
            test = test_meter.compute(weight, bias, class_means_DK=train_meter.means_DK)
            scalars["test"], flags["test"] = test.scalars, tuple(sorted(test.flags))
        if self.terminal_phase is None and scalars["train"]["top1"] >= TERMINAL_ACCURACY:
            self.terminal_phase = epoch
        captured = self.capture(float(epoch), train_meter)
        self._measure_s.append(self._clock() - began)
        measured = EpochMeasured(
            epoch=epoch,
            step=self.step,
            scalars=scalars,
            flags=flags,
            layers={name: meter.compute().scalars for name, meter in layers.items()},
            terminal_phase=self.terminal_phase,
            measure_s=self._measure_s[-1],
        )
        return measured, captured

    def capture(self, epoch: float, meter: Meter | None = None) -> GeometryCaptured:
        """Capture the geometry now, with class means from `meter` or from a fixed sample of the training split."""
        if meter is None:
            self.require_finite()
            meter = self.measure_split(self.train_split, self.sample_rows)
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
            labels_N=self.train_split.labels[torch.cat([rows for _, rows in cloud])],
        )

    def step_measured(self) -> StepMeasured:
        """Return what the steps since the last such event were like, and begin anew."""
        seconds, memory_bytes = self.watch.take()
        steps = self.loss_steps
        loss = float(self.loss_sum) / steps
        if not np.isfinite(loss):
            self.require_finite()  # which knows the step, on a GPU
            raise self._diverged(self.step, None)
        self.loss_sum.zero_()
        self.loss_steps = 0
        self._step_s = sum(seconds.values()) / steps
        return StepMeasured(
            epoch=(self.step - 1) // self.steps_per_epoch + 1,
            step=self.step,
            loss=loss,
            lr=self._reported_rate(),
            seconds={phase: spent / steps for phase, spent in seconds.items()},
            memory_bytes=memory_bytes,
            samples_per_s=self.config.batch_size / self._step_s if self._step_s > 0 else None,
            remaining_s=self._remaining_s(),
        )

    def _reported_rate(self) -> float:
        first = self.optimisers[0]
        if isinstance(first, AutomaticGradientDescent):
            return first.automatic_rate
        return float(first.param_groups[0]["lr"])

    def _remaining_s(self) -> float:
        """Return an estimate of the time left: steps and measurements to come at the pace of those before."""
        pace = sum(self._measure_s) / len(self._measure_s) if self._measure_s else 0.0
        return (self.total_steps - self.step) * self._step_s + sum(
            self._measured_epochs[(self.step - 1) // self.steps_per_epoch :]
        ) * pace
