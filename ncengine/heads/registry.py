"""The config of a classifier head, and the registry of heads (method of Markou, Ajanthan, Gould 2024 and baselines).

To add a head: its `HeadConfig` in a module without torch, its `nn.Module` in another, and a line in `HEADS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from ncengine.components import ComponentConfig, ConfigRegistry

if TYPE_CHECKING:
    from ncengine.heads.base import Head


class HeadConfig(ComponentConfig):
    """Settings that all heads share."""

    is_etf: ClassVar[bool] = False
    """Whether the classifier is a simplex ETF, which needs d ≥ K − 1 features."""
    has_only_linear_maps: ClassVar[bool] = True
    """Whether all parameters besides a bias are linear maps, which automatic gradient descent needs."""
    temperature: float = Field(default=5.0, gt=0, le=1000, title="Temperature τ")
    """Features are scaled onto a sphere of radius τ."""
    normalise: bool = Field(default=True, title="Normalise features")
    """Scale features onto the sphere; off uses the features of the backbone unchanged."""

    @property
    def learns_bias(self) -> bool:
        """Whether the head has a bias that the optimiser trains."""
        return False

    def options(self) -> dict[str, Any]:
        """Return the settings without the name: the keyword arguments of the module."""
        return self.model_dump(exclude={"name"})

    def build(self, features: int, classes: int, seed: int) -> Head:
        """Return the head for features of dimension d and K classes; `seed` of its random initial values."""
        raise NotImplementedError(f"{type(self).__name__} must build its head")


HEADS = ConfigRegistry(
    "collapse_lab.heads",
    HeadConfig,
    "ncengine.heads.nearest_etf_config:NearestETFHeadConfig",
    "ncengine.heads.fixed_etf_config:FixedETFHeadConfig",
    "ncengine.heads.learned_etf_config:LearnedETFHeadConfig",
    "ncengine.heads.linear_config:LinearHeadConfig",
)
"""All heads by name."""
