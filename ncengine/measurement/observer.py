"""Measure neural collapse in any training loop, by hooks on the classifier's input and on hidden layers.

    observer = nc.Observer(network, "fc", layers=["layer3", "layer4"])
    for images, labels in loader:
        network(images)
        observer.update(labels)
    observation = observer.compute()

The features of a batch are held until `update`. They accumulate in meters (`Meter`), which combine the processes of
`torch.distributed`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from torch import Tensor, nn

from ncengine.measurement.hooks import capture_outputs, require_layers
from ncengine.measurement.meter import Meter
from ncengine.measurement.result import Measurement
from ncengine.milestones import collapse_layer


@dataclass(frozen=True)
class Observation:
    """Measurements of the penultimate features with the classifier and of hidden layers, and the collapse layer.

    `collapse_layer` is the first of the layers, in the order of the forward pass, from which on the nearest class mean
    is right for 99 % of the samples; "penultimate" if only the penultimate features qualify; None if none do.
    """

    penultimate: Measurement
    layers: dict[str, Measurement]
    collapse_layer: str | None


class Observer:
    """Feeds meters from hooks on a network; call `update(labels)` after each forward pass, `compute()` at the end.

    `classifier` names the network's last linear layer, whose input are the penultimate features and whose weight and
    bias are W and b. `layers` names further modules, measured with their outputs averaged over positions or tokens.
    Gradients and the network's mode are not changed. `close()`, or leaving a `with` block, removes the hooks. Raises
    ValueError for unknown names and for a classifier that is not an `nn.Linear`.
    """

    def __init__(self, network: nn.Module, classifier: str, *, layers: Sequence[str] = ()) -> None:
        require_layers(network, [classifier, *layers], what="names must be modules of the network")
        last = network.get_submodule(classifier)
        if not isinstance(last, nn.Linear):
            raise ValueError(f"the classifier must be an nn.Linear, {classifier!r} is {type(last).__name__}")
        self._classifier = last
        self._input: Tensor | None = None
        self._meter = Meter(last.out_features, last.in_features)
        self._layers: dict[str, Meter] = {}
        self._hooks = contextlib.ExitStack()
        self._outputs = self._hooks.enter_context(capture_outputs(network, layers))
        self._hooks.callback(last.register_forward_pre_hook(self._capture_input).remove)

    def _capture_input(self, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._input = inputs[0].detach()

    def update(self, labels_B: Tensor) -> None:
        """Add the features of the last forward pass with labels (B,), or (B, T) for features (B, T, D).

        Raises ValueError without a forward pass since the last update, and for labels that do not fit.
        """
        if self._input is None:
            raise ValueError("update needs a forward pass through the network since the last update, got none")
        features, self._input = self._input, None
        if features.shape[:-1] != labels_B.shape:
            raise ValueError(
                f"labels must be {tuple(features.shape[:-1])} as the features, got {tuple(labels_B.shape)}"
            )
        self._meter.update(features.reshape(-1, features.shape[-1]), labels_B.reshape(-1))
        for name, layer_BC in self._outputs.items():
            meter = self._layers.setdefault(name, Meter(self._meter.classes, layer_BC.shape[1]))
            meter.update(layer_BC.detach(), labels_B)
        self._outputs.clear()

    def compute(self, *, training: Observer | None = None) -> Observation:
        """Return the measurement of what was seen; `training` is the observer of the training split, for a test split.

        If `torch.distributed` is initialised this is a collective operation, and of all processes together.
        """
        bias = self._classifier.bias
        penultimate = self._meter.compute(
            self._classifier.weight.detach(),
            None if bias is None else bias.detach(),
            training=None if training is None else training._meter,
        )
        layers = {
            name: meter.compute(training=None if training is None else training._layers.get(name))
            for name, meter in self._layers.items()
        }
        scalars = {name: measurement.scalars for name, measurement in layers.items()}
        return Observation(penultimate, layers, collapse_layer(scalars, penultimate.scalars, "penultimate"))

    def reset(self) -> None:
        """Clear the accumulated state; the hooks stay."""
        self._meter.reset()
        self._layers.clear()

    def close(self) -> None:
        """Remove the hooks; the accumulated state stays."""
        self._hooks.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
