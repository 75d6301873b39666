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
"""Numbers by split and key; those of steps are under the split "steps"."""
CurveKey = tuple[str, str]
"""Split and key of a curve."""
TYPES = {"epoch": "EpochMeasured", "step": "StepMeasured"}


def values_of(kind: str, payload: Mapping[str, Any]) -> Values:
    """Return an event's numbers by split and key; hidden layers are splits of their own, `layer:NAME`."""
    if kind == "step":
        most = max((payload.get("memory_bytes") or {}).values(), default=None)
        return {"steps": {key: payload.get(key) for key in ("loss", "lr", "samples_per_s")} | {"memory_bytes": most}}
    return {
        **payload["scalars"],
        **{f"layer:{name}": scalars for name, scalars in payload.get("layers", {}).items()},
        **{f"layer-test:{name}": scalars for name, scalars in payload.get("layers_test", {}).items()},
    }


@dataclass(slots=True)
class CurveSegment:
    """Consecutive points of all curves: where they begin and end, how many they are, and their extremes.

    `extremes` (curves, 4): the least value and its place, the greatest value and its place; NaN where there is none.
    """

    first: int
    last: int
    count: int
    names: tuple[CurveKey, ...]
    extremes: npt.NDArray[np.float64]

    @classmethod
    def of(cls, kind: str, payload: Mapping[str, Any]) -> CurveSegment:
        """Return an event as a piece of one point."""
        place = int(payload[kind])
        found = values_of(kind, payload)
        names = tuple((split, key) for split, known in found.items() for key in known)
        values = np.array([np.nan if (v := found[split][key]) is None else float(v) for split, key in names])
        values[~np.isfinite(values)] = np.nan
        places = np.where(np.isnan(values), np.nan, place)
        return cls(place, place, 1, names, np.stack([values, places, values, places], axis=1))

    @classmethod
    def stored(cls, payload: Mapping[str, Any]) -> CurveSegment:
        """Return a piece from its row: names by split, and one flat list, which is quick to read."""
        names = tuple((split, key) for split, keys in payload["keys"].items() for key in keys)
        extremes = np.array(payload["extremes"], dtype=np.float64).reshape(-1, 4)
        return cls(payload["first"], payload["last"], payload["count"], names, extremes)

    def payload(self) -> dict[str, Any]:
        """Return the piece as its row holds it, to seven digits: it is for drawing."""
        keys: dict[str, list[str]] = {}
        for split, key in self.names:
            keys.setdefault(split, []).append(key)
        flat = [None if math.isnan(value) else float(f"{value:.7g}") for value in self.extremes.ravel()]
        return {"first": self.first, "last": self.last, "count": self.count, "keys": keys, "extremes": flat}


def merge_segments(pieces: Iterable[CurveSegment]) -> CurveSegment:
    """Return consecutive pieces as one."""
    held = list(pieces)
    names = held[0].names
    if any(piece.names != names for piece in held):
        names = tuple(dict.fromkeys(name for piece in held for name in piece.names))
        held = [_with_names(piece, names) for piece in held]
    stacked = np.stack([piece.extremes for piece in held])
    curves = np.arange(len(names))
    lowest = np.where(np.isnan(stacked[:, :, 0]), np.inf, stacked[:, :, 0]).argmin(axis=0)
    highest = np.where(np.isnan(stacked[:, :, 2]), -np.inf, stacked[:, :, 2]).argmax(axis=0)
    extremes = np.concatenate([stacked[lowest, curves, :2], stacked[highest, curves, 2:]], axis=1)
    return CurveSegment(held[0].first, held[-1].last, sum(piece.count for piece in held), names, extremes)


def _with_names(piece: CurveSegment, names: tuple[CurveKey, ...]) -> CurveSegment:
    rows = dict(zip(piece.names, piece.extremes, strict=True))
    nothing = np.full(4, np.nan)
    extremes = np.array([rows.get(name, nothing) for name in names]).reshape(-1, 4)
    return CurveSegment(piece.first, piece.last, piece.count, names, extremes)


@dataclass(slots=True)
class CurveAggregator:
    """Folds one kind of a run's points as they are written; opened anew it goes on where the store stands."""

    kind: str
    points: int = 0
    _open: dict[int, list[CurveSegment]] = field(default_factory=dict)

    @classmethod
    def resumed(cls, store: Store, run_id: str, kind: str) -> CurveAggregator:
        """Return the folder of a run as the store has it."""
        with store.reading() as connection:
            counting = sa.select(sa.func.count()).select_from(event)
            counting = counting.where(event.c.run_id == run_id, event.c.type == TYPES[kind])
            folder = cls(kind, int(connection.execute(counting).scalar_one()))
            folder._open[0] = _newest_points(connection, run_id, kind, folder.points % BUCKET_SIZE)
            level, rows = 1, folder.points // BUCKET_SIZE
            while rows:
                folder._open[level] = _rows(connection, run_id, kind, level, rows - rows % BUCKET_SIZE)
                level, rows = level + 1, rows // BUCKET_SIZE
        return folder

    def add(self, payload: Mapping[str, Any]) -> list[Bucket]:
        """Take the next point; return the rows that it completes."""
        self.points += 1
        completed: list[Bucket] = []
        piece, level = CurveSegment.of(self.kind, payload), 0
        while True:
            held = self._open.setdefault(level, [])
            held.append(piece)
            if len(held) < BUCKET_SIZE:
                return completed
            piece = merge_segments(held)
            held.clear()
            level += 1
            number = self.points // BUCKET_SIZE**level - 1
            completed.append(Bucket(self.kind, level, number, piece.payload()))


