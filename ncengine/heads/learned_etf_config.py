"""Config of the head `learned-etf`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.heads.registry import HeadConfig

if TYPE_CHECKING:
    from ncengine.heads.learned_etf import LearnedETFHead


class LearnedETFHeadConfig(HeadConfig):
    """A simplex ETF whose rotation is learned on the Stiefel manifold."""

    is_etf = True

    name: Literal["learned-etf"] = "learned-etf"
    rotation: Literal["haar", "canonical"] = Field(default="haar", title="First rotation")
    """haar: a random rotation from the run's seed; canonical: the first K − 1 axes."""
    optimiser: Literal["riemannian-adam", "riemannian-sgd"] = Field(default="riemannian-adam", title="Its optimiser")
    """geoopt's optimiser of the rotation; the network has its own."""
    lr: float = Field(default=1e-2, gt=0, le=100, title="Its learning rate")
    """Learning rate of the rotation; the run's schedule applies to it too."""

    def build(self, features: int, classes: int, seed: int) -> LearnedETFHead:
        """Return a `LearnedETFHead`."""
        from ncengine.heads.learned_etf import LearnedETFHead

        return LearnedETFHead(features, classes, **self.options(), seed=seed)
