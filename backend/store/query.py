"""Finding runs: the filter language, sorting, and pages that stay in place while runs come and go.

    head:nearest-etf dataset:digits nc1<0.05          all of these
    test.top1>=0.9 optimiser.lr=0.1 -tag:broken       metrics by split, any setting of the config, `-` for not
    status:failed created>2026-03-01 "two words"      states, dates, words of the name, the tags or the config

A page's cursor names the last row's place in the order, not a count of rows: a run that arrives meanwhile shifts
nothing.
"""

from __future__ import annotations

import base64
import binascii
import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from backend.store.database import Store
from backend.store.errors import Invalid
from backend.store.models import run
from backend.store.run_status import STATUSES
from backend.store.runs import HEADLINE
from ncengine.config import RunConfig
from ncengine.metrics import METRICS

Column = sa.ColumnElement[Any]
TERM = re.compile(r'(?P<no>-?)(?P<field>[A-Za-z_][\w.]*)(?P<sign>!=|<=|>=|[:=<>])(?P<value>"[^"]*"|\S*)|"[^"]+"|\S+')
SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    ":": operator.eq,
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
PARTS = {"head": "head", "data": "data", "dataset": "data", "backbone": "backbone", "optimiser": "optimiser"}
TEXTS: dict[str, Column] = {"id": run.c.id, "name": run.c.name, "group": run.c.group}
DATES: dict[str, Column] = {"created": run.c.created_at, "started": run.c.started_at, "ended": run.c.ended_at}
NUMBERS: dict[str, Column] = {"epoch": run.c.epoch, "priority": run.c.priority, "duration": run.c.running_s}
SPELT = ("NaN", "Infinity", "-Infinity")
HELP = (
    "write words, FIELD:VALUE or FIELD<VALUE with id, name, group, tag, status, head, dataset, backbone, created, "
    "epoch, duration (seconds), a metric (nc1, test.top1) or a setting (optimiser.lr)"
)


@dataclass(frozen=True, slots=True)
class QueryPage:
    """Some runs in order, the cursor of the next page, and how many match in all."""

    rows: list[sa.Row[Any]]
    next_cursor: str | None
    total: int


def list_runs(
    store: Store,
    *,
    status: str | None = None,
    q: str = "",
    sort: str = "-created",
    cursor: str | None = None,
    offset: int = 0,
    limit: int = 100,
    deleted: bool = False,
    only: Sequence[str] | None = None,
) -> QueryPage:
    """Return a page of runs; raises Invalid where filter, order or cursor are not understood.

    A page begins after a cursor, or after so many rows (`offset`), which a table needs that is scrolled anywhere.
    `only` leaves those of the given ids.
    """
    if offset and cursor is not None:
        raise Invalid("a page begins at `offset` or after a `cursor`, got both; leave one out")
    matching = [run.c.deleted_at.is_not(None) if deleted else run.c.deleted_at.is_(None), *parse_filter(q)]
    if status is not None:
        matching.append(run.c.status == status)
    if only is not None:
        matching.append(run.c.id.in_(only))
    key, descending = _order(sort)
    direction: Callable[[Column], Column] = sa.desc if descending else sa.asc
    # The first page counts in the same pass over the runs; a later one sees only those after its cursor.
    counted = sa.func.count().over() if cursor is None else sa.null()
    page = sa.select(run.c.id, key.label("key"), counted.label("total")).where(*matching)
    page = page.order_by(key.is_(None), direction(key), direction(run.c.id)).limit(limit + 1).offset(offset)
    if cursor is not None:
        page = page.where(_beyond(key, descending, *_decoded(cursor, sort)))
    with store.reading() as connection:
        found = list(connection.execute(page))
        if cursor is None and (found or not offset):
            total = found[0].total if found else 0
        else:
            total = connection.execute(sa.select(sa.func.count()).select_from(run).where(*matching)).scalar_one()
        more, found = len(found) > limit, found[:limit]
        rows = {row.id: row for row in connection.execute(sa.select(run).where(run.c.id.in_([f.id for f in found])))}
    return QueryPage(
        [rows[each.id] for each in found],
        _encoded(sort, found[-1].key, found[-1].id) if more else None,
        int(total),
    )


def matching_ids(store: Store, q: str, limit: int) -> list[str]:
    """Return the ids of the runs that a filter means, newest first."""
    query = sa.select(run.c.id).where(run.c.deleted_at.is_(None), *parse_filter(q))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(run.c.created_at.desc(), run.c.id).limit(limit)).scalars())


def parse_filter(q: str) -> list[Column]:
    """Return what a filter asks for, as conditions that must all hold."""
    found = []
    for term in TERM.finditer(q):
        if term["field"] is None or (term["field"] not in TEXTS and not _known(term["field"])):
            found.append(_word(term.group().strip('"')))
            continue
        held = _condition(term["field"], term["sign"], term["value"].strip('"'))
        found.append(sa.not_(sa.func.coalesce(held, sa.false())) if term["no"] else held)
    return found


def _known(field: str) -> bool:
    head, _, rest = field.partition(".")
    return (
        field in {"tag", "status", *PARTS, *DATES, *NUMBERS, *METRICS}
        or (head in ("train", "test") and rest in METRICS)
        or head in RunConfig.model_fields
    )


