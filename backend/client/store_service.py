"""The service of a data directory, without a server. Imports wait for the operation that needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from backend.api import run_views, wire
from backend.client.service import GcOutcome, Progress
from backend.store.database import Store, open_store

if TYPE_CHECKING:
    from backend.figures.export import FigureOrder
    from backend.store.run_status import RunAction
    from backend.store.scopes import TokenScope
    from ncengine.config import RunConfig

EVENTS_PER_PAGE = 1000
COMMAND_LINE = "command line"
"""The caller's name in the audit log."""


class StoreService:
    """Implements `Service` on the store of a data directory, which is opened at first use."""

    location = ""
    poll_s = 0.2
    cancels_on_interrupt = True

    def __init__(self, data_dir: Path, database_url: str | None, *, create: bool = False) -> None:
        self._data_dir, self._database_url, self._create = data_dir, database_url, create

    @cached_property
    def store(self) -> Store:
        """The open store; raises Unusable if there is none or it cannot be used."""
        return open_store(self._data_dir, self._database_url, create=self._create)

    def __enter__(self) -> StoreService:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "store" in self.__dict__:
            self.store.close()

    def list_runs(self, *, status: str | None, q: str, sort: str, limit: int) -> list[wire.RunWire]:
        from backend.store import query

        rows = query.list_runs(self.store, status=status, q=q, sort=sort, limit=limit).rows
        return [run_views.run_to_wire(row) for row in rows]

    def run(self, run_id: str) -> wire.RunWire:
        from backend.store import runs

        return run_views.run_to_wire(runs.get(self.store, run_id))

    def events(self, run_id: str, after: int) -> list[dict[str, Any]]:
        from backend.store import event_log

        return [
            run_views.event_to_json(row) for row in event_log.list_events(self.store, run_id, after, EVENTS_PER_PAGE)
        ]

    def metrics(self, run_id: str) -> wire.MetricSeries:
        from backend.api import views

        return views.read_series(self.store, run_id)

    def resolve_runs(self, text: str) -> list[str]:
        from backend.figures import export

        return export.find_runs_in_store(self.store, text)

    @contextlib.contextmanager
    def launch(self, config: RunConfig, *, name: str, group: str | None, mirror: str | None) -> Iterator[str]:
        """Queue a run; if no server uses the data directory, a supervisor runs it here while the context is open."""
        from backend.jobs.launcher import DataAccess
        from backend.jobs.supervisor import Supervisor
        from backend.store import data_directory, runs
        from ncengine.data import resolve_config

        holder = data_directory.read_server_lock(self.store.data_dir)
        run_id, _ = runs.create(self.store, resolve_config(config), name=name, group=group)
        if holder:
            yield run_id
            return
        supervisor = Supervisor(self.store, warm=False, only=(run_id,), data_access=DataAccess(mirror=mirror))
        try:
            supervisor.start()
            yield run_id
        finally:
            supervisor.close()

    def server_url(self) -> str | None:
        """Return the address of the server that uses the data directory, or None."""
        from backend.store import data_directory

        holder = data_directory.read_server_lock(self.store.data_dir)
        return str(holder.get("url", "?")) if holder else None

    def bulk_action(self, action: RunAction, run_ids: Sequence[str]) -> list[wire.BulkResult]:
        from backend.store import run_actions

        return wire.list_of(wire.BulkResult, run_actions.apply_action(self.store, action, run_ids)).items

    def export_figure(self, order: FigureOrder) -> bytes:
        from backend.figures import export

        return export.export_from_store(self.store, order)

    def export_replay(self, runs: str) -> bytes:
        from backend.figures.files import make_replay_file

        return make_replay_file(self.store, self.resolve_runs(runs))

    @contextlib.contextmanager
    def export_archive(self, run_id: str) -> Iterator[Iterator[bytes]]:
        from backend.store.archive.writer import archive_run

        yield iter(archive_run(self.store, run_id))

    def import_archive(self, file: Path, chunks: Iterator[bytes]) -> tuple[str, bool]:
        from backend.settings import IMPORT_BYTES
        from backend.store.archive.reader import import_archive

        del chunks
        return import_archive(self.store, file, IMPORT_BYTES)

    def list_presets(self) -> list[wire.PresetWire]:
        return run_views.list_presets()

    def config_schema(self) -> dict[str, Any]:
        from ncengine.config import RunConfig

        return RunConfig.model_json_schema()

    def run_checks(self) -> list[wire.CheckResult]:
        from backend.jobs import doctor

        return doctor.run_checks(self._data_dir, self._database_url)

    def create_token(self, name: str, scope: TokenScope, expires_at: str | None) -> wire.CreatedToken:
        from backend.store import access

        row, secret = access.create_token(self.store, name, scope, expires_at)
        access.record_action(self.store, COMMAND_LINE, None, f"token create {row.id}", 201)
        address = self.server_url()
        url = f"{address}/?token={secret}" if address else ""
        return wire.CreatedToken(**wire.TokenWire.model_validate(row).model_dump(), token=secret, url=url)

    def list_tokens(self) -> list[wire.TokenWire]:
        from backend.store import access

        return wire.list_of(wire.TokenWire, access.list_tokens(self.store)).items

    def revoke_token(self, token_id: str) -> None:
        from backend.store import access

        access.revoke_token(self.store, token_id)
        access.record_action(self.store, COMMAND_LINE, None, f"token revoke {token_id}", 204)

    def create_gc_plan(self, rules: wire.GcRequest) -> wire.GcPlan:
        from backend.store.gc import eligible, plans

        chosen = plans.CleanupRules(**rules.model_dump(exclude={"dry_run"}))
        return wire.GcPlan.model_validate(eligible.create_plan(self.store, chosen))

    def gc_plan(self, plan_id: str) -> wire.GcPlan:
        from backend.store.gc import plans

        return wire.GcPlan.model_validate(plans.get(self.store, plan_id))

    def delete_gc_plan(self, plan_id: str, *, stopped: Callable[[], bool], progress: Progress) -> GcOutcome:
        from backend.store.gc import delete

        result = delete.execute_plan(self.store, plan_id, stopped=stopped, progress=progress)
        return GcOutcome(wire.GcResult.model_validate(result), result.stopped)

    def list_trash(self) -> wire.Trash:
        from backend.store.gc import trash

        return wire.Trash.model_validate(trash.read_contents(self.store))

    def restore_trash(
        self, entries: Sequence[str] | None, *, stopped: Callable[[], bool], progress: Progress
    ) -> GcOutcome:
        from backend.store.gc import restore

        result = restore.restore_entries(self.store, entries, stopped=stopped, progress=progress)
        return GcOutcome(wire.GcResult.model_validate(result), result.stopped)

    def empty_trash(self, digest: str) -> wire.EmptyTrashResult:
        from backend.store.gc import trash

        return wire.EmptyTrashResult.model_validate(trash.empty_listed(self.store, digest))
