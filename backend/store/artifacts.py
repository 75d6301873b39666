"""Arrays as safetensors files in the data directory, with their hash and size in a database row.

A file is written under a temporary name, fsynced and renamed. Its row is committed in the transaction of the events
that name it (`event_log.append`), so that readers never see one without the other; a file whose row was never committed
is an orphan and harmless.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from backend.store.database import Store
from backend.store.errors import Unusable
from backend.store.models import artifact, directory
from ncengine.files import atomic_write

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[Any]]
ArtifactKind = Literal["geometry", "checkpoint", "features", "samples"]
KINDS: tuple[ArtifactKind, ...] = get_args(ArtifactKind)


@dataclass(frozen=True, slots=True)
class WrittenArtifact:
    """A file on disk whose row is not committed yet."""

    kind: str
    step: int
    path: str
    sha256: str
    size_bytes: int
    directory_id: str
    """The data directory of the file."""


@dataclass(frozen=True, slots=True)
class LoadedArtifact:
    """The content of an artifact: arrays by name, and the JSON that was stored with them."""

    arrays: Arrays
    state: dict[str, Any]


def resolve_path(store: Store, relative: str) -> Path:
    """Return a path inside the data directory; raises Unusable where it leads outside."""
    path = (store.data_dir / relative).resolve()
    if not path.is_relative_to(store.data_dir.resolve()):
        raise Unusable(f"the artifact path {relative!r} leads outside the data directory; the row was tampered with")
    return path


def worker_log_path(store: Store, run_id: str) -> Path:
    """Return the file to which the worker processes of a run print."""
    return resolve_path(store, f"runs/{run_id}/worker.log")


def write(
    store: Store,
    run_id: str,
    kind: str,
    step: int,
    attempt: int,
    arrays: Mapping[str, npt.NDArray[Any]],
    state: Mapping[str, Any] | None = None,
) -> WrittenArtifact:
    """Write arrays durably and return the values of the row."""
    from ncengine.files import array_file  # NumPy is imported only where arrays are read or written

    content = array_file.encode(arrays, state or {})
    relative = f"runs/{run_id}/{kind}-{step:09d}-a{attempt}.safetensors"
    path = resolve_path(store, relative)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write.write_atomically(path, content)
    digest = hashlib.sha256(content).hexdigest()
    return WrittenArtifact(kind, step, relative, digest, len(content), store.directory_id)


def is_local(store: Store, row: sa.Row[Any]) -> bool:
    """Return whether the file of an artifact is in this data directory."""
    return row.directory_id in (None, store.directory_id)


def require_local(store: Store, row: sa.Row[Any]) -> None:
    """Raise Unusable, naming the directory, where an artifact's file is in another data directory of the store."""
    if is_local(store, row):
        return
    with store.reading() as connection:
        owner = connection.execute(sa.select(directory).where(directory.c.id == row.directory_id)).one_or_none()
    place = f"{owner.path} on machine {owner.host}" if owner else f"directory {row.directory_id}"
    raise Unusable(
        f"the {row.kind} of run {row.run_id} at step {row.step} is in another data directory of this store, {place}; "
        "ask the server there"
    )


def read(store: Store, row: sa.Row[Any]) -> LoadedArtifact | None:
    """Return the content of an artifact, or None where its file is missing or has another hash than the row.

    Raises Unusable where the file is in another data directory.
    """
    require_local(store, row)
    try:
        content = resolve_path(store, row.path).read_bytes()
    except FileNotFoundError:
        return None
    if hashlib.sha256(content).hexdigest() != row.sha256:
        return None
    from ncengine.files import array_file

    return LoadedArtifact(*array_file.decode(content, row.path))


def verified_path(store: Store, row: sa.Row[Any]) -> Path | None:
    """Return the path of an artifact's file after verifying its hash, or None where it is missing or was changed.

    Raises Unusable where the file is in another data directory.
    """
    require_local(store, row)
    path = resolve_path(store, row.path)
    try:
        with path.open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == row.sha256
    except FileNotFoundError:
        return None
    return path if same else None


def list_rows(store: Store, run_id: str, kind: str) -> list[sa.Row[Any]]:
    """Return the artifact rows of a run and kind, newest first."""
    query = sa.select(artifact).where(artifact.c.run_id == run_id, artifact.c.kind == kind)
    with store.reading() as connection:
        return list(connection.execute(query.order_by(artifact.c.step.desc())))


def list_steps(store: Store, run_id: str, kind: str) -> list[int]:
    """Return the steps at which a run has artifacts of a kind, in order."""
    # Aggregated into one string: a hundred thousand rows would take ten times as long.
    joined = sa.func.aggregate_strings(sa.cast(artifact.c.step, sa.Text), ",")
    query = sa.select(joined).where(artifact.c.run_id == run_id, artifact.c.kind == kind)
    with store.reading() as connection:
        text = connection.execute(query).scalar_one()
    return sorted(map(int, text.split(","))) if text else []


def find_row(store: Store, run_id: str, kind: str, step: int) -> sa.Row[Any] | None:
    """Return the artifact row of a run, kind and step, or None."""
    query = sa.select(artifact).where(artifact.c.run_id == run_id, artifact.c.kind == kind, artifact.c.step == step)
    with store.reading() as connection:
        return connection.execute(query).one_or_none()


def prune(store: Store, run_id: str, kind: str, keep: int) -> None:
    """Remove all but the newest `keep` artifacts of a kind."""
    remove(store, list_rows(store, run_id, kind)[keep:])


def remove(store: Store, old: Sequence[sa.Row[Any]]) -> None:
    """Remove artifacts: rows first, then files, so that no row ever names a missing file."""
    if not old:
        return
    _delete_rows(store, old)
    for row in old:
        resolve_path(store, row.path).unlink(missing_ok=True)


def remove_row(store: Store, row: sa.Row[Any]) -> None:
    """Remove the row of an artifact whose file is damaged or missing, and leave the file for manual recovery."""
    _delete_rows(store, [row])


def _delete_rows(store: Store, old: Sequence[sa.Row[Any]]) -> None:
    with store.writing() as connection:
        for row in old:
            named = (artifact.c.run_id == row.run_id, artifact.c.kind == row.kind, artifact.c.step == row.step)
            connection.execute(artifact.delete().where(*named))
