"""Runs that differ in nothing but their seed are one entry: of a comparison on the page, and of a figure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from backend.api import wire
from ncengine.config import RunConfig

MOST = 8
"""Entries that are told apart in one picture."""
MOST_SCENES = 4
"""Entries whose scenes stand side by side in one file."""
Dash = Literal["solid", "dash", "dot", "dashdot"]
DASHES: tuple[Dash, ...] = ("solid", "dash", "dot", "dashdot")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is compared: a run, or runs that differ in their seed alone, the smallest seed first."""

    label: str
    head: str
    dash: Dash
    runs: tuple[wire.RunWire, ...]

    def colour(self) -> str:
        """Return the CSS colour of the entry's head, which both themes have."""
        return f"var(--head-{self.head})"


def flat(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config's settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            found |= {f"{key}.{inner}": item for inner, item in value.items()}
        else:
            found[key] = value
    return found


def settings(config: RunConfig) -> dict[str, Any]:
    """Return a config's settings by dotted name, without the seed and the device."""
    return flat(config.model_dump(mode="json", exclude={"seed", "device"}))


def differences(configs: Sequence[RunConfig]) -> list[tuple[str, list[Any]]]:
    """Return the settings in which configs differ, each with its value in every config, None where one has it not."""
    found = [settings(config) for config in configs]
    keys = dict.fromkeys(key for known in found for key in known)
    rows = [(key, [known.get(key) for known in found]) for key in keys]
    return [(key, values) for key, values in rows if any(value != values[0] for value in values)]


def entries(runs: Iterable[wire.RunWire]) -> list[Entry]:
    """Fold runs that differ in their seed alone into one entry each; entries of one head differ in their dashes."""
    folded: dict[str, list[wire.RunWire]] = {}
    for run in runs:
        folded.setdefault(json.dumps(settings(run.config), sort_keys=True), []).append(run)
    found: list[Entry] = []
    for members in list(folded.values())[:MOST]:
        head = members[0].config.head.name
        before = sum(entry.head == head for entry in found)
        label = members[0].name if len(members) == 1 else f"{members[0].name}, {len(members)} seeds"
        by_seed = tuple(sorted(members, key=lambda run: run.config.seed))
        found.append(Entry(label, head, DASHES[before % len(DASHES)], by_seed))
    return found
