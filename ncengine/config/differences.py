"""Settings of configs by dotted name, and the settings in which configs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ncengine.config.run import RunConfig


def flatten_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            found[key] = value
    return found


def comparable_settings(config: RunConfig) -> dict[str, Any]:
    """Return a config's settings by dotted name, without the seed and the device."""
    return flatten_settings(config.model_dump(mode="json", exclude={"seed", "device"}))


def config_differences(configs: Sequence[RunConfig]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which configs differ, each with its value in every config, None where one lacks it."""
    found = [comparable_settings(config) for config in configs]
    keys = dict.fromkeys(key for known in found for key in known)
    rows = [(key, [known.get(key) for known in found]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]
