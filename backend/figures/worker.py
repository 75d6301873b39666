"""The main program of the figure process; see `backend.figures.process` for the exchange."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import orjson

from backend.figures.files import make_job_file
from backend.figures.process import JOBS, StoreLocation
from backend.settings import load_named_plugins
from backend.store.database import Unreachable, open_store
from backend.store.errors import Unusable

if TYPE_CHECKING:
    from backend.store.database import Store

NICENESS = 5
"""By how much the process gives way to the server and to training."""


def serve() -> None:
    """Make the files that are asked for until the input ends."""
    os.nice(NICENESS)
    load_named_plugins()
    lines = iter(sys.stdin.buffer)
    location = StoreLocation.model_validate_json(next(lines))
    store: Store | None = None
    for line in lines:
        try:
            store = store or open_store(location.data_dir, location.database_url)
            made = make_job_file(store, JOBS.validate_json(line))
        except Unreachable as error:
            print(f"the database could not be used: {error}", file=sys.stderr)
            _refuse("the database cannot be reached just now; try again in a moment", Unusable.__name__)
        except Exception as error:  # every failure is answered, so that the next request is served
            _refuse(str(error) or type(error).__name__, type(error).__name__)
        else:
            head = {"bytes": len(made.content), "label": made.label}
            sys.stdout.buffer.write(orjson.dumps(head) + b"\n" + made.content)
        sys.stdout.buffer.flush()


def _refuse(message: str, kind: str) -> None:
    sys.stdout.buffer.write(orjson.dumps({"error": message, "kind": kind}) + b"\n")


if __name__ == "__main__":
    serve()