def _word(word: str) -> Column:
    text = run.c.name + " " + sa.cast(run.c.tags, sa.Text) + " " + sa.cast(run.c.config, sa.Text)
    return sa.func.lower(text).contains(word.lower(), autoescape=True)


def _condition(field: str, sign: str, value: str) -> Column:
    compare = SIGNS[sign]
    if field == "status" and value not in STATUSES:
        raise Invalid(f"status must be one of {', '.join(STATUSES)}, got {value!r}")
    if field == "status":
        return _compared(compare, run.c.status, value)
    if field == "tag":
        return sa.cast(run.c.tags, sa.Text).contains(orjson.dumps(value).decode(), autoescape=True)
    if field in TEXTS:
        if sign == ":" and field == "name":
            return sa.func.lower(run.c.name).contains(value.lower(), autoescape=True)
        return _compared(compare, TEXTS[field], value)
    if field in PARTS:
        return _compared(compare, run.c.config[PARTS[field], "name"].as_string(), value)
    if field in DATES:
        if not re.match(r"\d{4}(-\d{2}){0,2}", value):
            raise Invalid(f"{field} is compared with a date such as 2026-03-01, got {value!r}")
        return _compared(compare, DATES[field], value)
    if field in NUMBERS:
        return _compared(compare, NUMBERS[field], _number(field, value))
    metric = _metric(field)
    if metric is not None and not (field == "loss" and sign == ":"):
        number = _number(field, value)
        return sa.and_(metric.not_in(SPELT), _compared(compare, sa.cast(metric, sa.Float), number))
    setting = run.c.config[tuple(field.split("."))] if "." in field else run.c.config[field]
    if field == "loss":
        return _compared(compare, run.c.config["loss", "name"].as_string(), value)
    try:
        number = float(value)
    except ValueError:
        return _compared(compare, setting.as_string(), value)
    return _compared(compare, sa.cast(setting.as_string(), sa.Float), number)


def _compared(compare: Callable[[Any, Any], Any], column: Any, value: object) -> Column:
    held: Column = compare(column, value)
    return held


def _metric(field: str) -> Any:
    split, _, key = field.rpartition(".")
    if key not in METRICS or split not in ("", "train", "test"):
        return None
    split = split or "train"
    return run.c.headline[f"{split}.{key}"].as_string() if key in HEADLINE else run.c.summary[split, key].as_string()


def _number(field: str, value: str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise Invalid(f"{field} is compared with a number, got {value!r}; {HELP}") from error


def _order(sort: str) -> tuple[Column, bool]:
    """Return the column to sort by and whether it descends."""
    column = field_column(sort.removeprefix("-"))
    if column is None:
        raise Invalid(f"`sort` must be a field, with - before it for descending order, got {sort!r}; {HELP}")
    return column, sort.startswith("-")


def field_column(field: str) -> Column | None:
    """Return what a field of the filter language is read from, as something to sort or group by; None if unknown."""
    if field in TEXTS or field in DATES or field in NUMBERS:
        return (TEXTS | DATES | NUMBERS)[field]
    if field == "status":
        return run.c.status
    if field in PARTS:
        part: Column = run.c.config[PARTS[field], "name"].as_string()
        return part
    metric = _metric(field)
    if metric is not None:
        return sa.case((metric.in_(SPELT), None), else_=sa.cast(metric, sa.Float))
    if field.partition(".")[0] in RunConfig.model_fields:
        setting: Column = run.c.config[tuple(field.split("."))].as_string()
        return setting
    return None


def _beyond(key: Column, descending: bool, value: Any, last_id: str) -> Column:
    """Return the condition for rows after (value, id) in an order that has rows without a value at its end."""
    after: Callable[[Any, Any], Any] = operator.lt if descending else operator.gt
    same: Column = after(run.c.id, last_id)
    if value is None:
        return sa.and_(key.is_(None), same)
    return sa.or_(key.is_(None), after(key, value), sa.and_(key == value, same))


def _encoded(sort: str, value: Any, last_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([sort, value, last_id])).decode().rstrip("=")


def _decoded(cursor: str, sort: str) -> tuple[Any, str]:
    try:
        held = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        held = None
    if (
        not isinstance(held, list)
        or len(held) != 3
        or not isinstance(held[2], str)
        or not isinstance(held[1], str | int | float | None)
    ):
        raise Invalid("`cursor` must be the next_cursor of the page before, unchanged")
    if held[0] != sort:
        raise Invalid(f"`cursor` belongs to sort={held[0]}, got sort={sort}; begin again without a cursor")
    return held[1], held[2]


def list_groups(store: Store, names: Sequence[str] | None = None) -> list[sa.Row[Any]]:
    """Return the groups with how many runs of each state they hold."""
    query = (
        sa.select(
            run.c.group, run.c.status, sa.func.count().label("runs"), sa.func.min(run.c.created_at).label("first")
        )
        .where(run.c.group.is_not(None), run.c.deleted_at.is_(None))
        .group_by(run.c.group, run.c.status)
        .order_by(sa.func.min(run.c.created_at).desc())
    )
    if names is not None:
        query = query.where(run.c.group.in_(names))
    with store.reading() as connection:
        return list(connection.execute(query))
