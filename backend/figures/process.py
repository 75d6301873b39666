"""Figures and replays are made in a process of their own: reading, drawing and their memory stay out of the server.

The process opens the store itself. It reads a StoreLocation (one line of JSON), then a FigureJob or ReplayJob a line,
and answers each with one line of JSON (`bytes` and `label`, or `error`), followed by that many bytes. It is started on
first use, runs at a lower priority, and ends when the server closes its input.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, Field, TypeAdapter

from backend.store.errors import CollapseError, Conflict, Invalid, NotFound, Unusable
from ncfigures.catalogue import FigureName, Format
from ncfigures.options import FigureOptions

if TYPE_CHECKING:
    from backend.store.database import Store

TIMEOUT_S = 60.0
NICENESS = 5
"""How much the process gives way to the server and to training."""
KINDS: dict[str, type[CollapseError]] = {kind.__name__: kind for kind in (Conflict, Invalid, NotFound, Unusable)}
"""Errors that are told as they are; any other is a CollapseError."""


class StoreLocation(BaseModel):
    """Where the store is. It is written to the process, since anybody on the machine may read a command line."""

    data_dir: Path
    database_url: str


class FigureJob(BaseModel):
    """A figure of runs, with its options."""

    kind: Literal["figure"] = "figure"
    runs: list[str]
    figure: FigureName
    format: Format
    options: FigureOptions


class ReplayJob(BaseModel):
    """Runs as one page that works offline."""

    kind: Literal["replay"] = "replay"
    runs: list[str]


Job = FigureJob | ReplayJob
JOBS: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="kind")])


class LabelledFile(NamedTuple):
    """A file that was made, and what the runs in it are called."""

    content: bytes
    label: str


class FigureProcess:
    """The server's side: one process, one job at a time, started again if it died."""

    def __init__(self, place: StoreLocation) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, job: Job) -> LabelledFile:
        """Return a job's file; raises NotFound, Invalid, Unusable as `collect` does, CollapseError where it failed."""
        with self._lock:
            process = self._started()
            watchdog = threading.Timer(TIMEOUT_S, process.kill)
            watchdog.start()
            try:
                return self._exchange(process, job)
            finally:
                watchdog.cancel()

    def _exchange(self, process: subprocess.Popen[bytes], job: Job) -> LabelledFile:
        if process.stdin is None or process.stdout is None:
            raise CollapseError("the figure process has no pipes")
        try:
            process.stdin.write(job.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline()
        except BrokenPipeError:
            head = b""
        answer: dict[str, Any] = orjson.loads(head) if head.endswith(b"\n") else {}
        if "error" in answer:
            raise KINDS.get(answer["kind"], CollapseError)(answer["error"])
        content = process.stdout.read(answer.get("bytes", 0))
        if not content or len(content) < answer["bytes"]:  # it died while drawing or while writing
            process.kill()
            self.close()
            what = f"{job.figure}.{job.format}" if isinstance(job, FigureJob) else "the replay"
            raise CollapseError(f"drawing {what} failed or took over {TIMEOUT_S:g} s; try again")
        return LabelledFile(content, answer["label"])

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "backend.figures.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            if self._process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):  # the job's write says that it died
                    self._process.stdin.write(self._place.model_dump_json().encode() + b"\n")
        return self._process

    def close(self) -> None:
        """End the process and close its pipes."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def serve() -> None:
    """The process's side: make what is asked for until the input ends."""
    from backend.store.database import Unreachable, open_store

    os.nice(NICENESS)
    lines = iter(sys.stdin.buffer)
    place = StoreLocation.model_validate_json(next(lines))
    store: Store | None = None
    for line in lines:
        try:
            store = store or open_store(place.data_dir, place.database_url)
            made = make(store, JOBS.validate_json(line))
        except Unreachable as error:
            print(f"the database could not be used: {error}", file=sys.stderr)
            refusal = "the database cannot be reached just now; try again in a moment"
            answer = {"error": refusal, "kind": Unusable.__name__}
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        except Exception as error:  # every failure is the asker's to hear; the next request is served
            answer = {"error": str(error) or type(error).__name__, "kind": type(error).__name__}
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        else:
            head = {"bytes": len(made.content), "label": made.label}
            sys.stdout.buffer.write(orjson.dumps(head) + b"\n" + made.content)
        sys.stdout.buffer.flush()


def make(store: Store, job: Job) -> LabelledFile:
    """Make a job's file from the store, in this process."""
    from backend.figures.collect import collect
    from ncfigures.render import render_figure
    from ncfigures.replay import replay

    if isinstance(job, ReplayJob):
        return LabelledFile(replay(store, job.runs), "-".join(job.runs[:4]))
    request = collect(store, job.runs, job.figure, job.format, job.options)
    return LabelledFile(render_figure(request), request.entries[0].label)


if __name__ == "__main__":
    serve()
