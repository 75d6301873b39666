"""The API's operations as typed calls: a request, and how to read its response. Both clients send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx2
import orjson
from pydantic import BaseModel

from backend.api import wire
from backend.store.errors import CollapseError
from ncengine.components import ALLOW_UNKNOWN

PREFIX = "/api/v1"
LONG_TIMEOUT_S = 300.0
"""Timeout of requests that wait in a queue of the server: figures, replays, archives."""
Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item")


class ApiError(CollapseError):
    """An error response of the server, with its problem details in `problem`."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """A request, and how to read its response."""

    read: Callable[[httpx2.Response], Answer]
    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Iterable[bytes] | None = None
    timeout_s: float | None = None
    """Timeout, if it differs from the client's."""

    def request(self, http: httpx2.Client | httpx2.AsyncClient) -> httpx2.Request:
        """Build the request for a client."""
        options: dict[str, Any] = {"params": {key: value for key, value in self.params.items() if value is not None}}
        if self.json is not None:
            options["json"] = self.json
        if self.content is not None:
            options["content"] = self.content
        if self.timeout_s is not None:
            options["timeout"] = self.timeout_s
        return http.build_request(self.method, PREFIX + self.path, headers=dict(self.headers), **options)

    def answer(self, response: httpx2.Response) -> Answer:
        """Parse a response; raises ApiError if it is an error."""
        require_success(response)
        return self.read(response)


def require_success(response: httpx2.Response) -> None:
    """Raise ApiError unless the status is 2xx."""
    if not response.is_success:
        raise ApiError(parse_problem(response))


