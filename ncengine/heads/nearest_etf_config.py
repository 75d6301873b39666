"""Config of the head `nearest-etf`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.components import applies_if
from ncengine.heads.registry import HeadConfig

if TYPE_CHECKING:
    from ncengine.heads.nearest_etf import NearestETFHead


class NearestETFHeadConfig(HeadConfig):
    """The simplex ETF nearest to the class means, at every step (Guiding Neural Collapse)."""

    is_etf = True

    name: Literal["nearest-etf"] = "nearest-etf"
    delta: float = Field(default=1e-3, ge=0, le=1000, title="Proximal weight δ")
    """Weight of the distance to the ETF of the previous step."""
    delta_mode: Literal["fixed", "relative"] = Field(default="fixed", title="δ counts as")
    """fixed: unchanged, as in the paper; relative: times 200/(K − 1), the same effect at every number of classes."""
    averaging: Literal["ema-decay", "cma", "ema"] = Field(default="ema-decay", title="Class-mean averaging")
    """ema-decay: αₜ = max(2/(t+1), 10⁻⁴); cma: αₜ = 1/t; ema: a fixed half-life."""
    half_life_steps: float = Field(
        default=100.0, gt=0, le=1e7, title="Half-life in steps", json_schema_extra=applies_if(averaging="ema")
    )
    """Used by the averaging `ema` only."""
    implicit_gradient: bool = Field(default=True, title="Gradient through the ETF")
    """Differentiate through the choice of the nearest ETF, exactly."""
    first_frame: Literal["solved", "canonical", "haar"] = Field(default="solved", title="First frame")
    """solved: the first step has no proximal term; canonical or haar: that frame is the first proximal frame."""
    solver: Literal["auto", "polar", "matmul", "riemannian"] = Field(default="auto", title="Solver")
    """polar: exact; matmul: products only, for GPUs; riemannian: geoopt's iteration; auto: by device."""

    def build(self, features: int, classes: int, seed: int) -> NearestETFHead:
        """Return a `NearestETFHead`."""
        from ncengine.heads.nearest_etf import NearestETFHead

        return NearestETFHead(features, classes, **self.options(), seed=seed)
