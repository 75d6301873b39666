"""Group runs that differ only in their seed into configurations, for the compare page and for figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from backend.api import wire
from ncengine.config.differences import comparable_settings
from ncfigures.palette import DASHES, Dash

MAX_CONFIGURATIONS = 8
"""How many configurations one figure distinguishes."""


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


def group_by_configuration(runs: Iterable[wire.RunWire]) -> list[Configuration]:
    """Group runs by everything except the seed; configurations with the same head get different line dashes."""
    groups: dict[str, list[wire.RunWire]] = {}
    for run in runs:
        groups.setdefault(json.dumps(comparable_settings(run.config), sort_keys=True), []).append(run)
    configurations: list[Configuration] = []
    for members in list(groups.values())[:MAX_CONFIGURATIONS]:
        head = members[0].config.head.name
        same_head = sum(other.head == head for other in configurations)
        label = members[0].name if len(members) == 1 else f"{members[0].name}, {len(members)} seeds"
        by_seed = tuple(sorted(members, key=lambda run: run.config.seed))
        configurations.append(Configuration(label, head, DASHES[same_head % len(DASHES)], by_seed))
    return configurations
