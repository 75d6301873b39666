"""Runs that differ in nothing but their seed are one entry: of a comparison on the page, and of a figure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from backend.api import wire
from ncengine.config.differences import comparable_settings
from ncfigures.palette import DASHES, Dash

MOST = 8
"""Entries that are told apart in one picture."""


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


def entries(runs: Iterable[wire.RunWire]) -> list[Entry]:
    """Fold runs that differ in their seed alone into one entry each; entries of one head differ in their dashes."""
    folded: dict[str, list[wire.RunWire]] = {}
    for run in runs:
        folded.setdefault(json.dumps(comparable_settings(run.config), sort_keys=True), []).append(run)
    found: list[Entry] = []
    for members in list(folded.values())[:MOST]:
        head = members[0].config.head.name
        before = sum(entry.head == head for entry in found)
        label = members[0].name if len(members) == 1 else f"{members[0].name}, {len(members)} seeds"
        by_seed = tuple(sorted(members, key=lambda run: run.config.seed))
        found.append(Entry(label, head, DASHES[before % len(DASHES)], by_seed))
    return found
