"""Long curves from few rows: the least and the greatest value of every so many points, folded while a run is written.

A row of level 1 holds, for each curve, the extremes of `WIDTH` consecutive points and where they lie; a row of level 2
those of `WIDTH` rows of level 1, and so on: a seventh more rows. A curve of any length is then read at any resolution
from a bounded number of rows, and no spike of it is lost. Points are measured epochs (`kind` "epoch", every split and
key) and reported steps ("step").

The extremes of a bucket are drawn at its first and its last place, in the order in which they came, so that all curves
of one reading share their places; the very first and the very last point are exact.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from backend.store.database import Store
from backend.store.event_log import Bucket
from backend.store.models import bucket, event

WIDTH = 8
Values = dict[str, dict[str, Any]]
"""Numbers by split and key; those of steps are under the split "steps"."""
Extremes = dict[str, dict[str, tuple[float, float, float, float]]]
"""By split and key: the least value and its place, the greatest value and its place."""
TYPES = {"epoch": "EpochMeasured", "step": "StepMeasured"}


def values_of(kind: str, payload: Mapping[str, Any]) -> Values:
    """Return an event's numbers by split and key; hidden layers are splits of their own, `layer:NAME`."""
    if kind == "step":
        return {"steps": {key: payload.get(key) for key in ("loss", "lr", "samples_per_s")}}
    return {
        **payload["scalars"],
        **{f"layer:{name}": scalars for name, scalars in payload.get("layers", {}).items()},
        **{f"layer-test:{name}": scalars for name, scalars in payload.get("layers_test", {}).items()},
    }


@dataclass(slots=True)
class Piece:
    """Consecutive points of all curves: where they begin and end, how many they are, and their extremes."""

    first: float
    last: float
    count: int
    extremes: Extremes

    @classmethod
    def of(cls, kind: str, payload: Mapping[str, Any]) -> Piece:
        """Return an event as a piece of one point."""
        place = float(payload[kind])
        extremes: Extremes = {}
        for split, known in values_of(kind, payload).items():
            numbers = {key: float(value) for key, value in known.items() if value is not None}
            finite = {key: value for key, value in numbers.items() if math.isfinite(value)}
            extremes[split] = {key: (value, place, value, place) for key, value in finite.items()}
        return cls(place, place, 1, extremes)

    @classmethod
    def stored(cls, payload: Mapping[str, Any]) -> Piece:
        return cls(payload["first"], payload["last"], payload["count"], payload["extremes"])

    def payload(self) -> dict[str, Any]:
        return {"first": self.first, "last": self.last, "count": self.count, "extremes": self.extremes}


def joined(pieces: Iterable[Piece]) -> Piece:
    """Return consecutive pieces as one."""
    held = list(pieces)
    extremes: dict[str, dict[str, list[float]]] = {}
    for piece in held:
        for split, known in piece.extremes.items():
            merged = extremes.setdefault(split, {})
            for key, (low, at_low, high, at_high) in known.items():
                before = merged.get(key)
                if before is None:
                    merged[key] = [low, at_low, high, at_high]
                    continue
                if low < before[0]:
                    before[0:2] = low, at_low
                if high > before[2]:
                    before[2:4] = high, at_high
    as_tuples: Any = {s: {k: tuple(v) for k, v in known.items()} for s, known in extremes.items()}
    return Piece(held[0].first, held[-1].last, sum(piece.count for piece in held), as_tuples)


