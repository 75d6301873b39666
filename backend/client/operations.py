"""The API's operations as typed calls: what is asked, and how the answer is read. Both clients send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import httpx
import orjson
from pydantic import BaseModel

from backend.api import wire
from backend.store.errors import CollapseError

PREFIX = "/api/v1"
LONG_TIMEOUT_S = 300.0
"""For what waits in the server's queue and is made then: figures, replays, archives."""
Answer = TypeVar("Answer")
Model = TypeVar("Model", bound=BaseModel)
Item = TypeVar("Item", bound=BaseModel)


class ApiError(CollapseError):
    """The server answered with a problem; `problem` holds it whole."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """A request, and how its answer is read."""

    read: Callable[[httpx.Response], Answer]
    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Iterable[bytes] | None = None
    timeout_s: float | None = None
    """How long an answer may take, where that is not as long as usual."""

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return the request as a client sends it."""
        given: dict[str, Any] = {"params": {key: value for key, value in self.params.items() if value is not None}}
        if self.json is not None:
            given["json"] = self.json
        if self.content is not None:
            given["content"] = self.content
        if self.timeout_s is not None:
            given["timeout"] = self.timeout_s
        return http.build_request(self.method, PREFIX + self.path, headers=dict(self.headers), **given)

    def answer(self, response: httpx.Response) -> Answer:
        """Return what the answer says; raises ApiError where it is a problem."""
        require_success(response)
        return self.read(response)


def require_success(response: httpx.Response) -> None:
    """Raise ApiError where the answer is no success."""
    if not response.is_success:
        raise ApiError(problem_of(response))


