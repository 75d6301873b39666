"""Classifier heads, all with the call signature of `ncengine.heads.base.Head`."""

from __future__ import annotations

from typing import Any

from ncengine import config as cfg
from ncengine.heads.base import Head
from ncengine.heads.fixed_etf import FixedETFHead
from ncengine.heads.learned_etf import LearnedETFHead
from ncengine.heads.linear import LinearHead
from ncengine.heads.nearest_etf import NearestETFHead

HEADS: dict[str, type[Head]] = {
    "linear": LinearHead,
    "fixed-etf": FixedETFHead,
    "learned-etf": LearnedETFHead,
    "nearest-etf": NearestETFHead,
}


def make_head(config: cfg.HeadConfig, features: int, classes: int, seed: int) -> Head:
    """Return the head that `config` describes for features of dimension d and K classes.

    A head's settings are its keyword arguments, by the same names; heads other than the linear one also take the seed.
    """
    options: dict[str, Any] = config.model_dump(exclude={"name"})
    if config.name != "linear":
        options["seed"] = seed
    return HEADS[config.name](features, classes, **options)


__all__ = ["FixedETFHead", "Head", "LearnedETFHead", "LinearHead", "NearestETFHead", "make_head"]
