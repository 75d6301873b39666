"""Classifier heads, all with the call signature of `ncengine.heads.base.Head`."""

from __future__ import annotations

from collections.abc import Callable

from ncengine import config as cfg
from ncengine.heads.base import Head
from ncengine.heads.fixed_etf import FixedETFHead
from ncengine.heads.linear import LinearHead
from ncengine.heads.nearest_etf import NearestETFHead


def _linear(config: cfg.LinearHead, features: int, classes: int, seed: int) -> Head:
    return LinearHead(features, classes, temperature=config.temperature, normalise=config.normalise, bias=config.bias)


def _fixed(config: cfg.FixedETFHead, features: int, classes: int, seed: int) -> Head:
    return FixedETFHead(
        features,
        classes,
        temperature=config.temperature,
        normalise=config.normalise,
        rotation=config.rotation,
        seed=seed,
    )


def _nearest(config: cfg.NearestETFHead, features: int, classes: int, seed: int) -> Head:
    return NearestETFHead(
        features,
        classes,
        temperature=config.temperature,
        normalise=config.normalise,
        delta=config.delta,
        averaging=config.averaging,
        half_life_steps=config.half_life_steps,
        implicit_gradient=config.implicit_gradient,
    )


HEADS: dict[str, Callable[..., Head]] = {"linear": _linear, "fixed-etf": _fixed, "nearest-etf": _nearest}


def make_head(config: cfg.HeadConfig, features: int, classes: int, seed: int) -> Head:
    """Return the head that `config` describes for features of dimension d and K classes."""
    return HEADS[config.name](config, features, classes, seed)


__all__ = ["FixedETFHead", "Head", "LinearHead", "NearestETFHead", "make_head"]
