"""Lists of runs: filtered, sorted, and in pages that stay stable while runs are added or deleted.

The cursor of a page names the position of its last row in the order, not a count of rows: a run that is added meanwhile
shifts nothing.
"""

from __future__ import annotations

import base64
import binascii
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import sqlalchemy as sa

from backend.store.database import Store
from backend.store.errors import Invalid, did_you_mean
from backend.store.models import run
from backend.store.run_filter import HELP, Column, field_column, field_names, parse_filter


@dataclass(frozen=True, slots=True)
class QueryPage:
    """A page of runs in order, the cursor of the next page, and the number of all matching runs."""

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
    """Return a page of runs; raises Invalid for a malformed filter, order or cursor.

    A page starts after a cursor or after `offset` rows, which a table needs that can be scrolled to any position.
    `only` restricts the result to these ids.
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
    # The first page counts all matches in the same query; later ones only see the runs after their cursor.
    counted = sa.func.count().over() if cursor is None else sa.null()
    page = sa.select(run.c.id, key.label("key"), counted.label("total")).where(*matching)
    page = page.order_by(key.is_(None), direction(key), direction(run.c.id)).limit(limit + 1).offset(offset)
    if cursor is not None:
        page = page.where(_after_cursor(key, descending, *_decode_cursor(cursor, sort)))
    with store.reading() as connection:
        page_rows = list(connection.execute(page))
        if cursor is None and (page_rows or not offset):
            total = page_rows[0].total if page_rows else 0
        else:
            total = connection.execute(sa.select(sa.func.count()).select_from(run).where(*matching)).scalar_one()
        more, page_rows = len(page_rows) > limit, page_rows[:limit]
        rows = {
            row.id: row
            for row in connection.execute(sa.select(run).where(run.c.id.in_([each.id for each in page_rows])))
        }
    return QueryPage(
        [rows[each.id] for each in page_rows],
        _encode_cursor(sort, page_rows[-1].key, page_rows[-1].id) if more else None,
        int(total),
    )


def list_matching_ids(store: Store, q: str, limit: int) -> list[str]:
    """Return the ids of the runs that match a filter, newest first."""
    query = sa.select(run.c.id).where(run.c.deleted_at.is_(None), *parse_filter(q))
    with store.reading() as connection:
        return list(connection.execute(query.order_by(run.c.created_at.desc(), run.c.id).limit(limit)).scalars())


def _order(sort: str) -> tuple[Column, bool]:
    """Return the column to sort by and whether it descends."""
    column = field_column(sort.removeprefix("-"))
    if column is None:
        hint = did_you_mean(sort.lstrip("-"), field_names())
        raise Invalid(f"`sort` must be a field, with - before it for descending order, got {sort!r}{hint}; {HELP}")
    return column, sort.startswith("-")


def _after_cursor(key: Column, descending: bool, value: Any, last_id: str) -> Column:
    """Return the condition for rows after (value, id) in an order that has rows without a value last."""
    after: Callable[[Any, Any], Any] = operator.lt if descending else operator.gt
    same: Column = after(run.c.id, last_id)
    if value is None:
        return sa.and_(key.is_(None), same)
    return sa.or_(key.is_(None), after(key, value), sa.and_(key == value, same))


def _encode_cursor(sort: str, value: Any, last_id: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([sort, value, last_id])).decode().rstrip("=")


def _decode_cursor(cursor: str, sort: str) -> tuple[Any, str]:
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error):
        decoded = None
    if (
        not isinstance(decoded, list)
        or len(decoded) != 3
        or not isinstance(decoded[2], str)
        or not isinstance(decoded[1], str | int | float | None)
    ):
        raise Invalid("`cursor` must be the next_cursor of the page before, unchanged")
    if decoded[0] != sort:
        raise Invalid(f"`cursor` belongs to sort={decoded[0]}, got sort={sort}; begin again without a cursor")
    return decoded[1], decoded[2]


def list_groups(store: Store, names: Sequence[str] | None = None) -> list[sa.Row[Any]]:
    """Return the groups, with the number of runs by status."""
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
