"""Config of the unconstrained-features model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.backbones.registry import BackboneConfig, Shape

if TYPE_CHECKING:
    from torch import nn


class FreeFeaturesConfig(BackboneConfig):
    """No network: the features themselves are the parameters (the unconstrained-features model, data set ufm)."""

    takes_indices = True

    name: Literal["free-features"] = "free-features"
    features: int = Field(default=512, ge=1, le=8192, title="Features d")
    """Dimension of the features."""
    scale: float = Field(default=1.0, gt=0, le=1000, title="First scale")
    """Standard deviation of the features' first values."""

    def build(self, shape: Shape, samples: int) -> nn.Module:
        """Return freshly drawn features, one feature for each training sample."""
        from ncengine.backbones.unconstrained import FreeFeatures

        return FreeFeatures(samples, self.features, self.scale)
