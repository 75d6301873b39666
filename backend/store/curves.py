"""Long curves read from few rows: minimum and maximum of every group of points, aggregated while a run is written.

A row of level 1 holds, for each curve, the extremes of `BUCKET_SIZE` consecutive points and their positions; a row of
level 2 those of `BUCKET_SIZE` rows of level 1, and so on: one seventh more rows. A curve of any length can be read at
any resolution from a bounded number of rows, and no spike is lost. Points are measured epochs (`kind` "epoch", every
split and key) and reported steps (`kind` "step").

The extremes of a bucket are drawn at its first and its last position, in the order in which they occurred, so that all
curves of one result share their positions; the very first and the very last point are exact.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa

from backend.store.database import Store
from backend.store.event_log import Bucket
from backend.store.models import bucket, event

BUCKET_SIZE = 8
Values = dict[str, dict[str, Any]]
"""Numbers by split and key; numbers of steps have the split "steps"."""
CurveKey = tuple[str, str]
"""Split and key of a curve."""
TYPES = {"epoch": "EpochMeasured", "step": "StepMeasured"}


def extract_values(kind: str, payload: Mapping[str, Any]) -> Values:
    """Return the numbers of an event by split and key; a hidden layer is a split, `layer:NAME`."""
    if kind == "step":
        peak = max((payload.get("memory_bytes") or {}).values(), default=None)
        return {"steps": {key: payload.get(key) for key in ("loss", "lr", "samples_per_s")} | {"memory_bytes": peak}}
    return {
        **payload["scalars"],
        **{f"layer:{name}": scalars for name, scalars in payload.get("layers", {}).items()},
        **{f"layer-test:{name}": scalars for name, scalars in payload.get("layers_test", {}).items()},
    }


@dataclass(slots=True)
class CurveSegment:
    """Consecutive points of all curves: first and last position, number of points, and extremes.

    `extremes` (curves, 4): minimum and its position, maximum and its position; NaN where a curve has no value.
    """

    first: int
    last: int
    count: int
    names: tuple[CurveKey, ...]
    extremes: npt.NDArray[np.float64]

    @classmethod
    def from_event(cls, kind: str, payload: Mapping[str, Any]) -> CurveSegment:
        """Return the segment of one point that an event is."""
        position = int(payload[kind])
        numbers = extract_values(kind, payload)
        names = tuple((split, key) for split, known in numbers.items() for key in known)
        values = np.array([np.nan if (v := numbers[split][key]) is None else float(v) for split, key in names])
        values[~np.isfinite(values)] = np.nan
        positions = np.where(np.isnan(values), np.nan, position)
        return cls(position, position, 1, names, np.stack([values, positions, values, positions], axis=1))

    @classmethod
    def from_row(cls, payload: Mapping[str, Any]) -> CurveSegment:
        """Return the segment of a row's payload: names by split, and one flat list of the extremes."""
        names = tuple((split, key) for split, keys in payload["keys"].items() for key in keys)
        extremes = np.array(payload["extremes"], dtype=np.float64).reshape(-1, 4)
        return cls(payload["first"], payload["last"], payload["count"], names, extremes)

    def payload(self) -> dict[str, Any]:
        """Return the payload of the segment's row, with seven digits, which is enough for drawing."""
        keys: dict[str, list[str]] = {}
        for split, key in self.names:
            keys.setdefault(split, []).append(key)
        flat = [None if math.isnan(value) else float(f"{value:.7g}") for value in self.extremes.ravel()]
        return {"first": self.first, "last": self.last, "count": self.count, "keys": keys, "extremes": flat}


