"""Config of the head `fixed-etf`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.heads.registry import HeadConfig

if TYPE_CHECKING:
    from ncengine.heads.fixed_etf import FixedETFHead


class FixedETFHeadConfig(HeadConfig):
    """A fixed simplex ETF."""

    is_etf = True

    name: Literal["fixed-etf"] = "fixed-etf"
    rotation: Literal["haar", "canonical"] = Field(default="haar", title="Rotation")
    """haar: a random rotation from the run's seed; canonical: the first K − 1 axes."""

    def build(self, features: int, classes: int, seed: int) -> FixedETFHead:
        """Return a `FixedETFHead`."""
        from ncengine.heads.fixed_etf import FixedETFHead

        return FixedETFHead(features, classes, **self.options(), seed=seed)
