"""A run's database rows as JSON lines `{"table": …, "row": …}`: written before they are deleted, inserted again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from backend.store.database import Store
from backend.store.models import artifact, attempt, bucket, event, reading, run
from ncengine import durable

TABLES = {table.name: table for table in (run, attempt, event, artifact, bucket, reading)}
"""In the order in which rows are inserted: a run first."""
BATCH = 1000
RowLine = Mapping[str, Any]


def run_lines(store: Store, run_id: str) -> Iterator[RowLine]:
    """Yield every row of a run, its own first; none where there is no such run."""
    with store.reading() as connection:
        for name, table in TABLES.items():
            own = table.c.id if table is run else table.c.run_id
            query = sa.select(table).where(own == run_id).order_by(*table.primary_key.columns)
            for row in connection.execution_options(yield_per=BATCH).execute(query):
                yield line_of(name, row)


def line_of(table: str, row: sa.Row[Any]) -> RowLine:
    """Return a row as a line of a file."""
    # Names of columns are a kind of string of SQLAlchemy's own, which orjson does not take.
    return {"table": table, "row": {str(column): value for column, value in row._mapping.items()}}


def write(path: Path, lines: Iterable[RowLine]) -> None:
    """Write rows to a file, whole or not at all, and durable."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with durable.writing(path) as stream:
        for line in lines:
            stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def read(path: Path) -> Iterator[RowLine]:
    """Yield the rows of a file."""
    with path.open("rb") as stream:
        for line in stream:
            yield orjson.loads(line)


def insert(connection: Connection, lines: Iterable[RowLine]) -> None:
    """Insert rows, in the caller's transaction; columns that this version does not have are left out."""
    for name, group in groupby(lines, key=lambda line: str(line["table"])):
        table = TABLES[name]
        while batch := [_known(table, line["row"]) for line in islice(group, BATCH)]:
            connection.execute(table.insert(), batch)


def is_stored(current: sa.Row[Any] | None, line: RowLine, *, but: Sequence[str] = ()) -> bool:
    """Whether a row of the database is the one of the file; columns in `but` are not compared."""
    if current is None:
        return False
    known = {key: value for key, value in _known(TABLES[line["table"]], line["row"]).items() if key not in but}
    return all(current._mapping[key] == value for key, value in known.items())


def _known(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: row[column.name] for column in table.columns if column.name in row}
