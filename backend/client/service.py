"""One interface to Collapse Lab for the command line and notebooks, with two implementations.

`HttpService` works through a running server, `StoreService` directly on a data directory. Both return wire models, so
a command is written once. They are imported on demand: a command that reads the store needs no HTTP client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from backend.api import wire
    from backend.figures.export import FigureOrder
    from backend.store.run_status import RunAction
    from backend.store.scopes import TokenScope
    from ncengine.config import RunConfig

Progress = Callable[[int, int], None]
"""Called with the number of items done and in all."""


class GcOutcome(NamedTuple):
    """Result of a clean-up or a restore; `interrupted` if it was stopped between two items."""

    result: wire.GcResult
    interrupted: bool


class Service(Protocol):
    """Operations that commands and notebooks need."""

    location: str
    """A suffix for messages about runs: `" on URL"` for a server, empty for a data directory."""
    poll_s: float
    """Interval at which a run's progress is read."""
    cancels_on_interrupt: bool
    """Whether Ctrl-C cancels a run that is followed; a server continues it."""

    def server_url(self) -> str | None:
        """Return the address of a server that runs what this service queues in a data directory, or None."""
        ...

    def list_runs(self, *, status: str | None, q: str, sort: str, limit: int) -> list[wire.RunWire]: ...

    def run(self, run_id: str) -> wire.RunWire: ...

    def events(self, run_id: str, after: int) -> list[dict[str, Any]]: ...

    def metrics(self, run_id: str) -> wire.MetricSeries: ...

    def resolve_runs(self, text: str) -> list[str]:
        """Return the run ids that a comma-separated list or a filter names; raises NotFound if there is none."""
        ...

    def launch(
        self, config: RunConfig, *, name: str, group: str | None, mirror: str | None
    ) -> AbstractContextManager[str]:
        """Queue a run and give its id; while the context is open, somebody runs it."""
        ...

    def bulk_action(self, action: RunAction, run_ids: Sequence[str]) -> list[wire.BulkResult]: ...

    def export_figure(self, order: FigureOrder) -> bytes: ...

    def export_replay(self, runs: str) -> bytes: ...

    def export_archive(self, run_id: str) -> AbstractContextManager[Iterator[bytes]]: ...

    def import_archive(self, file: Path, chunks: Iterator[bytes]) -> tuple[str, bool]:
        """Import an archive; return the run's id and whether it is new. `chunks` are the file's content."""
        ...

    def list_presets(self) -> list[wire.PresetWire]: ...

    def config_schema(self) -> dict[str, Any]: ...

    def run_checks(self) -> list[wire.CheckResult]: ...

    def create_token(self, name: str, scope: TokenScope, expires_at: str | None) -> wire.CreatedToken: ...

    def list_tokens(self) -> list[wire.TokenWire]: ...

    def revoke_token(self, token_id: str) -> None: ...

    def create_gc_plan(self, rules: wire.GcRequest) -> wire.GcPlan: ...

    def gc_plan(self, plan_id: str) -> wire.GcPlan: ...

    def delete_gc_plan(self, plan_id: str, *, stopped: Callable[[], bool], progress: Progress) -> GcOutcome: ...

    def list_trash(self) -> wire.Trash: ...

    def restore_trash(
        self, entries: Sequence[str] | None, *, stopped: Callable[[], bool], progress: Progress
    ) -> GcOutcome:
        """Restore the entries named, or all."""
        ...

    def empty_trash(self, digest: str) -> wire.EmptyTrashResult: ...


def open_service(
    *,
    server: str | None,
    token: str | None,
    data: Path | None,
    database_url: str | None,
    create: bool = False,
    verify: str | bool = True,
    on_wait: Callable[[Any], None] | None = None,
) -> AbstractContextManager[Service]:
    """Return the service of the server if one is given, else of the data directory.

    Args:
        create: make a new store if the data directory has none.
        verify: certificate file for a server with its own certificate.
        on_wait: called with each `RetryWait` while the server is busy.

    Raises NotFound or Unusable, when used, if server or store cannot be reached.
    """
    if server:
        from backend.client.http_service import connect

        return connect(server, token, verify=verify, on_wait=on_wait)
    from backend.client.store_service import StoreService
    from backend.settings import resolve_store

    return StoreService(*resolve_store(data, database_url), create=create)
