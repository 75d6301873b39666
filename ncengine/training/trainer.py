"""All that lives as long as a run: network, head, optimisers, data; how a step is taken and an epoch measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ncengine.backbones import make_backbone
from ncengine.config import Agd, RunConfig
from ncengine.config.run import SAMPLE_PER_CLASS
from ncengine.data.batch_order import balanced_rows
from ncengine.data.split import Split
from ncengine.events import EpochMeasured, FeaturesKept, GeometryCaptured, RunStarted, SamplesPictured, StepMeasured
from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import stream_projection, view_matrix, view_name
from ncengine.heads import make_head
from ncengine.losses import loss_of
from ncengine.measurement.hooks import capture_outputs, require_layers
from ncengine.measurement.meter import Measurement, Meter
from ncengine.metrics import METRICS
from ncengine.milestones import collapse_layer
from ncengine.training.capture import capture, measured_frame, sample_budget, thumbnails
from ncengine.training.device import device_name
from ncengine.training.optim import AutomaticGradientDescent, lr_factor, make_optimiser
from ncengine.training.stopwatch import Stopwatch
from ncengine.version import __version__

EVALUATION_BATCH = 250
"""Samples in an evaluation pass, or four training batches where those are fewer: without gradients they need less."""
TERMINAL_ACCURACY = 0.999
AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass
class EvaluationPass:
    """What one pass over a split measured: by its labels, by its true ones, of hidden layers; and features kept."""

    meter: Meter
    true_meter: Meter | None = None
    layers: dict[str, Meter] = field(default_factory=dict)
    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)


def _details(measurement: Measurement) -> dict[str, Any]:
    return {
        "rank": measurement.rank,
        "samples": measurement.samples,
        "of": measurement.of,
        "center": measurement.center,
        "errors": measurement.errors,
        "sizes": {key: measurement.sizes[key] for key in measurement.errors},
    }


class Trainer:
    """Everything that lives as long as a run: network, head, optimisers, data, and what was measured so far."""

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        splits: tuple[Split, Split],
        outside: Split | None,
        clock: Callable[[], float],
    ) -> None:
        self.config, self.device = config, device
        self.train_split, self.test_split = splits
        self.outside_split = outside
        torch.manual_seed(config.seed)
        features = config.backbone.features
        self.backbone = make_backbone(
            config.backbone,
            config.dataset_info.shape,
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
        self.frame_epoch = 0  # the measured epoch whose frame that is; 0 before the first
        self.pca: npt.NDArray[np.float32] | None = None
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
        vertices, reduced = simplex_etf(k, dtype=torch.float32).numpy(), stream_projection(k)
        return RunStarted(
            classes=k,
            class_names=self.config.class_names,
            features=self.config.backbone.features,
            parameters=sum(p.numel() for p in [*self.backbone.parameters(), *self.head.parameters()]),
            steps_per_epoch=self.steps_per_epoch,
            epochs=self.config.epochs,
            device=device_name(self.device),
            view=view_name(k),
            view_matrix=(view_matrix(k) if reduced is None else np.eye(3)).tolist(),
            vertices=(vertices if reduced is None else vertices @ reduced).tolist(),
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

    def measure_split(self, split: Split, rows: Tensor | None = None, *, true: bool = False) -> EvaluationPass:
        """Return what a pass over a split, or some of its rows, in evaluation mode measured.

        `true` also measures by the true labels, where a split has some; hidden layers are measured on whole splits.
        """
        classes, measure = self.config.classes, self.config.measure
        layers = measure.layers if rows is None else ()
        found = EvaluationPass(Meter(classes, self.config.backbone.features))
        true_labels = split.true_labels if true else None
        if true_labels is not None:
            found.true_meter = Meter(classes, self.config.backbone.features)
        keeps = measure.keep_features == ("all" if rows is None else "sample")
        self.set_training(False)
        with capture_outputs(self.backbone, layers) as held:
            for features_BD, chosen in self.penultimate(split, split.all_rows() if rows is None else rows):
                found.meter.update(features_BD, split.labels[chosen])
                if found.true_meter is not None and true_labels is not None:
                    found.true_meter.update(features_BD, true_labels[chosen])
                for name, layer_BC in held.items():
                    meter = found.layers.setdefault(name, Meter(classes, layer_BC.shape[1]))
                    meter.update(layer_BC, split.labels[chosen])
                if keeps:
                    found.kept.append((features_BD.cpu(), split.labels[chosen].cpu()))
        self.set_training(True)
        return found

    def measure_epoch(self) -> tuple[EpochMeasured, list[GeometryCaptured | FeaturesKept]]:
        """Measure both splits and capture the geometry at the end of an epoch."""
        self.require_finite()
        began, epoch = self._clock(), self.epoch
        train = self.measure_split(self.train_split, true=True)
        outside = None
        if self.outside_split is not None:
            outside = Meter(1, self.config.backbone.features)
            for features_BD, chosen in self._evaluated(self.outside_split):
                outside.update(features_BD, self.outside_split.labels[chosen])
        weight, bias = self.head.weight, self.head.bias
        # A run that is measured again after its last epoch has the frame of that epoch already, not the one before.
        previous = self.frame_DR if 0 < self.frame_epoch < epoch else None
        self.frame_DR, self.frame_epoch = measured_frame(train.meter, self.frame_DR), epoch
        found = {
            "train": train.meter.compute(
                weight, bias, outside=outside, frame_DR=self.frame_DR, previous_frame_DR=previous
            )
        }
        if train.true_meter is not None:
            found["train_true"] = train.true_meter.compute(weight, bias)
        test = None
        if len(self.test_split):
            test = self.measure_split(self.test_split)
            found["test"] = test.meter.compute(weight, bias, training=train.meter, outside=outside)
        layers = {name: meter.compute().scalars for name, meter in train.layers.items()}
        if self.terminal_phase is None and found["train"].scalars["top1"] >= TERMINAL_ACCURACY:
            self.terminal_phase = epoch
        captured = self._capture(float(epoch), found["train"], found.get("test"))
        self._measure_s.append(self._clock() - began)
        scalars = {split: measurement.scalars for split, measurement in found.items()}
        flags = {split: tuple(sorted(measurement.flags)) for split, measurement in found.items()}
        scalars.setdefault("test", {})
        flags.setdefault("test", ())
        measured = EpochMeasured(
            epoch=epoch,
            step=self.step,
            scalars=scalars,
            flags=flags,
            details={split: _details(measurement) for split, measurement in found.items()},
            layers=layers,
            layers_test={
                name: meter.compute(training=train.layers[name]).scalars
                for name, meter in (test.layers if test else {}).items()
            },
            collapse_layer=collapse_layer(layers, found["train"].scalars, "penultimate") if layers else None,
            terminal_phase=self.terminal_phase,
            measure_s=self._measure_s[-1],
        )
        kept = self._kept(float(epoch), {"train": train} | ({"test": test} if test else {}))
        return measured, [captured, *kept]

    def captured(self, epoch: float) -> list[GeometryCaptured | FeaturesKept]:
        """Capture the geometry now, with class means from a fixed sample of the training split."""
        self.require_finite()
        sample = self.measure_split(self.train_split, self.sample_rows)
        self.frame_DR = measured_frame(sample.meter, self.frame_DR)
        measurement = sample.meter.compute(self.head.weight, self.head.bias, frame_DR=self.frame_DR)
        return [self._capture(epoch, measurement), *self._kept(epoch, {"train": sample})]

    def _capture(self, epoch: float, measurement: Measurement, test: Measurement | None = None) -> GeometryCaptured:
        if self.frame_DR is None:
            raise RuntimeError("a capture needs the frame of its measurement")
        cloud = list(self._evaluated(self.train_split, self.cloud_rows))
        captured = capture(
            epoch=epoch,
            step=self.step,
            measurement=measurement,
            frame_DR=self.frame_DR,
            previous_pca=self.pca,
            features_ND=torch.cat([features for features, _ in cloud]),
            labels_N=self.train_split.labels[torch.cat([rows for _, rows in cloud])],
            test=test,
        )
        self.pca = captured.arrays["pca"]
        return captured

    def pictured(self) -> list[SamplesPictured]:
        """Return the event that pictures the samples of every capture's features, where they are images."""
        split = self.train_split
        samples, rows = split.untouched(self.cloud_rows)
        if samples.dtype != torch.uint8:
            return []
        arrays = {"images": thumbnails(samples.cpu()).numpy()}
        if split.true_labels is not None:
            arrays["true_labels"] = split.true_labels[rows].cpu().numpy().astype(np.int32)
        return [SamplesPictured(samples=len(samples), arrays=arrays)]

    def _evaluated(self, split: Split, rows: Tensor | None = None) -> list[tuple[Tensor, Tensor]]:
        """Return penultimate features and their rows, network and head in evaluation mode meanwhile."""
        self.set_training(False)
        found = list(self.penultimate(split, split.all_rows() if rows is None else rows))
        self.set_training(True)
        return found

    def _sampled(self) -> list[tuple[Tensor, Tensor]]:
        """Return the fixed sample's features and labels, on the CPU."""
        labels = self.train_split.labels
        found = self._evaluated(self.train_split, self.sample_rows)
        return [(features.cpu(), labels[rows].cpu()) for features, rows in found]

    def _kept(self, epoch: float, passes: Mapping[str, EvaluationPass]) -> list[FeaturesKept]:
        """Return the event that keeps features, where the config asks for it; a sample is drawn where none was."""
        if self.config.measure.keep_features == "none":
            return []
        if self.config.measure.keep_features == "sample":
            # An epoch's pass was over the whole split; the sample is looked at by itself, and not measured.
            parts = {"train": passes["train"].kept or self._sampled()}
        else:
            parts = {split: found.kept for split, found in passes.items() if found.kept}
        arrays: dict[str, npt.NDArray[Any]] = {}
        for split, batches in parts.items():
            arrays[f"features_{split}"] = torch.cat([features for features, _ in batches]).numpy()
            arrays[f"labels_{split}"] = torch.cat([labels for _, labels in batches]).numpy().astype(np.int32)
        if not arrays:
            return []
        return [
            FeaturesKept(
                epoch=epoch,
                step=self.step,
                samples={split: len(arrays[f"labels_{split}"]) for split in parts},
                size_bytes=sum(array.nbytes for array in arrays.values()),
                arrays=arrays,
            )
        ]

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