def merge_segments(segments: Iterable[CurveSegment]) -> CurveSegment:
    """Return consecutive segments as one."""
    parts = list(segments)
    names = parts[0].names
    if any(part.names != names for part in parts):
        names = tuple(dict.fromkeys(name for part in parts for name in part.names))
        parts = [_with_names(part, names) for part in parts]
    stacked = np.stack([part.extremes for part in parts])
    curves = np.arange(len(names))
    lowest = np.where(np.isnan(stacked[:, :, 0]), np.inf, stacked[:, :, 0]).argmin(axis=0)
    highest = np.where(np.isnan(stacked[:, :, 2]), -np.inf, stacked[:, :, 2]).argmax(axis=0)
    extremes = np.concatenate([stacked[lowest, curves, :2], stacked[highest, curves, 2:]], axis=1)
    return CurveSegment(parts[0].first, parts[-1].last, sum(part.count for part in parts), names, extremes)


def _with_names(segment: CurveSegment, names: tuple[CurveKey, ...]) -> CurveSegment:
    rows = dict(zip(segment.names, segment.extremes, strict=True))
    nothing = np.full(4, np.nan)
    extremes = np.array([rows.get(name, nothing) for name in names]).reshape(-1, 4)
    return CurveSegment(segment.first, segment.last, segment.count, names, extremes)


@dataclass(slots=True)
class CurveAggregator:
    """Aggregates the points of one kind as they are written; `resumed` continues from what the store has."""

    kind: str
    points: int = 0
    _open: dict[int, list[CurveSegment]] = field(default_factory=dict)

    @classmethod
    def resumed(cls, store: Store, run_id: str, kind: str) -> CurveAggregator:
        """Return the aggregator that continues the stored curves of a run."""
        with store.reading() as connection:
            counting = sa.select(sa.func.count()).select_from(event)
            counting = counting.where(event.c.run_id == run_id, event.c.type == TYPES[kind])
            aggregator = cls(kind, int(connection.execute(counting).scalar_one()))
            aggregator._open[0] = _newest_points(connection, run_id, kind, aggregator.points % BUCKET_SIZE)
            level, rows = 1, aggregator.points // BUCKET_SIZE
            while rows:
                aggregator._open[level] = _rows(connection, run_id, kind, level, rows - rows % BUCKET_SIZE)
                level, rows = level + 1, rows // BUCKET_SIZE
        return aggregator

    def add(self, payload: Mapping[str, Any]) -> list[Bucket]:
        """Add the next point; return the rows that it completes."""
        self.points += 1
        completed: list[Bucket] = []
        segment, level = CurveSegment.from_event(self.kind, payload), 0
        while True:
            pending = self._open.setdefault(level, [])
            pending.append(segment)
            if len(pending) < BUCKET_SIZE:
                return completed
            segment = merge_segments(pending)
            pending.clear()
            level += 1
            number = self.points // BUCKET_SIZE**level - 1
            completed.append(Bucket(self.kind, level, number, segment.payload()))


def _rows(connection: sa.Connection, run_id: str, kind: str, level: int, first: int) -> list[CurveSegment]:
    query = sa.select(bucket.c.payload).where(
        bucket.c.run_id == run_id, bucket.c.kind == kind, bucket.c.level == level, bucket.c.number >= first
    )
    return [CurveSegment.from_row(payload) for payload in connection.execute(query.order_by(bucket.c.number)).scalars()]


