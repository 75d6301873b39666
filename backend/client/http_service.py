"""The service of a running server, over HTTP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from backend.api import wire
from backend.client.client import Client, RetryWait, log_wait
from backend.client.operations import Call, calls
from backend.client.service import GcOutcome, Progress
from backend.store.errors import Unusable
from backend.store.run_status import RunAction
from backend.store.scopes import TokenScope
from ncengine.config import RunConfig

if TYPE_CHECKING:
    from backend.figures.export import FigureOrder

EVENTS_PER_PAGE = 1000


@contextlib.contextmanager
def connect(
    server: str,
    token: str | None,
    *,
    verify: str | bool = True,
    on_wait: Callable[[RetryWait], None] | None = None,
) -> Iterator[HttpService]:
    """Open a client of a server; raises Unusable if the server cannot be reached."""
    try:
        with Client(server, token, verify=verify, on_wait=on_wait or log_wait) as client:
            yield HttpService(client, server)
    except httpx2.TransportError as error:
        raise Unusable(
            f"the server at {server} cannot be reached ({error}); is it running, and the tunnel open?"
        ) from error


class HttpService:
    """Implements `Service` with the typed client."""

    poll_s = 1.0
    cancels_on_interrupt = False

    def __init__(self, client: Client, server: str) -> None:
        self._client = client
        self.location = f" on {server}"

    def server_url(self) -> str | None:
        return None  # `location` names the server

    def list_runs(self, *, status: str | None, q: str, sort: str, limit: int) -> list[wire.RunWire]:
        return self._client(calls.runs(limit=limit, q=q, sort=sort, status=status)).items

    def run(self, run_id: str) -> wire.RunWire:
        return self._client(calls.run(run_id))

    def events(self, run_id: str, after: int) -> list[dict[str, Any]]:
        return self._client(calls.events(run_id, after, EVENTS_PER_PAGE)).items

    def metrics(self, run_id: str) -> wire.MetricSeries:
        return self._client(calls.metrics_of(run_id))

    def resolve_runs(self, text: str) -> list[str]:
        from backend.figures import export

        return export.find_runs_on_server(self._client, text)

    @contextlib.contextmanager
    def launch(self, config: RunConfig, *, name: str, group: str | None, mirror: str | None) -> Iterator[str]:
        del mirror  # the server has its own
        yield self._client(calls.launch(config.model_dump(mode="json"), name=name, group=group)).id

    def bulk_action(self, action: RunAction, run_ids: Sequence[str]) -> list[wire.BulkResult]:
        return self._client(calls.bulk(action, runs=run_ids))

    def export_figure(self, order: FigureOrder) -> bytes:
        from backend.figures import export

        return export.export_from_server(self._client, order)

    def export_replay(self, runs: str) -> bytes:
        return self._client(calls.replay(",".join(self.resolve_runs(runs))))

    @contextlib.contextmanager
    def export_archive(self, run_id: str) -> Iterator[Iterator[bytes]]:
        with self._client.stream(calls.archive(run_id)) as chunks:
            yield chunks

    def import_archive(self, file: Path, chunks: Iterator[bytes]) -> tuple[str, bool]:
        del file
        call = calls.import_archive(chunks)

        def read(response: httpx2.Response) -> tuple[str, bool]:
            return call.read(response).id, response.status_code == 201

        return self._client(Call(read, call.method, call.path, headers=call.headers, content=call.content))

    def list_presets(self) -> list[wire.PresetWire]:
        return self._client(calls.presets())

    def config_schema(self) -> dict[str, Any]:
        return self._client(calls.schema())

    def run_checks(self) -> list[wire.CheckResult]:
        return self._client(calls.doctor())

    def create_token(self, name: str, scope: TokenScope, expires_at: str | None) -> wire.CreatedToken:
        return self._client(calls.create_token(name, scope, expires_at=expires_at))

    def list_tokens(self) -> list[wire.TokenWire]:
        return self._client(calls.tokens())

    def revoke_token(self, token_id: str) -> None:
        self._client(calls.revoke_token(token_id))

    def create_gc_plan(self, rules: wire.GcRequest) -> wire.GcPlan:
        return self._client(calls.preview_gc(**rules.model_dump(exclude={"dry_run"})))

    def gc_plan(self, plan_id: str) -> wire.GcPlan:
        return self._client(calls.gc_plan(plan_id))

    def delete_gc_plan(self, plan_id: str, *, stopped: Callable[[], bool], progress: Progress) -> GcOutcome:
        del stopped, progress  # the server deletes in one request
        return GcOutcome(self._client(calls.delete_plan(plan_id)), interrupted=False)

    def list_trash(self) -> wire.Trash:
        return self._client(calls.trash())

    def restore_trash(
        self, entries: Sequence[str] | None, *, stopped: Callable[[], bool], progress: Progress
    ) -> GcOutcome:
        del stopped, progress
        names = [entry.name for entry in self.list_trash().items] if entries is None else list(entries)
        if not names:
            return GcOutcome(wire.GcResult(count=0, size_bytes=0, items=[], skipped=[]), interrupted=False)
        return GcOutcome(self._client(calls.restore_trash(names)), interrupted=False)

    def empty_trash(self, digest: str) -> wire.EmptyTrashResult:
        return self._client(calls.empty_trash(digest))
