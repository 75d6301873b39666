"""Classifiers as a config names them (method of Markou, Ajanthan, Gould 2024 and its baselines)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ncengine.config.base import ConfigModel, applies_if


class _Head(ConfigModel):
    temperature: float = Field(default=5.0, gt=0, le=1000, title="Temperature τ")
    """Features are scaled onto a sphere of radius τ."""
    normalise: bool = Field(default=True, title="Normalise features")
    """Scale features onto the sphere; off leaves them as the backbone makes them."""


class NearestETFHeadConfig(_Head):
    """At every step the simplex ETF nearest to the class means (Guiding Neural Collapse)."""

    name: Literal["nearest-etf"] = "nearest-etf"
    delta: float = Field(default=1e-3, ge=0, le=1000, title="Proximal weight δ")
    """How strongly the ETF is held to the previous step's."""
    delta_mode: Literal["fixed", "relative"] = Field(default="fixed", title="δ counts as")
    """fixed: as it is, as in the paper; relative: times 200/(K − 1), the same pull at every number of classes."""
    averaging: Literal["ema-decay", "cma", "ema"] = Field(default="ema-decay", title="Class-mean averaging")
    """ema-decay: αₜ = max(2/(t+1), 10⁻⁴); cma: αₜ = 1/t; ema: a fixed half-life."""
    half_life_steps: float = Field(
        default=100.0, gt=0, le=1e7, title="Half-life in steps", json_schema_extra=applies_if(averaging="ema")
    )
    """Used by the averaging `ema` alone."""
    implicit_gradient: bool = Field(default=True, title="Gradient through the ETF")
    """Differentiate through the choice of the nearest ETF, exactly."""
    first_frame: Literal["solved", "canonical", "haar"] = Field(default="solved", title="First frame")
    """solved: the first step has no proximal term; canonical or haar: it is held to that frame from the start."""
    solver: Literal["auto", "polar", "matmul", "riemannian"] = Field(default="auto", title="Solver")
    """polar: exact; matmul: products alone, for GPUs; riemannian: geoopt's iteration; auto: what suits the device."""


class FixedETFHeadConfig(_Head):
    """A simplex ETF that never moves."""

    name: Literal["fixed-etf"] = "fixed-etf"
    rotation: Literal["haar", "canonical"] = Field(default="haar", title="Rotation")
    """haar: a random rotation from the run's seed; canonical: the first K − 1 axes."""


class LearnedETFHeadConfig(_Head):
    """A simplex ETF whose rotation is learned on the Stiefel manifold."""

    name: Literal["learned-etf"] = "learned-etf"
    rotation: Literal["haar", "canonical"] = Field(default="haar", title="First rotation")
    """haar: a random rotation from the run's seed; canonical: the first K − 1 axes."""
    optimiser: Literal["riemannian-adam", "riemannian-sgd"] = Field(default="riemannian-adam", title="Its optimiser")
    """geoopt's optimiser of the rotation, beside the network's own."""
    lr: float = Field(default=1e-2, gt=0, le=100, title="Its learning rate")
    """Learning rate of the rotation; the run's schedule applies to it too."""


class LinearHeadConfig(_Head):
    """A learned linear classifier."""

    name: Literal["linear"] = "linear"
    bias: bool = Field(default=True, title="Bias")
    """Learn a bias beside the weight."""
    renormalise: bool = Field(default=False, title="Unit rows")
    """Scale the weight's rows to length one after every step, as the released code does."""


HeadConfig = Annotated[
    NearestETFHeadConfig | FixedETFHeadConfig | LearnedETFHeadConfig | LinearHeadConfig,
    Field(discriminator="name", title="Classifier"),
]
