"""Check and move files without following symbolic links out of the data directory."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from backend.store.gc.plans import PlannedFile

MIN_AGE_S = 86_400.0
"""Minimum age of a file without a row, in seconds: a younger one may still get its row."""


class Ineligible(Exception):
    """A file or folder must not be removed; the message is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(escape_undecodable(reason))


def escape_undecodable(text: str) -> str:
    """Return text in which file names that are not UTF-8 are escaped, so that it can be encoded as JSON."""
    return text.encode("utf-8", "backslashreplace").decode()


def resolve_inside(data_dir: Path, relative: str) -> Path:
    """Return a path below the data directory; raises Ineligible where a link or `..` leads elsewhere.

    The last component may be missing or a link; callers check it with `lstat`.
    """
    parts = PurePosixPath(relative).parts
    if not parts or relative.startswith("/") or ".." in parts:
        raise Ineligible(f"the path {relative!r} leads outside the data directory")
    folder = data_dir
    for part in parts[:-1]:
        folder = folder / part
        if folder.is_symlink():
            raise Ineligible(f"{folder.relative_to(data_dir)} is a symbolic link; links are not followed")
    return folder / parts[-1]


def stat_file(data_dir: Path, relative: str) -> os.stat_result:
    """Return the `lstat` of a regular file; raises Ineligible where it is missing or of another type."""
    try:
        status = resolve_inside(data_dir, relative).lstat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Ineligible("it is missing") from error
    if stat.S_ISLNK(status.st_mode):
        raise Ineligible("it is a symbolic link; links are not followed")
    if not stat.S_ISREG(status.st_mode):
        raise Ineligible("it is no regular file")
    return status


def plan_file(data_dir: Path, relative: str) -> PlannedFile:
    """Return a file as it is stored in a plan; raises Ineligible where it is no regular file."""
    status = stat_file(data_dir, relative)
    try:
        return PlannedFile(path=relative, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)
    except ValidationError as error:
        raise Ineligible(f"{relative} is no name that this program gives; remove it by hand") from error


def require_unchanged(data_dir: Path, file: PlannedFile) -> None:
    """Raise Ineligible where a file changed after the plan was made."""
    status = stat_file(data_dir, file.path)
    if (status.st_size, status.st_mtime_ns) != (file.size_bytes, file.mtime_ns):
        raise Ineligible("it changed since the preview")


def is_old(data_dir: Path, relative: str) -> bool:
    """Return whether a file was neither written nor renamed within the last day."""
    status = stat_file(data_dir, relative)
    return max(status.st_mtime, status.st_ctime) < time.time() - MIN_AGE_S


def list_files(data_dir: Path, relative: str) -> list[str]:
    """Return the paths of the regular files in a folder, sorted; none where it is missing.

    Raises Ineligible where the folder is a link, or contains something other than folders and regular files.
    """
    folder = resolve_inside(data_dir, relative)
    if folder.is_symlink():
        raise Ineligible(f"{relative} is a symbolic link; links are not followed")
    return sorted(_walk(data_dir, folder)) if folder.is_dir() else []


def _walk(data_dir: Path, folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(data_dir, path)
            elif entry.is_file(follow_symlinks=False):
                yield path.relative_to(data_dir).as_posix()
            else:
                raise Ineligible(f"{path.relative_to(data_dir)} is a symbolic link or no file; remove it by hand")


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def move(source: Path, target: Path) -> None:
    """Move a file within a file system; raises FileExistsError where the target exists."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        # Creating a link fails where the name exists; a rename would overwrite it.
        os.link(source, target, follow_symlinks=False)
    except FileExistsError:
        if not os.path.samestat(source.lstat(), target.lstat()):
            raise
        source.unlink()  # both names are this file: an earlier move was interrupted
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without hard links: only the holder of the clean-up lock creates these names.
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error
        source.rename(target)
    else:
        source.unlink()


def remove_empty_folders(folder: Path) -> bool:
    """Remove a folder and its subfolders as far as they are empty; return whether it was removed."""
    if folder.is_symlink() or not folder.is_dir():
        return not os.path.lexists(folder)
    for child in list(folder.iterdir()):
        if child.is_dir() and not child.is_symlink():
            remove_empty_folders(child)
    with contextlib.suppress(OSError):  # not empty
        folder.rmdir()
    return not folder.exists()
