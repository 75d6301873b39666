"""Group runs that differ only in their seed into configurations, for the compare page and for figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backend.api import wire
from ncengine.config import RunConfig

MAX_CONFIGURATIONS = 8
"""How many configurations one figure distinguishes."""
MAX_SCENES = 4
"""How many configurations a replay shows side by side."""
Dash = Literal["solid", "dash", "dot", "dashdot"]
DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A run, or runs that differ only in their seed, ordered by seed."""

    label: str
    head: str
    dash: Dash
    runs: tuple[wire.RunWire, ...]

    def colour(self) -> str:
        """Return the CSS colour of the configuration's head, defined in both themes."""
        return f"var(--head-{self.head})"


def flatten_settings(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten a config's dictionary to settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            found[key] = value
    return found


def settings_of(config: RunConfig) -> dict[str, Any]:
    """Return a config's settings by dotted name, without seed and device."""
    return flatten_settings(config.model_dump(mode="json", exclude={"seed", "device"}))


def differences(configs: Sequence[RunConfig]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which configs differ, each with its value per config, None if a config lacks it."""
    tables = [settings_of(config) for config in configs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, [table.get(key) for table in tables]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]


def group_by_configuration(runs: Iterable[wire.RunWire]) -> list[Configuration]:
    """Group runs by everything except the seed; configurations with the same head get different line dashes."""
    groups: dict[str, list[wire.RunWire]] = {}
    for run in runs:
        groups.setdefault(json.dumps(settings_of(run.config), sort_keys=True), []).append(run)
    configurations: list[Configuration] = []
    for members in list(groups.values())[:MAX_CONFIGURATIONS]:
        head = members[0].config.head.name
        same_head = sum(other.head == head for other in configurations)
        label = members[0].name if len(members) == 1 else f"{members[0].name}, {len(members)} seeds"
        by_seed = tuple(sorted(members, key=lambda run: run.config.seed))
        configurations.append(Configuration(label, head, DASHES[same_head % len(DASHES)], by_seed))
    return configurations
