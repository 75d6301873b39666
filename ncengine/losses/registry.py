"""The config of a loss, and the registry of losses.

To add a loss: its `LossConfig` in a new module, which imports torch lazily, and a line in `LOSSES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.components import ComponentConfig, ConfigRegistry

if TYPE_CHECKING:
    from torch import Tensor


class LossConfig(ComponentConfig):
    """Settings of a loss, and the loss itself."""

    def loss(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Return the loss (a scalar), averaged over the batch."""
        raise NotImplementedError(f"{type(self).__name__} must define its loss")


LOSSES = ConfigRegistry(
    "collapse_lab.losses",
    LossConfig,
    "ncengine.losses.cross_entropy:CrossEntropy",
    "ncengine.losses.mean_squared_error:MeanSquaredError",
)
"""All losses by name."""
