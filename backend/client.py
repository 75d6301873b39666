"""The typed HTTP client, which pages, the command line and scripts share: remote, or over ASGI inside the server."""

from __future__ import annotations

from typing import Any

import httpx

from backend import wire
from backend.errors import CollapseError

PREFIX = "/api/v1"


class ApiError(CollapseError):
    """The server answered with a problem; `problem` holds it whole."""

    def __init__(self, problem: wire.Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Client:
    """Asynchronous client of a server's `/api/v1`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def presets(self) -> list[wire.PresetWire]:
        return wire.Items[wire.PresetWire].model_validate(await self._json("GET", "/presets")).items

    async def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._json("GET", "/schema/config")
        return found

    async def data(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._json("GET", "/data")
        return found

    async def metrics(self) -> list[wire.MetricWire]:
        return wire.Items[wire.MetricWire].model_validate(await self._json("GET", "/metrics")).items

    async def system(self) -> wire.System:
        return wire.System.model_validate(await self._json("GET", "/system"))

    async def check(self, config: dict[str, Any]) -> wire.ConfigCheck:
        return wire.ConfigCheck.model_validate(await self._json("POST", "/config/check", json=config))

    async def launch(self, config: dict[str, Any], **facts: Any) -> wire.RunWire:
        return wire.RunWire.model_validate(await self._json("POST", "/runs", json={"config": config, **facts}))

    async def runs(self, **query: Any) -> wire.RunPage:
        return wire.RunPage.model_validate(await self._json("GET", "/runs", params=query))

    async def run(self, run_id: str) -> wire.RunWire:
        return wire.RunWire.model_validate(await self._json("GET", f"/runs/{run_id}"))

    async def cancel(self, run_id: str) -> wire.RunWire:
        return wire.RunWire.model_validate(await self._json("POST", f"/runs/{run_id}/cancel"))

    async def retry(self, run_id: str) -> wire.RunWire:
        return wire.RunWire.model_validate(await self._json("POST", f"/runs/{run_id}/retry"))

    async def delete(self, run_id: str) -> None:
        await self._json("DELETE", f"/runs/{run_id}")

    async def restore(self, run_id: str) -> wire.RunWire:
        return wire.RunWire.model_validate(await self._json("POST", f"/runs/{run_id}/restore"))

    async def events(self, run_id: str, after: int = 0, limit: int = 500) -> wire.EventPage:
        query = {"after": after, "limit": limit}
        return wire.EventPage.model_validate(await self._json("GET", f"/runs/{run_id}/events", params=query))

    async def figure(self, run_id: str, figure: str, format_: str, **query: Any) -> bytes:
        response = await self._http.get(f"{PREFIX}/runs/{run_id}/figures/{figure}.{format_}", params=query)
        self._require_success(response)
        return response.content

    async def _json(self, method: str, path: str, **request: Any) -> Any:
        response = await self._http.request(method, PREFIX + path, **request)
        self._require_success(response)
        return None if response.status_code == 204 else response.json()

    @staticmethod
    def _require_success(response: httpx.Response) -> None:
        if response.is_success:
            return
        if response.headers.get("content-type", "").startswith("application/problem+json"):
            raise ApiError(wire.Problem.model_validate(response.json()))
        detail = f"{response.request.method} {response.request.url.path} answered {response.status_code}"
        raise ApiError(wire.Problem(title="Unexpected answer", status=response.status_code, detail=detail))
