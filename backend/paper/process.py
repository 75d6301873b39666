"""Figures are drawn in a process of their own: matplotlib's memory and its time stay out of the server.

One line of JSON in (a FigureRequest), one line of JSON out (`bytes` or `error`), then that many bytes. The process is
started on first use and ends when the server closes it or is gone.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from typing import Any

import orjson

from backend.errors import CollapseError, Invalid
from backend.paper.request import FigureRequest

TIMEOUT_S = 60.0


class PaperProcess:
    """The server's side: one process, one figure at a time, started again if it died."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def render(self, request: FigureRequest) -> bytes:
        """Return a figure's file; raises Invalid for options that do not fit, CollapseError where drawing failed."""
        with self._lock:
            process = self._started()
            watchdog = threading.Timer(TIMEOUT_S, process.kill)
            watchdog.start()
            try:
                return self._exchange(process, request)
            finally:
                watchdog.cancel()

    def _exchange(self, process: subprocess.Popen[bytes], request: FigureRequest) -> bytes:
        if process.stdin is None or process.stdout is None:
            raise CollapseError("the figure process has no pipes")
        try:
            process.stdin.write(request.model_dump_json().encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline()
        except BrokenPipeError:
            head = b""
        answer: dict[str, Any] = orjson.loads(head) if head.endswith(b"\n") else {}
        if "error" in answer:
            raise Invalid(answer["error"]) if answer["invalid"] else CollapseError(answer["error"])
        content = process.stdout.read(answer.get("bytes", 0))
        if not content or len(content) < answer["bytes"]:  # it died while drawing or while writing
            process.kill()
            self.close()
            raise CollapseError(
                f"drawing {request.figure}.{request.format} failed or took over {TIMEOUT_S:g} s; try again"
            )
        return content

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "backend.paper.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
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
    """The process's side: draw what comes until the input ends."""
    from backend.paper.figures import render

    for line in sys.stdin.buffer:
        try:
            content = render(FigureRequest.model_validate_json(line))
        except Exception as error:  # every failure is the asker's to hear; the next request is served
            answer = {"error": str(error) or type(error).__name__, "invalid": isinstance(error, Invalid)}
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
        else:
            sys.stdout.buffer.write(orjson.dumps({"bytes": len(content)}) + b"\n" + content)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    serve()
