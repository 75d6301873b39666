"""Fetching a file once: only when the config says so, resumable, checked, with progress.

This is the one place of the engine that opens a connection. A file stands under its own name only after its MD5 was
right; until then it is `NAME.partial`, and the next attempt asks for the rest of it (HTTP Range).
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Generator
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import cast

from ncengine.data.paths import DataPaths, ProgressReporter
from ncengine.events import DataProgressed

CHUNK_BYTES = 2**18
TIMEOUT_S = 30.0
ATTEMPTS = 4
"""Connections before giving up; each goes on where the one before broke off."""
NOT_THERE = (401, 403, 404, 410)


@dataclass(frozen=True, slots=True)
class Remote:
    """A file of a data set: its name, where its publisher has it, and its MD5 (a check against damage, not malice)."""

    name: str
    urls: tuple[str, ...]
    md5: str


def fetch(remote: Remote, folder: Path, data_paths: DataPaths) -> Generator[DataProgressed, None, Path]:
    """Return the path of the file in `folder`, downloading what of it is missing.

    Raises OSError where no address answers, and ValueError where what came is not the file.
    """
    path = folder / remote.name
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{remote.name}.partial"
    urls = (f"{data_paths.mirror.rstrip('/')}/{remote.name}",) if data_paths.mirror else remote.urls
    failure: Exception | None = None
    for attempt in range(ATTEMPTS * len(urls)):
        try:
            yield from _continue(urls[attempt % len(urls)], remote.name, partial, data_paths)
            failure = None
            break
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            failure = error
            if isinstance(error, urllib.error.HTTPError) and error.code in NOT_THERE and len(urls) == 1:
                break
    if failure is not None:
        kept = ""
        if partial.exists():
            kept = f"; {partial.stat().st_size:,} bytes are kept and the next attempt goes on from there"
        raise OSError(f"{remote.name} could not be fetched from {', '.join(urls)}: {failure}{kept}")
    found = _md5(partial)
    if found != remote.md5:
        partial.unlink()
        raise ValueError(
            f"{remote.name} is not the file that was expected: MD5 {remote.md5} expected, got {found}; it was removed, "
            "try again, or put the right file into the folder by hand"
        )
    partial.replace(path)
    return path


def _continue(url: str, name: str, partial: Path, data_paths: DataPaths) -> Generator[DataProgressed, None, None]:
    """Append what is missing of `partial` from `url`."""
    held = partial.stat().st_size if partial.exists() else 0
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"a data set is fetched over https or http, got {url!r}")
    request = urllib.request.Request(url, headers={"Range": f"bytes={held}-"} if held else {})  # noqa: S310
    try:
        opened = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310 (https or http, checked above)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # nothing is left to send, or what is here is longer than the file
            return
        raise
    with cast(HTTPResponse, opened) as answer:
        if answer.status != 206:
            held = 0  # the server sends it from the start
        length = answer.headers.get("Content-Length")
        total = held + int(length) if length is not None else None
        reporter = ProgressReporter(f"downloading {name}", "bytes", total, data_paths.clock, held)
        with partial.open("ab" if held else "wb") as stream:
            while block := answer.read(CHUNK_BYTES):
                stream.write(block)
                held += len(block)
                yield from reporter.at(held)
        if total is not None and held < total:
            raise ConnectionError(f"the connection ended after {held:,} of {total:,} bytes")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(2**20):
            digest.update(block)
    return digest.hexdigest()