def parse_problem(response: httpx2.Response) -> wire.Problem:
    """Return an error response's problem details, or generic ones if it has none."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        return wire.Problem.model_validate_json(response.content)
    detail = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
    return wire.Problem(title="Unexpected answer", status=response.status_code, detail=detail)


def _model(kind: type[Model]) -> Callable[[httpx2.Response], Model]:
    return lambda response: kind.model_validate_json(response.content, context=ALLOW_UNKNOWN)


def _items(kind: type[Item]) -> Callable[[httpx2.Response], list[Item]]:
    model = wire.ItemList[kind]  # type: ignore[valid-type]
    return lambda response: model.model_validate_json(response.content, context=ALLOW_UNKNOWN).items


def _nothing(_response: httpx2.Response) -> None:
    return None


def _plain(response: httpx2.Response) -> Any:
    return orjson.loads(response.content)


_RUN = _model(wire.RunWire)


class Calls:
    """Every operation of the API."""

    # ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def launch(self, config: Mapping[str, Any], *, key: str | None = None, **options: Any) -> Call[wire.RunWire]:
        """Queue a run; `options` are name, tags, group, priority, time_limit_s."""
        return Call(_RUN, "POST", "/runs", json={"config": config, **options}, headers=_idempotency(key))

    def sweep(
        self,
        config: Mapping[str, Any],
        group: str,
        *,
        grid: Mapping[str, Sequence[Any]] | None = None,
        seeds: int = 1,
        key: str | None = None,
        **options: Any,
    ) -> Call[wire.Sweep]:
        """Queue every combination of a grid of settings and seeds as one group."""
        body = {"config": config, "grid": dict(grid or {}), "seeds": seeds, "group": group, **options}
        return Call(_model(wire.Sweep), "POST", "/sweeps", json=body, headers=_idempotency(key))

    def clone(self, run_id: str, settings: Mapping[str, Any], **options: Any) -> Call[wire.RunWire]:
        """Queue a copy of a run with some settings changed."""
        return Call(_RUN, "POST", f"/runs/{run_id}/clone", json={"set": settings, **options})

    def runs(self, **query: Any) -> Call[wire.RunPage]:
        """List runs; `query` is status, q, sort, cursor, limit, deleted."""
        return Call(_model(wire.RunPage), "GET", "/runs", params=query)

    def run(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "GET", f"/runs/{run_id}")

    def change(self, run_id: str, **changes: Any) -> Call[wire.RunWire]:
        """Update name, tags, group, notes, priority or time limit."""
        return Call(_RUN, "PATCH", f"/runs/{run_id}", json=changes)

    def cancel(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "POST", f"/runs/{run_id}/cancel")

    def pause(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "POST", f"/runs/{run_id}/pause")

    def resume(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "POST", f"/runs/{run_id}/resume")

    def retry(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "POST", f"/runs/{run_id}/retry")

    def delete(self, run_id: str) -> Call[None]:
        return Call(_nothing, "DELETE", f"/runs/{run_id}")

    def restore(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "POST", f"/runs/{run_id}/restore")

    def move(self, run_id: str, before: str | None) -> Call[wire.RunWire]:
        """Move a queued run before another one, or to the end of the queue."""
        return Call(_RUN, "POST", f"/runs/{run_id}/move", json={"before": before})

    def bulk(
        self, action: str, *, runs: Sequence[str] | None = None, q: str | None = None, value: str | int | None = None
    ) -> Call[list[wire.BulkResult]]:
        """Apply one action to several runs."""
        body = {"action": action, "runs": runs, "q": q, "value": value}
        return Call(_items(wire.BulkResult), "POST", "/runs/bulk", json=body)

    def queue(self) -> Call[list[wire.RunWire]]:
        return Call(_items(wire.RunWire), "GET", "/queue")

    def run_groups(self, by: str = "seeds", *, q: str = "", keys: str = "train.nc1") -> Call[wire.RunGroupPage]:
        """Group runs; `by` is "seeds" or a field, `keys` are metrics such as train.nc1,test.top1."""
        return Call(_model(wire.RunGroupPage), "GET", "/folds", params={"by": by, "q": q, "keys": keys})

    def sparklines(self, run_ids: Sequence[str], key: str = "nc1") -> Call[list[wire.Sparkline]]:
        return Call(_items(wire.Sparkline), "GET", "/sparklines", params={"runs": ",".join(run_ids), "key": key})

    def groups(self) -> Call[list[wire.GroupSummary]]:
        return Call(_items(wire.GroupSummary), "GET", "/groups")

    # ── a run's data ────────────────────────────────────────────────────────────────────────────────────────────────

    def events(self, run_id: str, after: int = 0, limit: int = 500) -> Call[wire.EventPage]:
        query = {"after": after, "limit": limit}
        return Call(_model(wire.EventPage), "GET", f"/runs/{run_id}/events", params=query)

    def metrics_of(self, run_id: str, keys: str | None = None, points: int | None = None) -> Call[wire.MetricSeries]:
        query = {"keys": keys, "points": points}
        return Call(_model(wire.MetricSeries), "GET", f"/runs/{run_id}/metrics", params=query)

    def overview(self, run_id: str, points: int | None = None) -> Call[wire.RunOverview]:
        return Call(_model(wire.RunOverview), "GET", f"/runs/{run_id}/overview", params={"points": points})

    def geometry(self, run_id: str, epoch: float | None = None, **query: Any) -> Call[wire.GeometryWire]:
        return Call(_model(wire.GeometryWire), "GET", f"/runs/{run_id}/geometry", params={"epoch": epoch, **query})

    def samples(self, run_id: str) -> Call[wire.SampleImages]:
        return Call(_model(wire.SampleImages), "GET", f"/runs/{run_id}/samples")

    def attempts(self, run_id: str) -> Call[list[wire.AttemptWire]]:
        return Call(_items(wire.AttemptWire), "GET", f"/runs/{run_id}/attempts")

    def artifacts(self, run_id: str) -> Call[list[wire.ArtifactWire]]:
        return Call(_items(wire.ArtifactWire), "GET", f"/runs/{run_id}/artifacts")

    def resource_samples(self, run_id: str) -> Call[list[wire.ResourceSampleWire]]:
        return Call(_items(wire.ResourceSampleWire), "GET", f"/runs/{run_id}/readings")

    def log(self, run_id: str, tail: int | None = None) -> Call[str]:
        return Call(lambda response: response.text, "GET", f"/runs/{run_id}/log", params={"tail": tail})

    def figure(self, runs: str, figure: str, format_: str, **query: Any) -> Call[bytes]:
        """Render a figure of one or several comma-separated run ids; `query` are its options."""
        params = {"runs": runs, **query}
        path = f"/figures/{figure}.{format_}"
        return Call(lambda response: response.content, "GET", path, params=params, timeout_s=LONG_TIMEOUT_S)

    def plot(self, runs: str, figure: str, **query: Any) -> Call[dict[str, Any]]:
        """Render a figure for Plotly; `layout.meta` has caption, notices and provenance."""
        params = {"runs": runs, **query}
        return Call(_plain, "GET", f"/figures/{figure}.json", params=params, timeout_s=LONG_TIMEOUT_S)

    def replay(self, run_ids: str) -> Call[bytes]:
        """Render an offline replay of comma-separated run ids: one HTML file."""
        params = {"runs": run_ids}
        return Call(lambda response: response.content, "GET", "/replay.html", params=params, timeout_s=LONG_TIMEOUT_S)

    def provenance(self, content: bytes) -> Call[wire.FigureProvenance]:
        """Read a figure file's provenance."""
        return Call(_model(wire.FigureProvenance), "POST", "/figures/origin", content=[content])

    def archive(self, run_id: str) -> Call[bytes]:
        """Export a run as a zip; use `stream` for large ones."""
        path = f"/runs/{run_id}/archive.zip"
        return Call(lambda response: response.content, "GET", path, timeout_s=LONG_TIMEOUT_S)

    def import_archive(self, content: Iterable[bytes]) -> Call[wire.RunWire]:
        return Call(_RUN, "POST", "/imports", content=content, headers={"content-type": "application/zip"})

    # ── the server ──────────────────────────────────────────────────────────────────────────────────────────────────

    def presets(self) -> Call[list[wire.PresetWire]]:
        return Call(_items(wire.PresetWire), "GET", "/presets")

    def schema(self) -> Call[dict[str, Any]]:
        return Call(_plain, "GET", "/schema/config")

    def check(self, config: Mapping[str, Any]) -> Call[wire.ConfigCheck]:
        return Call(_model(wire.ConfigCheck), "POST", "/config/check", json=config)

    def estimate(
        self, config: Mapping[str, Any], *, grid: Mapping[str, Sequence[Any]] | None = None, seeds: int = 1
    ) -> Call[wire.LaunchEstimate]:
        """Estimate time and memory of a launch."""
        body = {"config": config, "grid": dict(grid or {}), "seeds": seeds}
        return Call(_model(wire.LaunchEstimate), "POST", "/config/estimate", json=body)

    def data(self) -> Call[dict[str, Any]]:
        return Call(_plain, "GET", "/data")

    def metrics(self) -> Call[list[wire.MetricWire]]:
        return Call(_items(wire.MetricWire), "GET", "/metrics")

    def system(self) -> Call[wire.SystemStatus]:
        return Call(_model(wire.SystemStatus), "GET", "/system")

    def doctor(self) -> Call[list[wire.CheckResult]]:
        """Run the diagnostics of the server's machine."""
        return Call(_items(wire.CheckResult), "GET", "/doctor")

    def me(self) -> Call[wire.CallerWire]:
        return Call(_model(wire.CallerWire), "GET", "/me")

    def log_out(self) -> Call[None]:
        """End the session that authenticates this request."""
        return Call(_nothing, "POST", "/logout")

    def tokens(self) -> Call[list[wire.TokenWire]]:
        return Call(_items(wire.TokenWire), "GET", "/tokens")

    def create_token(
        self, name: str, scope: str = "read", *, expires_in_s: int | None = None, expires_at: str | None = None
    ) -> Call[wire.CreatedToken]:
        body = {"name": name, "scope": scope, "expires_in_s": expires_in_s, "expires_at": expires_at}
        return Call(_model(wire.CreatedToken), "POST", "/tokens", json=body)

    def revoke_token(self, token_id: str) -> Call[None]:
        return Call(_nothing, "DELETE", f"/tokens/{token_id}")

    def audit(self, **query: Any) -> Call[list[wire.AuditEntry]]:
        return Call(_items(wire.AuditEntry), "GET", "/audit", params=query)

    def preview_gc(self, **rules: Any) -> Call[wire.GcPlan]:
        """Create a plan of what can be deleted; `rules` are thin_geometry, checkpoints, q. Nothing is deleted."""
        return Call(_model(wire.GcPlan), "POST", "/gc", json=rules)

    def gc_plan(self, plan_id: str) -> Call[wire.GcPlan]:
        return Call(_model(wire.GcPlan), "GET", f"/gc/{plan_id}")

    def delete_plan(self, plan_id: str) -> Call[wire.GcResult]:
        """Move a plan's items to the trash."""
        return Call(_model(wire.GcResult), "POST", f"/gc/{plan_id}/delete", timeout_s=LONG_TIMEOUT_S)

    def trash(self) -> Call[wire.Trash]:
        return Call(_model(wire.Trash), "GET", "/trash")

    def restore_trash(self, entries: Sequence[str]) -> Call[wire.GcResult]:
        """Restore entries of the trash."""
        return Call(_model(wire.GcResult), "POST", "/trash/restore", json={"entries": list(entries)})

    def empty_trash(self, digest: str) -> Call[wire.EmptyTrashResult]:
        """Permanently remove the trash that `trash` listed with this digest."""
        return Call(_model(wire.EmptyTrashResult), "POST", "/trash/empty", json={"digest": digest})


calls = Calls()


def _idempotency(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}
