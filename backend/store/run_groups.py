"""Many runs as few rows: those that have a value in common, or differ in nothing but their seed, folded together.

Each fold says how many runs it holds in which state, what they have in common, and the median and range of their final
metrics: what a table of seeds shows.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from backend.store.database import Store
from backend.store.errors import Invalid
from backend.store.models import run
from backend.store.query import NUMBERS, Column, field_column, parse_filter
from backend.store.runs import HEADLINE
from ncengine.metrics import METRICS

SEEDS = "seeds"
SHARED: dict[str, Column] = {
    "name": run.c.name,
    "group": run.c.group,
    **{part: run.c.config[part, "name"].as_string() for part in ("head", "data", "backbone")},
    "seed": run.c.config["seed"].as_string(),
}
"""What runs of a fold may have in common."""


@dataclass(frozen=True, slots=True)
class MetricRange:
    """Median and range of a number over those runs of a fold that have it."""

    median: float
    least: float
    most: float
    runs: int


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Runs that are one row; `shared` says what they have in common, None where they differ."""

    value: str | None
    runs: list[str]
    states: dict[str, int]
    created_at: str
    shared: dict[str, str | None]
    spreads: dict[str, MetricRange]


def group_runs(
    store: Store, by: str, *, q: str = "", keys: Sequence[str] = (), limit: int = 1000
) -> tuple[list[RunGroup], int]:
    """Return the folds of the runs that a filter means, the one with the newest run first, and how many there are.

    `by` is "seeds" or a field of the filter language that is no measured number; `keys` are metrics as `SPLIT.KEY`.
    Raises Invalid for others.
    """
    key = _seedless(store) if by == SEEDS else _field(by)
    for name in keys:
        split, _, metric = name.partition(".")
        if split not in ("train", "test") or metric not in METRICS:
            raise Invalid(f"`keys` must be metrics such as train.nc1, got {name!r}")
    short = all(name.partition(".")[2] in HEADLINE for name in keys)
    columns = [run.c.id, key.label("fold"), run.c.status, run.c.created_at, run.c.running_s, run.c.headline]
    columns += [column.label(f"shared_{name}") for name, column in SHARED.items()]
    columns += [] if short else [run.c.summary]
    query = sa.select(*columns).where(run.c.deleted_at.is_(None), *parse_filter(q))
    held: dict[str | None, list[Any]] = {}
    with store.reading() as connection:
        for row in connection.execute(query.order_by(run.c.created_at.desc(), run.c.id)):
            held.setdefault(row.fold, []).append(row)
    folds = [_folded(None if by == SEEDS else value, rows, keys) for value, rows in list(held.items())[:limit]]
    return folds, len(held)


def _field(by: str) -> Column:
    split, _, metric = by.rpartition(".")
    measured = by in NUMBERS or (split in ("", "train", "test") and metric in METRICS)
    column = None if measured else field_column(by)
    if column is None:
        raise Invalid(f"`by` must be {SEEDS} or a field such as head, group, status, optimiser.lr, got {by!r}")
    return column


def _seedless(store: Store) -> Column:
    """Return a run's config without its seed, as text."""
    if not store.is_sqlite:
        without: Column = sa.cast(sa.cast(run.c.config, JSONB).op("-")("seed"), sa.Text)
        return without
    return sa.func.json_remove(run.c.config, "$.seed", type_=sa.Text)


def _folded(value: str | None, rows: Sequence[Any], keys: Iterable[str]) -> RunGroup:
    shared = {name: _same(getattr(row, f"shared_{name}") for row in rows) for name in SHARED}
    spreads = {}
    for key in keys:
        split, _, metric = key.partition(".")
        found = [
            row.headline.get(key) if metric in HEADLINE else row.summary.get(split, {}).get(metric) for row in rows
        ]
        spreads[key] = _spread(found)
    spreads["duration"] = _spread([row.running_s for row in rows if row.running_s])
    return RunGroup(
        value,
        [row.id for row in rows],
        dict(Counter(row.status for row in rows)),
        rows[0].created_at,
        shared,
        {key: spread for key, spread in spreads.items() if spread is not None},
    )


def _same(values: Iterable[Any]) -> str | None:
    found = set(values)
    return str(only) if len(found) == 1 and (only := found.pop()) is not None else None


def _spread(values: Iterable[Any]) -> MetricRange | None:
    """Return the spread of what is a finite number; None where nothing is."""
    numbers = [number for value in values if value is not None and math.isfinite(number := float(value))]
    if not numbers:
        return None
    return MetricRange(statistics.median(numbers), min(numbers), max(numbers), len(numbers))
