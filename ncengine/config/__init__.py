"""Configs of a run, `RunConfig`, for the API, the form, the command line and checkpoints. No torch is loaded.

The configs of data sets, backbones, heads and losses are declared beside their components; see `ncengine.components`.
"""

from ncengine.config.run import RunConfig, with_overrides
from ncengine.config.training import (
    Adam,
    AdamW,
    Agd,
    ConstantSchedule,
    CosineSchedule,
    MeasureConfig,
    MultiStepSchedule,
    OneCycleSchedule,
    OptimiserConfig,
    SamplerConfig,
    ScheduleConfig,
    Sgd,
    Shuffled,
    StepSchedule,
    Stratified,
)

__all__ = [
    "Adam",
    "AdamW",
    "Agd",
    "ConstantSchedule",
    "CosineSchedule",
    "MeasureConfig",
    "MultiStepSchedule",
    "OneCycleSchedule",
    "OptimiserConfig",
    "RunConfig",
    "SamplerConfig",
    "ScheduleConfig",
    "Sgd",
    "Shuffled",
    "StepSchedule",
    "Stratified",
    "with_overrides",
]