@dataclass(slots=True)
class Folder:
    """Folds one kind of a run's points as they are written; opened anew it goes on where the store stands."""

    kind: str
    points: int = 0
    _open: dict[int, list[Piece]] = field(default_factory=dict)

    @classmethod
    def resumed(cls, store: Store, run_id: str, kind: str) -> Folder:
        """Return the folder of a run as the store has it."""
        with store.reading() as connection:
            counting = sa.select(sa.func.count()).select_from(event)
            counting = counting.where(event.c.run_id == run_id, event.c.type == TYPES[kind])
            folder = cls(kind, int(connection.execute(counting).scalar_one()))
            folder._open[0] = _newest_points(connection, run_id, kind, folder.points % WIDTH)
            level, rows = 1, folder.points // WIDTH
            while rows:
                folder._open[level] = _rows(connection, run_id, kind, level, rows - rows % WIDTH)
                level, rows = level + 1, rows // WIDTH
        return folder

    def add(self, payload: Mapping[str, Any]) -> list[Bucket]:
        """Take the next point; return the rows that it completes."""
        self.points += 1
        completed: list[Bucket] = []
        piece, level = Piece.of(self.kind, payload), 0
        while True:
            held = self._open.setdefault(level, [])
            held.append(piece)
            if len(held) < WIDTH:
                return completed
            piece = joined(held)
            held.clear()
            level += 1
            number = self.points // WIDTH**level - 1
            completed.append(Bucket(self.kind, level, number, piece.payload()))


def _rows(connection: sa.Connection, run_id: str, kind: str, level: int, first: int) -> list[Piece]:
    query = sa.select(bucket.c.payload).where(
        bucket.c.run_id == run_id, bucket.c.kind == kind, bucket.c.level == level, bucket.c.number >= first
    )
    return [Piece.stored(payload) for payload in connection.execute(query.order_by(bucket.c.number)).scalars()]


def _newest_points(connection: sa.Connection, run_id: str, kind: str, count: int) -> list[Piece]:
    query = sa.select(event.c.payload).where(event.c.run_id == run_id, event.c.type == TYPES[kind])
    newest = connection.execute(query.order_by(event.c.seq.desc()).limit(count)).scalars().all()
    return [Piece.of(kind, payload) for payload in reversed(newest)]


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
        while points // WIDTH**level > 4 * buckets:
            level += 1
        pieces: list[Piece] = []
        # The finest level of which not too many rows need be read, then what is not folded so far, finer and finer.
        first = 0
        for each in range(level, 0, -1):
            found = _rows(connection, run_id, kind, each, first // WIDTH**each)
            pieces += found
            first += sum(piece.count for piece in found)
        pieces += _newest_points(connection, run_id, kind, points - first)
        ends = [
            connection.execute(sa.select(event.c.payload).where(*here).order_by(order).limit(1)).scalar_one()
            for order in (event.c.seq, event.c.seq.desc())
        ]
    return _decimated(kind, pieces, buckets, points, (values_of(kind, ends[0]), values_of(kind, ends[1])))


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


def _decimated(kind: str, pieces: list[Piece], buckets: int, points: int, ends: tuple[Values, Values]) -> Curves:
    """Join pieces into about so many buckets of equally many points, and give each its two places."""
    width = points / buckets
    folded: list[list[Piece]] = []
    seen = 0
    for piece in pieces:
        if not folded or seen >= len(folded) * width:
            folded.append([])
        folded[-1].append(piece)
        seen += piece.count
    found = [joined(held) for held in folded]
    places: list[float] = []
    for piece in found:
        places += [piece.first, piece.last] if piece.count > 1 else [piece.first]
    present: dict[str, dict[str, None]] = {}
    for piece in found:
        for split, known in piece.extremes.items():
            present.setdefault(split, {}).update(dict.fromkeys(known))
    values = {
        split: {key: _line(found, split, key, ends) for key in known} for split, known in present.items() if known
    }
    exact = (lambda place: int(place)) if kind in ("epoch", "step") else float
    return Curves([exact(place) for place in places], values, points, decimated=True)


def _line(pieces: list[Piece], split: str, key: str, ends: tuple[Values, Values]) -> list[Any]:
    line: list[Any] = []
    for piece in pieces:
        known = piece.extremes.get(split, {}).get(key)
        if known is None:
            line += [None, None] if piece.count > 1 else [None]
            continue
        low, at_low, high, at_high = known
        both = [low, high] if at_low <= at_high else [high, low]
        line += both if piece.count > 1 else both[:1]
    line[0], line[-1] = ends[0].get(split, {}).get(key), ends[1].get(split, {}).get(key)
    return line
