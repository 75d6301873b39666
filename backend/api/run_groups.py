"""Group runs: by a shared value, by everything except the seed, or into the configurations that a figure compares.

Each group has the ids of its runs, how many have each status, the settings they share, and the median and range of
their final metrics: the rows of a table over seeds.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from backend.api import wire
from backend.store.database import Store
from backend.store.errors import Invalid, did_you_mean
from backend.store.models import run
from backend.store.run_filter import Column, field_column, field_names, find_field, parse_filter
from backend.store.runs import HEADLINE
from ncengine.config.differences import comparable_settings
from ncengine.metrics import METRICS
from ncfigures.palette import DASHES, Dash, head_key

SEEDS = "seeds"
SHARED_FIELDS = ("name", "group", "head", "data", "backbone", "seed")
"""Fields of the filter language that a group names where all its runs have the same value."""


def group_runs(store: Store, by: str, *, q: str = "", keys: Sequence[str] = (), limit: int = 1000) -> wire.RunGroupPage:
    """Group the runs that match a filter; return the groups, that of the newest run first.

    `by` is "seeds" or a field of the filter language that is no measured number; `keys` are metrics as `SPLIT.KEY`.
    Raises Invalid for others.
    """
    group_key = _config_without_seed(store) if by == SEEDS else _grouping_column(by)
    for key in keys:
        split, _, metric = key.partition(".")
        if split not in ("train", "test") or metric not in METRICS:
            raise Invalid(f"`keys` must be metrics such as train.nc1, got {key!r}{did_you_mean(key, METRICS)}")
    columns = [run.c.id, group_key.label("group_key"), run.c.status, run.c.created_at, run.c.running_s, run.c.headline]
    columns += [column.label(f"shared_{name}") for name in SHARED_FIELDS if (column := field_column(name)) is not None]
    # The whole summary is read only where a metric is asked for that the headline lacks.
    columns += [] if all(key.partition(".")[2] in HEADLINE for key in keys) else [run.c.summary]
    query = sa.select(*columns).where(run.c.deleted_at.is_(None), *parse_filter(q))
    rows_by_key: dict[str | None, list[Any]] = {}
    with store.reading() as connection:
        for row in connection.execute(query.order_by(run.c.created_at.desc(), run.c.id)):
            rows_by_key.setdefault(row.group_key, []).append(row)
    some = list(rows_by_key.items())[:limit]
    items = [_group(None if by == SEEDS else value, rows, keys) for value, rows in some]
    return wire.RunGroupPage(items=items, total=len(rows_by_key))


def _grouping_column(by: str) -> Column:
    field = find_field(by)
    column = None if field is None or field.kind in ("number", "metric") else field_column(by)
    if column is None:
        hint = did_you_mean(by, [SEEDS, *field_names()])
        raise Invalid(f"`by` must be {SEEDS} or a field such as head, group, status, optimiser.lr, got {by!r}{hint}")
    return column


def _config_without_seed(store: Store) -> Column:
    """Return a run's config without its seed, as text."""
    if not store.is_sqlite:
        without: Column = sa.cast(sa.cast(run.c.config, JSONB).op("-")("seed"), sa.Text)
        return without
    return sa.func.json_remove(run.c.config, "$.seed", type_=sa.Text)


def _group(value: str | None, rows: Sequence[Any], keys: Iterable[str]) -> wire.RunGroup:
    ranges = {key: _range(_final_value(row, key) for row in rows) for key in keys}
    ranges["duration"] = _range(row.running_s for row in rows if row.running_s)
    return wire.RunGroup(
        value=value,
        run_ids=[row.id for row in rows],
        status_counts=dict(Counter(row.status for row in rows)),
        created_at=rows[0].created_at,
        shared={name: _shared_value(getattr(row, f"shared_{name}") for row in rows) for name in SHARED_FIELDS},
        ranges={key: values for key, values in ranges.items() if values is not None},
    )


def _final_value(row: Any, key: str) -> Any:
    split, _, metric = key.partition(".")
    return row.headline.get(key) if metric in HEADLINE else row.summary.get(split, {}).get(metric)


def _shared_value(values: Iterable[Any]) -> str | None:
    distinct = set(values)
    return str(only) if len(distinct) == 1 and (only := distinct.pop()) is not None else None


def _range(values: Iterable[Any]) -> wire.MetricRange | None:
    """Return the range of the finite numbers among the values; None where there is none."""
    numbers = [number for value in values if value is not None and math.isfinite(number := float(value))]
    if not numbers:
        return None
    return wire.MetricRange(median=statistics.median(numbers), min=min(numbers), max=max(numbers), count=len(numbers))


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
        return f"var(--head-{head_key(self.head)})"


def group_by_configuration(runs: Iterable[wire.RunWire]) -> list[Configuration]:
    """Group runs by everything except the seed; configurations of one colour get different line dashes."""
    groups: dict[str, list[wire.RunWire]] = {}
    for each in runs:
        groups.setdefault(json.dumps(comparable_settings(each.config), sort_keys=True), []).append(each)
    configurations: list[Configuration] = []
    for members in list(groups.values())[:MAX_CONFIGURATIONS]:
        head = members[0].config.head.name
        same_colour = sum(head_key(other.head) == head_key(head) for other in configurations)
        label = members[0].name if len(members) == 1 else f"{members[0].name}, {len(members)} seeds"
        by_seed = tuple(sorted(members, key=lambda run: run.config.seed))
        configurations.append(Configuration(label, head, DASHES[same_colour % len(DASHES)], by_seed))
    return configurations