def _newest_points(connection: sa.Connection, run_id: str, kind: str, count: int) -> list[CurveSegment]:
    query = sa.select(event.c.payload).where(event.c.run_id == run_id, event.c.type == TYPES[kind])
    newest = connection.execute(query.order_by(event.c.seq.desc()).limit(count)).scalars().all()
    return [CurveSegment.from_event(kind, payload) for payload in reversed(newest)]


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves over shared positions: `values[split][key][i]` is at `positions[i]`; `points` counts the stored ones."""

    positions: list[float]
    values: dict[str, dict[str, list[Any]]]
    points: int
    decimated: bool


def read_curves(store: Store, run_id: str, kind: str, max_points: int) -> Curves:
    """Return a run's curves at about `max_points` positions: all points if they are few, else the extremes of buckets.

    Splits and keys keep the order of their first appearance. Where all points are returned, NaN and infinities are
    strings (`event_log.encode_numbers`); extremes are of finite numbers only.
    """
    with store.reading() as connection:
        counting = sa.select(sa.func.count()).select_from(event)
        of_kind = (event.c.run_id == run_id, event.c.type == TYPES[kind])
        points = int(connection.execute(counting.where(*of_kind)).scalar_one())
        if points <= max(max_points, 2):
            payloads = connection.execute(sa.select(event.c.payload).where(*of_kind).order_by(event.c.seq)).scalars()
            return _all_points(kind, list(payloads), points)
        buckets = max(1, max_points // 2)
        level = 0
        while points // BUCKET_SIZE**level > 4 * buckets:
            level += 1
        segments: list[CurveSegment] = []
        # The finest level with few enough rows, then the points that it does not cover yet, from ever finer levels.
        first = 0
        for each in range(level, 0, -1):
            rows = _rows(connection, run_id, kind, each, first // BUCKET_SIZE**each)
            segments += rows
            first += sum(segment.count for segment in rows)
        segments += _newest_points(connection, run_id, kind, points - first)
        ends = [
            connection.execute(sa.select(event.c.payload).where(*of_kind).order_by(order).limit(1)).scalar_one()
            for order in (event.c.seq, event.c.seq.desc())
        ]
    return _decimated(segments, buckets, points, (extract_values(kind, ends[0]), extract_values(kind, ends[1])))


def _all_points(kind: str, payloads: list[Mapping[str, Any]], points: int) -> Curves:
    measured = [extract_values(kind, payload) for payload in payloads]
    present: dict[str, dict[str, None]] = {}
    for each in measured:
        for split, known in each.items():
            present.setdefault(split, {}).update(dict.fromkeys(known))
    values = {
        split: {key: [each.get(split, {}).get(key) for each in measured] for key in known}
        for split, known in present.items()
    }
    return Curves([payload[kind] for payload in payloads], values, points, decimated=False)


def _decimated(segments: list[CurveSegment], buckets: int, points: int, ends: tuple[Values, Values]) -> Curves:
    """Merge segments into about `buckets` buckets of equally many points, each drawn at its first and last position."""
    width = points / buckets
    groups: list[list[CurveSegment]] = []
    covered = 0
    for segment in segments:
        if not groups or covered >= len(groups) * width:
            groups.append([])
        groups[-1].append(segment)
        covered += segment.count
    merged = [merge_segments(group) for group in groups]
    positions: list[float] = []
    for segment in merged:
        positions += [segment.first, segment.last] if segment.count > 1 else [segment.first]
    names = tuple(dict.fromkeys(name for segment in merged for name in segment.names))
    merged = [segment if segment.names == names else _with_names(segment, names) for segment in merged]
    table = np.stack([segment.extremes for segment in merged])
    # In each bucket the extreme that occurred first, then the other; a bucket of one point has one value.
    rising = (table[:, :, 1] <= table[:, :, 3])[:, :, None]
    both = np.where(rising, table[:, :, [0, 2]], table[:, :, [2, 0]])
    kept = np.array([[True, segment.count > 1] for segment in merged]).ravel()
    numbers = both.transpose(1, 0, 2).reshape(len(names), -1)[:, kept]
    lines = numbers.astype(object)
    lines[np.isnan(numbers)] = None
    values: dict[str, dict[str, list[Any]]] = {}
    for (split, key), line in zip(names, lines.tolist(), strict=True):
        line[0], line[-1] = (end.get(split, {}).get(key) for end in ends)
        values.setdefault(split, {})[key] = line
    return Curves(positions, values, points, decimated=True)


def format_csv(epochs: Sequence[int], values: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    """Return metrics over epochs as CSV with one column for each split and key."""
    columns = {f"{split}/{key}": known[key] for split, known in values.items() for key in known}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *columns])
    writer.writerows(zip(epochs, *columns.values(), strict=True))
    return text.getvalue()