def problem_of(response: httpx.Response) -> wire.Problem:
    """Return the problem that an answer is, or says no more of."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        return wire.Problem.model_validate_json(response.content)
    detail = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
    return wire.Problem(title="Unexpected answer", status=response.status_code, detail=detail)


def _model(kind: type[Model]) -> Callable[[httpx.Response], Model]:
    return lambda response: kind.model_validate_json(response.content)


def _items(kind: type[Item]) -> Callable[[httpx.Response], list[Item]]:
    def read(response: httpx.Response) -> list[Item]:
        return [kind.model_validate(item) for item in orjson.loads(response.content)["items"]]

    return read


def _nothing(_response: httpx.Response) -> None:
    return None


def _plain(response: httpx.Response) -> Any:
    return orjson.loads(response.content)


_RUN = _model(wire.RunWire)


class Calls:
    """Every operation of the API."""

    # ── runs ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def launch(self, config: Mapping[str, Any], *, key: str | None = None, **facts: Any) -> Call[wire.RunWire]:
        """Queue a run; `facts` are name, tags, group, priority, time_limit_s."""
        return Call(_RUN, "POST", "/runs", json={"config": config, **facts}, headers=_keyed(key))

    def sweep(
        self,
        config: Mapping[str, Any],
        group: str,
        *,
        grid: Mapping[str, Sequence[Any]] | None = None,
        seeds: int = 1,
        key: str | None = None,
        **facts: Any,
    ) -> Call[wire.Sweep]:
        """Queue a grid of settings times seeds as one group."""
        body = {"config": config, "grid": dict(grid or {}), "seeds": seeds, "group": group, **facts}
        return Call(_model(wire.Sweep), "POST", "/sweeps", json=body, headers=_keyed(key))

    def clone(self, run_id: str, settings: Mapping[str, Any], **facts: Any) -> Call[wire.RunWire]:
        """Queue a run like another one, with some settings changed."""
        return Call(_RUN, "POST", f"/runs/{run_id}/clone", json={"set": settings, **facts})

    def runs(self, **query: Any) -> Call[wire.RunPage]:
        """A page of runs; `query` is status, q, sort, cursor, limit, deleted."""
        return Call(_model(wire.RunPage), "GET", "/runs", params=query)

    def run(self, run_id: str) -> Call[wire.RunWire]:
        return Call(_RUN, "GET", f"/runs/{run_id}")

    def change(self, run_id: str, **changes: Any) -> Call[wire.RunWire]:
        """Change name, tags, group, notes, priority or time limit."""
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
        """Do one thing to several runs."""
        body = {"action": action, "runs": runs, "q": q, "value": value}
        return Call(_items(wire.BulkResult), "POST", "/runs/bulk", json=body)

    def queue(self) -> Call[list[wire.RunWire]]:
        return Call(_items(wire.RunWire), "GET", "/queue")

    def folds(self, by: str = "seeds", *, q: str = "", keys: str = "train.nc1") -> Call[wire.Folds]:
        """Runs folded into rows; `by` is "seeds" or a field, `keys` are metrics such as train.nc1,test.top1."""
        return Call(_model(wire.Folds), "GET", "/folds", params={"by": by, "q": q, "keys": keys})

    def sparklines(self, run_ids: Sequence[str], key: str = "nc1") -> Call[list[wire.Sparkline]]:
        return Call(_items(wire.Sparkline), "GET", "/sparklines", params={"runs": ",".join(run_ids), "key": key})

    def groups(self) -> Call[list[wire.Group]]:
        return Call(_items(wire.Group), "GET", "/groups")

    # ── facts ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def events(self, run_id: str, after: int = 0, limit: int = 500) -> Call[wire.EventPage]:
        query = {"after": after, "limit": limit}
        return Call(_model(wire.EventPage), "GET", f"/runs/{run_id}/events", params=query)

    def metrics_of(self, run_id: str, keys: str | None = None, points: int | None = None) -> Call[wire.Series]:
        query = {"keys": keys, "points": points}
        return Call(_model(wire.Series), "GET", f"/runs/{run_id}/metrics", params=query)

    def overview(self, run_id: str, points: int | None = None) -> Call[wire.Overview]:
        return Call(_model(wire.Overview), "GET", f"/runs/{run_id}/overview", params={"points": points})

    def geometry(self, run_id: str, epoch: float | None = None, **query: Any) -> Call[wire.Geometry]:
        return Call(_model(wire.Geometry), "GET", f"/runs/{run_id}/geometry", params={"epoch": epoch, **query})

    def samples(self, run_id: str) -> Call[wire.Samples]:
        return Call(_model(wire.Samples), "GET", f"/runs/{run_id}/samples")

    def attempts(self, run_id: str) -> Call[list[wire.AttemptWire]]:
        return Call(_items(wire.AttemptWire), "GET", f"/runs/{run_id}/attempts")

    def artifacts(self, run_id: str) -> Call[list[wire.ArtifactWire]]:
        return Call(_items(wire.ArtifactWire), "GET", f"/runs/{run_id}/artifacts")

    def readings(self, run_id: str) -> Call[list[wire.ReadingWire]]:
        return Call(_items(wire.ReadingWire), "GET", f"/runs/{run_id}/readings")

    def log(self, run_id: str, tail: int | None = None) -> Call[str]:
        return Call(lambda response: response.text, "GET", f"/runs/{run_id}/log", params={"tail": tail})

    def figure(self, runs: str, figure: str, format_: str, **query: Any) -> Call[bytes]:
        """A figure's file, of one run or of several ids with commas between them; `query` are its options."""
        params = {"runs": runs, **query}
        path = f"/figures/{figure}.{format_}"
        return Call(lambda response: response.content, "GET", path, params=params, timeout_s=LONG_TIMEOUT_S)

    def plot(self, runs: str, figure: str, **query: Any) -> Call[dict[str, Any]]:
        """A figure as Plotly reads it; `layout.meta` has caption, notices and provenance."""
        params = {"runs": runs, **query}
        return Call(_plain, "GET", f"/figures/{figure}.json", params=params, timeout_s=LONG_TIMEOUT_S)

    def replay(self, run_ids: str) -> Call[bytes]:
        """Runs, ids with commas between them, as one HTML file that works offline."""
        params = {"runs": run_ids}
        return Call(lambda response: response.content, "GET", "/replay.html", params=params, timeout_s=LONG_TIMEOUT_S)

    def origin(self, content: bytes) -> Call[wire.Origin]:
        """Where a figure's file comes from."""
        return Call(_model(wire.Origin), "POST", "/figures/origin", content=[content])

    def archive(self, run_id: str) -> Call[bytes]:
        """The run as a zip; large ones are better taken with `stream`."""
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
    ) -> Call[wire.Estimate]:
        """What runs would take of time and memory."""
        body = {"config": config, "grid": dict(grid or {}), "seeds": seeds}
        return Call(_model(wire.Estimate), "POST", "/config/estimate", json=body)

    def data(self) -> Call[dict[str, Any]]:
        return Call(_plain, "GET", "/data")

    def metrics(self) -> Call[list[wire.MetricWire]]:
        return Call(_items(wire.MetricWire), "GET", "/metrics")

    def system(self) -> Call[wire.System]:
        return Call(_model(wire.System), "GET", "/system")

    def doctor(self) -> Call[list[wire.Finding]]:
        """What works on the server's machine, and what to do about the rest."""
        return Call(_items(wire.Finding), "GET", "/doctor")

    def me(self) -> Call[wire.Me]:
        return Call(_model(wire.Me), "GET", "/me")

    def log_out(self) -> Call[None]:
        """End the browser's session in whose name this is called."""
        return Call(_nothing, "POST", "/logout")

    def tokens(self) -> Call[list[wire.TokenWire]]:
        return Call(_items(wire.TokenWire), "GET", "/tokens")

    def make_token(self, name: str, scope: str = "read", *, expires_in_s: int | None = None) -> Call[wire.TokenMade]:
        body = {"name": name, "scope": scope, "expires_in_s": expires_in_s}
        return Call(_model(wire.TokenMade), "POST", "/tokens", json=body)

    def revoke_token(self, token_id: str) -> Call[None]:
        return Call(_nothing, "DELETE", f"/tokens/{token_id}")

    def audit(self, **query: Any) -> Call[list[wire.AuditEntry]]:
        return Call(_items(wire.AuditEntry), "GET", "/audit", params=query)

    def preview_gc(self, **rules: Any) -> Call[wire.GcPlan]:
        """Find out what can be removed; `rules` are thin_geometry, checkpoints, q. Nothing is removed."""
        return Call(_model(wire.GcPlan), "POST", "/gc", json=rules)

    def delete_plan(self, plan_id: str) -> Call[wire.GcResult]:
        """Move what a plan names to the trash."""
        return Call(_model(wire.GcResult), "POST", f"/gc/{plan_id}/delete")

    def trash(self) -> Call[wire.Trash]:
        return Call(_model(wire.Trash), "GET", "/trash")

    def restore_trash(self, entries: Sequence[str]) -> Call[wire.GcResult]:
        """Bring entries of the trash back."""
        return Call(_model(wire.GcResult), "POST", "/trash/restore", json={"entries": list(entries)})

    def empty_trash(self, digest: str) -> Call[wire.TrashEmptied]:
        """Remove for good what `trash` listed under this digest."""
        return Call(_model(wire.TrashEmptied), "POST", "/trash/empty", json={"digest": digest})


calls = Calls()


def _keyed(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Idempotency-Key": key}
