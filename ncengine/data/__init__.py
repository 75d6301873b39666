"""Data sets: `dataset_info` and `resolve` without torch; loading, splits and augmentation with it."""

from ncengine.data.resolve import resolve_config

__all__ = ["resolve_config"]
