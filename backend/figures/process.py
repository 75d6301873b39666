"""The process that makes figures and replays, as the server sees it. matplotlib and its memory stay out of the server.

The process opens the store itself. It reads a StoreLocation (one line of JSON), then a FigureJob or ReplayJob a line,
and answers each with one line of JSON (`bytes` and `label`, or `error`), followed by that many bytes. It is started on
first use, runs at a lower priority, and ends when the server closes its input.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, Field, TypeAdapter

from backend.store.errors import CollapseError, Conflict, Invalid, NotFound, Unusable
from ncfigures.catalogue import FigureName, Format
from ncfigures.options import FigureOptions

TIMEOUT_S = 60.0
KINDS: dict[str, type[CollapseError]] = {kind.__name__: kind for kind in (Conflict, Invalid, NotFound, Unusable)}
"""Errors of the process that keep their type; any other becomes a CollapseError."""


class StoreLocation(BaseModel):
    """The location of the store. It is written to the process, because other users can read a command line."""

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
    """A file and a label for its name."""

    content: bytes
    label: str


class FigureProcess:
    """The server's side: one process, one job at a time, started again if it died."""

    def __init__(self, place: StoreLocation) -> None:
        self._place = place
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def make(self, job: Job) -> LabelledFile:
        """Return a job's file; raises NotFound, Invalid, Unusable, or CollapseError if the process fails."""
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
                [sys.executable, "-P", "-m", "backend.figures.worker"],
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
