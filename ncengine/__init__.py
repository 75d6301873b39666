"""ncengine: the nearest-ETF head of *Guiding Neural Collapse*, neural-collapse metrics, and a training loop.

`import ncengine as nc` is light: public names load what they need on first use, so that reading a config never loads
torch. Tensors carry their axes in their names (`means_DK`); class means are columns.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ncengine.version import __version__ as __version__

if TYPE_CHECKING:
    from ncengine.config import RunConfig as RunConfig
    from ncengine.data.paths import DataPaths as DataPaths
    from ncengine.geometry.nearest_etf import etf_weights as etf_weights
    from ncengine.geometry.nearest_etf import nearest_etf as nearest_etf
    from ncengine.geometry.polar import polar as polar
    from ncengine.geometry.simplex import simplex_basis as simplex_basis
    from ncengine.geometry.simplex import simplex_etf as simplex_etf
    from ncengine.heads.fixed_etf import FixedETFHead as FixedETFHead
    from ncengine.heads.learned_etf import LearnedETFHead as LearnedETFHead
    from ncengine.heads.linear import LinearHead as LinearHead
    from ncengine.heads.nearest_etf import NearestETFHead as NearestETFHead
    from ncengine.measurement.meter import Meter as Meter
    from ncengine.measurement.meter import measure as measure
    from ncengine.measurement.observer import Observation as Observation
    from ncengine.measurement.observer import Observer as Observer
    from ncengine.measurement.result import Measurement as Measurement
    from ncengine.metrics import catalogue as catalogue
    from ncengine.milestones import time_to_collapse as time_to_collapse
    from ncengine.plugins import load_plugins as load_plugins
    from ncengine.preset_configs import PRESETS as presets
    from ncengine.training.checkpoint import load_checkpoint as load_checkpoint
    from ncengine.training.checkpoint import save_checkpoint as save_checkpoint
    from ncengine.training.loop import run as run

_WHERE = {
    "simplex_basis": ("ncengine.geometry.simplex", "simplex_basis"),
    "simplex_etf": ("ncengine.geometry.simplex", "simplex_etf"),
    "polar": ("ncengine.geometry.polar", "polar"),
    "nearest_etf": ("ncengine.geometry.nearest_etf", "nearest_etf"),
    "etf_weights": ("ncengine.geometry.nearest_etf", "etf_weights"),
    "NearestETFHead": ("ncengine.heads.nearest_etf", "NearestETFHead"),
    "FixedETFHead": ("ncengine.heads.fixed_etf", "FixedETFHead"),
    "LearnedETFHead": ("ncengine.heads.learned_etf", "LearnedETFHead"),
    "LinearHead": ("ncengine.heads.linear", "LinearHead"),
    "measure": ("ncengine.measurement.meter", "measure"),
    "Meter": ("ncengine.measurement.meter", "Meter"),
    "catalogue": ("ncengine.metrics", "catalogue"),
    "Measurement": ("ncengine.measurement.result", "Measurement"),
    "Observation": ("ncengine.measurement.observer", "Observation"),
    "Observer": ("ncengine.measurement.observer", "Observer"),
    "time_to_collapse": ("ncengine.milestones", "time_to_collapse"),
    "DataPaths": ("ncengine.data.paths", "DataPaths"),
    "RunConfig": ("ncengine.config", "RunConfig"),
    "load_checkpoint": ("ncengine.training.checkpoint", "load_checkpoint"),
    "save_checkpoint": ("ncengine.training.checkpoint", "save_checkpoint"),
    "load_plugins": ("ncengine.plugins", "load_plugins"),
    "presets": ("ncengine.preset_configs", "PRESETS"),
    "run": ("ncengine.training.loop", "run"),
    # Imported by name only: the engine does not depend on the store.
    "load": ("backend.client.notebook", "load"),
}
__all__ = [
    "DataPaths",
    "FixedETFHead",
    "LearnedETFHead",
    "LinearHead",
    "Measurement",
    "Meter",
    "NearestETFHead",
    "Observation",
    "Observer",
    "RunConfig",
    "catalogue",
    "etf_weights",
    "load",
    "load_checkpoint",
    "load_plugins",
    "measure",
    "nearest_etf",
    "polar",
    "presets",
    "run",
    "save_checkpoint",
    "simplex_basis",
    "simplex_etf",
    "time_to_collapse",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module 'ncengine' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, attribute = _WHERE[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value
