"""Database rows of a run as JSON lines `{"table": …, "row": …}`: written before deletion, inserted by a restore."""

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
from ncengine.files import atomic_write

TABLES = {table.name: table for table in (run, attempt, event, artifact, bucket, reading)}
"""In the order of insertion: the run first."""
BATCH = 1000
RowLine = Mapping[str, Any]


def read_run_lines(store: Store, run_id: str) -> Iterator[RowLine]:
    """Yield every row of a run, that of the table `run` first; none where the run does not exist."""
    with store.reading() as connection:
        for name, table in TABLES.items():
            of_run = table.c.id if table is run else table.c.run_id
            query = sa.select(table).where(of_run == run_id).order_by(*table.primary_key.columns)
            for row in connection.execution_options(yield_per=BATCH).execute(query):
                yield make_line(name, row)


def make_line(table: str, row: sa.Row[Any]) -> RowLine:
    """Return the line of a row."""
    # Column names are a string subclass of SQLAlchemy, which orjson does not accept.
    return {"table": table, "row": {str(column): value for column, value in row._mapping.items()}}


def write(path: Path, lines: Iterable[RowLine]) -> None:
    """Write rows to a file, atomically and durably."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with atomic_write.open_atomically(path) as stream:
        for line in lines:
            stream.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def read(path: Path) -> Iterator[RowLine]:
    """Yield the rows of a file."""
    with path.open("rb") as stream:
        for line in stream:
            yield orjson.loads(line)


def insert(connection: Connection, lines: Iterable[RowLine]) -> None:
    """Insert rows in the caller's transaction, without columns that this version does not have."""
    for name, group in groupby(lines, key=lambda line: str(line["table"])):
        table = TABLES[name]
        while batch := [_known(table, line["row"]) for line in islice(group, BATCH)]:
            connection.execute(table.insert(), batch)


def is_stored(current: sa.Row[Any] | None, line: RowLine, *, but: Sequence[str] = ()) -> bool:
    """Return whether a row of the database equals that of the file, except for the columns in `but`."""
    if current is None:
        return False
    known = {key: value for key, value in _known(TABLES[line["table"]], line["row"]).items() if key not in but}
    return all(current._mapping[key] == value for key, value in known.items())


def _known(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.name: row[column.name] for column in table.columns if column.name in row}
