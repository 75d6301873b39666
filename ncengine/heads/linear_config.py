"""Config of the head `linear`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.heads.registry import HeadConfig

if TYPE_CHECKING:
    from ncengine.heads.linear import LinearHead


class LinearHeadConfig(HeadConfig):
    """A learned linear classifier."""

    name: Literal["linear"] = "linear"
    bias: bool = Field(default=True, title="Bias")
    """Learn a bias beside the weight."""
    renormalise: bool = Field(default=False, title="Unit rows")
    """Scale the weight's rows to length one after every step, as the released code does."""

    @property
    def learns_bias(self) -> bool:
        """Whether there is a bias."""
        return self.bias

    def build(self, features: int, classes: int, seed: int) -> LinearHead:
        """Return a `LinearHead`."""
        from ncengine.heads.linear import LinearHead

        return LinearHead(features, classes, **self.options())