def _rows(connection: sa.Connection, run_id: str, kind: str, level: int, first: int) -> list[CurveSegment]:
    query = sa.select(bucket.c.payload).where(
        bucket.c.run_id == run_id, bucket.c.kind == kind, bucket.c.level == level, bucket.c.number >= first
    )
    return [CurveSegment.stored(payload) for payload in connection.execute(query.order_by(bucket.c.number)).scalars()]


def _newest_points(connection: sa.Connection, run_id: str, kind: str, count: int) -> list[CurveSegment]:
    query = sa.select(event.c.payload).where(event.c.run_id == run_id, event.c.type == TYPES[kind])
    newest = connection.execute(query.order_by(event.c.seq.desc()).limit(count)).scalars().all()
    return [CurveSegment.of(kind, payload) for payload in reversed(newest)]


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves over shared places: `values[split][key][i]` belongs to `places[i]`; `points` is how many there are."""

    places: list[float]
    values: dict[str, dict[str, list[Any]]]
    points: int
    decimated: bool


def read(store: Store, run_id: str, kind: str, at_most: int) -> Curves:
    """Return a run's curves with about `at_most` places: all points where they are few, else extremes by bucket.

    Splits and keys keep the order of their first appearance. Numbers that JSON lacks stay spelt where all points are
    returned; folded extremes are of finite numbers alone.
    """
    with store.reading() as connection:
        counting = sa.select(sa.func.count()).select_from(event)
        here = (event.c.run_id == run_id, event.c.type == TYPES[kind])
        points = int(connection.execute(counting.where(*here)).scalar_one())
        if points <= max(at_most, 2):
            payloads = connection.execute(sa.select(event.c.payload).where(*here).order_by(event.c.seq)).scalars()
            return _whole(kind, list(payloads), points)
        buckets = max(1, at_most // 2)
        level = 0
        while points // BUCKET_SIZE**level > 4 * buckets:
            level += 1
        pieces: list[CurveSegment] = []
        # The finest level of which not too many rows need be read, then what is not folded so far, finer and finer.
        first = 0
        for each in range(level, 0, -1):
            found = _rows(connection, run_id, kind, each, first // BUCKET_SIZE**each)
            pieces += found
            first += sum(piece.count for piece in found)
        pieces += _newest_points(connection, run_id, kind, points - first)
        ends = [
            connection.execute(sa.select(event.c.payload).where(*here).order_by(order).limit(1)).scalar_one()
            for order in (event.c.seq, event.c.seq.desc())
        ]
    return _decimated(pieces, buckets, points, (values_of(kind, ends[0]), values_of(kind, ends[1])))


def _whole(kind: str, payloads: list[Mapping[str, Any]], points: int) -> Curves:
    measured = [values_of(kind, payload) for payload in payloads]
    present: dict[str, dict[str, None]] = {}
    for each in measured:
        for split, known in each.items():
            present.setdefault(split, {}).update(dict.fromkeys(known))
    values = {
        split: {key: [each.get(split, {}).get(key) for each in measured] for key in known}
        for split, known in present.items()
    }
    return Curves([payload[kind] for payload in payloads], values, points, decimated=False)


def _decimated(pieces: list[CurveSegment], buckets: int, points: int, ends: tuple[Values, Values]) -> Curves:
    """Join pieces into about so many buckets of equally many points, and give each its two places."""
    width = points / buckets
    folded: list[list[CurveSegment]] = []
    seen = 0
    for piece in pieces:
        if not folded or seen >= len(folded) * width:
            folded.append([])
        folded[-1].append(piece)
        seen += piece.count
    found = [merge_segments(held) for held in folded]
    places: list[float] = []
    for piece in found:
        places += [piece.first, piece.last] if piece.count > 1 else [piece.first]
    names = tuple(dict.fromkeys(name for piece in found for name in piece.names))
    found = [piece if piece.names == names else _with_names(piece, names) for piece in found]
    table = np.stack([piece.extremes for piece in found])
    # In each bucket the extreme that came first, then the other; a bucket of one point has it once.
    rising = (table[:, :, 1] <= table[:, :, 3])[:, :, None]
    both = np.where(rising, table[:, :, [0, 2]], table[:, :, [2, 0]])
    kept = np.array([[True, piece.count > 1] for piece in found]).ravel()
    numbers = both.transpose(1, 0, 2).reshape(len(names), -1)[:, kept]
    lines = numbers.astype(object)
    lines[np.isnan(numbers)] = None
    values: dict[str, dict[str, list[Any]]] = {}
    for (split, key), line in zip(names, lines.tolist(), strict=True):
        line[0], line[-1] = (end.get(split, {}).get(key) for end in ends)
        values.setdefault(split, {})[key] = line
    return Curves(places, values, points, decimated=True)


def to_csv(epochs: Sequence[int], values: Mapping[str, Mapping[str, Sequence[Any]]]) -> str:
    """Return metrics over epochs as CSV, a column for each split and key."""
    columns = {f"{split}/{key}": known[key] for split, known in values.items() for key in known}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["epoch", *columns])
    writer.writerows(zip(epochs, *columns.values(), strict=True))
    return text.getvalue()
