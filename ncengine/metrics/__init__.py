"""Neural-collapse metrics: pure functions of named statistics with their descriptions; no torch is loaded here."""

from ncengine.metrics.metric_spec import MetricSpec
from ncengine.metrics.registry import METRICS, catalogue

__all__ = ["METRICS", "MetricSpec", "catalogue"]
