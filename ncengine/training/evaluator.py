"""Measure a model on its splits in evaluation mode, and capture the geometry of its features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.config import RunConfig
from ncengine.config.run import SAMPLE_PER_CLASS
from ncengine.data.batch_order import balanced_rows
from ncengine.data.split import Split
from ncengine.events import EpochMeasured, FeaturesKept, GeometryCaptured, SamplesPictured
from ncengine.measurement.hooks import capture_outputs, require_layers
from ncengine.measurement.meter import Meter
from ncengine.measurement.result import Measurement
from ncengine.milestones import collapse_layer
from ncengine.training.capture import capture, measured_frame, sample_budget, thumbnails
from ncengine.training.model import Model

EVALUATION_BATCH = 250
"""Samples of an evaluation batch, or four training batches if those are fewer: without gradients they need less."""
TERMINAL_ACCURACY = 0.999
"""Training accuracy at which the terminal phase of training begins."""


@dataclass
class EvaluationPass:
    """Meters of one pass over a split: by its labels, by its true labels, of hidden layers; and stored features."""

    meter: Meter
    true_meter: Meter | None = None
    layers: dict[str, Meter] = field(default_factory=dict)
    features: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class Evaluator:
    """Measures a model on the training, the test and the out-of-distribution split.

    Its state, which a checkpoint contains: `frame_DR`, the frame of the ETF nearest to the class means measured last,
    `frame_epoch`, the measured epoch it belongs to (0 before the first), `pca`, the principal directions of the last
    capture, and `terminal_phase`, the first epoch with a training accuracy of 99.9 %.
    """

    def __init__(
        self,
        config: RunConfig,
        model: Model,
        splits: tuple[Split, Split],
        ood_split: Split | None,
        clock: Callable[[], float],
    ) -> None:
        require_layers(model.backbone, config.measure.layers)
        self.config, self.model = config, model
        self.train_split, self.test_split = splits
        self.ood_split = ood_split
        labels = self.train_split.labels
        self.cloud_rows = balanced_rows(labels, sample_budget(config.classes, config.measure.features))
        self.sample_rows = balanced_rows(labels, SAMPLE_PER_CLASS * config.classes)
        self._clock = clock
        self._durations_s: list[float] = []
        self.frame_DR: Tensor | None = None
        self.frame_epoch = 0
        self.pca: npt.NDArray[np.float32] | None = None
        self.terminal_phase: int | None = None

    @property
    def mean_duration_s(self) -> float:
        """Mean duration of the measurements so far in seconds; 0 before the first."""
        return sum(self._durations_s) / len(self._durations_s) if self._durations_s else 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint contains of the evaluator."""
        return {
            "frame": self.frame_DR,
            "frame_epoch": self.frame_epoch,
            "pca": None if self.pca is None else torch.from_numpy(self.pca),
            "terminal_phase": self.terminal_phase,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.frame_DR, self.frame_epoch = state["frame"], state["frame_epoch"]
        self.pca = None if state["pca"] is None else state["pca"].numpy()
        self.terminal_phase = state["terminal_phase"]

    @torch.no_grad()
    def penultimate(self, split: Split, rows: Tensor | None = None, *, step: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield penultimate features and their rows, of a whole split or of some rows, in order.

        The model must be in evaluation mode. Raises FloatingPointError, with the number of the `step`, for features
        that are not finite.
        """
        size = min(EVALUATION_BATCH, 4 * self.config.batch_size)
        for samples, batch_rows in split.evaluation(split.all_rows() if rows is None else rows, size):
            features_BD = self.model.penultimate(samples)
            if not bool(torch.isfinite(features_BD).all()):
                raise self.model.divergence_error(self.config, step, samples, otherwise="the penultimate features")
            yield features_BD, batch_rows

    def evaluate(
        self, split: Split, rows: Tensor | None = None, *, step: int, true_labels: bool = False
    ) -> EvaluationPass:
        """Pass over a split, or some of its rows, in evaluation mode, and return the meters.

        With `true_labels` a second meter measures by the true labels, if the split has any. Hidden layers are measured
        on whole splits only.
        """
        classes, measure = self.config.classes, self.config.measure
        layers = measure.layers if rows is None else ()
        result = EvaluationPass(Meter(classes, self.config.backbone.features))
        true_N = split.true_labels if true_labels else None
        if true_N is not None:
            result.true_meter = Meter(classes, self.config.backbone.features)
        keeps_features = measure.keep_features == ("all" if rows is None else "sample")
        self.model.eval()
        with capture_outputs(self.model.backbone, layers) as outputs:
            for features_BD, batch_rows in self.penultimate(split, rows, step=step):
                labels_B = split.labels[batch_rows]
                result.meter.update(features_BD, labels_B)
                if result.true_meter is not None and true_N is not None:
                    result.true_meter.update(features_BD, true_N[batch_rows])
                for name, layer_BC in outputs.items():
                    meter = result.layers.setdefault(name, Meter(classes, layer_BC.shape[1]))
                    meter.update(layer_BC, labels_B)
                if keeps_features:
                    result.features.append((features_BD.cpu(), labels_B.cpu()))
        self.model.train()
        return result

    def measure_epoch(self, epoch: int, step: int) -> tuple[EpochMeasured, list[GeometryCaptured | FeaturesKept]]:
        """Measure both splits and capture the geometry at the end of an epoch."""
        began = self._clock()
        train = self.evaluate(self.train_split, step=step, true_labels=True)
        ood = self._ood_meter(step)
        test = self.evaluate(self.test_split, step=step) if len(self.test_split) else None
        measurements = self._compute(epoch, train, test, ood)
        layers = {name: meter.compute().scalars for name, meter in train.layers.items()}
        if self.terminal_phase is None and measurements["train"].scalars["top1"] >= TERMINAL_ACCURACY:
            self.terminal_phase = epoch
        captured = self._capture(float(epoch), step, measurements["train"], measurements.get("test"))
        self._durations_s.append(self._clock() - began)
        scalars = {split: measurement.scalars for split, measurement in measurements.items()}
        flags = {split: tuple(sorted(measurement.flags)) for split, measurement in measurements.items()}
        scalars.setdefault("test", {})
        flags.setdefault("test", ())
        measured = EpochMeasured(
            epoch=epoch,
            step=step,
            scalars=scalars,
            flags=flags,
            details={split: _details(measurement) for split, measurement in measurements.items()},
            layers=layers,
            layers_test={
                name: meter.compute(training=train.layers[name]).scalars
                for name, meter in (test.layers if test else {}).items()
            },
            collapse_layer=collapse_layer(layers, measurements["train"].scalars, "penultimate") if layers else None,
            terminal_phase=self.terminal_phase,
            measure_s=self._durations_s[-1],
        )
        kept = self._features_kept(float(epoch), step, {"train": train} | ({"test": test} if test else {}))
        return measured, [captured, *kept]

    def _compute(
        self, epoch: int, train: EvaluationPass, test: EvaluationPass | None, ood: Meter | None
    ) -> dict[str, Measurement]:
        """Return the measurements by split, and update the frame."""
        weight, bias = self.model.head.weight, self.model.head.bias
        # A run that is measured again after its last epoch has the frame of that epoch already, not the one before.
        previous = self.frame_DR if 0 < self.frame_epoch < epoch else None
        self.frame_DR, self.frame_epoch = measured_frame(train.meter, self.frame_DR), epoch
        measurements = {
            "train": train.meter.compute(weight, bias, ood=ood, frame_DR=self.frame_DR, previous_frame_DR=previous)
        }
        if train.true_meter is not None:
            measurements["train_true"] = train.true_meter.compute(weight, bias)
        if test is not None:
            measurements["test"] = test.meter.compute(weight, bias, training=train.meter, ood=ood)
        return measurements

    def _ood_meter(self, step: int) -> Meter | None:
        if self.ood_split is None:
            return None
        meter = Meter(1, self.config.backbone.features)
        for features_BD, rows in self._features(self.ood_split, step=step):
            meter.update(features_BD, self.ood_split.labels[rows])
        return meter

    def capture_sample(self, epoch: float, step: int) -> list[GeometryCaptured | FeaturesKept]:
        """Capture the geometry within an epoch, with class means from a fixed sample of the training split."""
        sample = self.evaluate(self.train_split, self.sample_rows, step=step)
        self.frame_DR = measured_frame(sample.meter, self.frame_DR)
        head = self.model.head
        measurement = sample.meter.compute(head.weight, head.bias, frame_DR=self.frame_DR)
        return [self._capture(epoch, step, measurement), *self._features_kept(epoch, step, {"train": sample})]

    def _capture(
        self, epoch: float, step: int, measurement: Measurement, test: Measurement | None = None
    ) -> GeometryCaptured:
        if self.frame_DR is None:
            raise RuntimeError("a capture needs the frame of its measurement")
        cloud = self._features(self.train_split, self.cloud_rows, step=step)
        captured = capture(
            epoch=epoch,
            step=step,
            measurement=measurement,
            frame_DR=self.frame_DR,
            previous_pca=self.pca,
            features_ND=torch.cat([features for features, _ in cloud]),
            labels_N=self.train_split.labels[torch.cat([rows for _, rows in cloud])],
            test=test,
        )
        self.pca = captured.arrays["pca"]
        return captured

    def samples_pictured(self) -> list[SamplesPictured]:
        """Return the event with thumbnails of the samples of every capture's features, if they are images."""
        split = self.train_split
        samples, rows = split.untouched(self.cloud_rows)
        if samples.dtype != torch.uint8:
            return []
        arrays = {"images": thumbnails(samples.cpu()).numpy()}
        if split.true_labels is not None:
            arrays["true_labels"] = split.true_labels[rows].cpu().numpy().astype(np.int32)
        return [SamplesPictured(samples=len(samples), arrays=arrays)]

    def _features(self, split: Split, rows: Tensor | None = None, *, step: int) -> list[tuple[Tensor, Tensor]]:
        """Return penultimate features and their rows, with the model in evaluation mode meanwhile."""
        self.model.eval()
        batches = list(self.penultimate(split, rows, step=step))
        self.model.train()
        return batches

    def _sample_features(self, step: int) -> list[tuple[Tensor, Tensor]]:
        """Return the features and labels of the fixed sample, on the CPU."""
        labels = self.train_split.labels
        batches = self._features(self.train_split, self.sample_rows, step=step)
        return [(features.cpu(), labels[rows].cpu()) for features, rows in batches]

    def _features_kept(self, epoch: float, step: int, passes: Mapping[str, EvaluationPass]) -> list[FeaturesKept]:
        """Return the event that stores features, if the config asks for it."""
        if self.config.measure.keep_features == "none":
            return []
        if self.config.measure.keep_features == "sample":
            # The pass of an epoch was over the whole split; the sample is then evaluated separately.
            parts = {"train": passes["train"].features or self._sample_features(step)}
        else:
            parts = {split: result.features for split, result in passes.items() if result.features}
        arrays: dict[str, npt.NDArray[Any]] = {}
        for split, batches in parts.items():
            arrays[f"features_{split}"] = torch.cat([features for features, _ in batches]).numpy()
            arrays[f"labels_{split}"] = torch.cat([labels for _, labels in batches]).numpy().astype(np.int32)
        if not arrays:
            return []
        return [
            FeaturesKept(
                epoch=epoch,
                step=step,
                samples={split: len(arrays[f"labels_{split}"]) for split in parts},
                size_bytes=sum(array.nbytes for array in arrays.values()),
                arrays=arrays,
            )
        ]


def _details(measurement: Measurement) -> dict[str, Any]:
    return {
        "rank": measurement.rank,
        "samples": measurement.samples,
        "of": measurement.of,
        "center": measurement.center,
        "errors": measurement.errors,
        "sizes": {key: measurement.sizes[key] for key in measurement.errors},
    }
