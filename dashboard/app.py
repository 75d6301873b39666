"""The pages, natively on the FastAPI application. They speak to the service through its HTTP client alone.

`attach` uses httpx2's ASGI transport, so a callback's call stays inside the process; `create` with another transport
serves the same pages for a remote server.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx2
from dash import ClientsideFunction, Dash, Input, Output, State, html
from fastapi import FastAPI

from backend.api import wire
from backend.client import ApiError, AsyncClient, calls
from backend.settings import Settings
from dashboard import ids
from dashboard.components import shell
from dashboard.dialogs import export
from dashboard.pages import compare, new, run, runs, system
from dashboard.plots.charts import overviews

ASSETS = Path(__file__).with_name("assets")
INDEX = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{%title%}</title>
    <link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
    <style>/*palette*/</style>
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""


def attach(api: FastAPI, settings: Settings) -> list[str]:
    """Mount the pages on the service's application; return the hashes of their inline scripts, for its policy."""
    client = AsyncClient(settings.url, transport=httpx2.ASGITransport(api), timeout_s=120, max_wait_s=0)
    return list(create(api, client).csp_hashes())


def create(api: FastAPI, client: AsyncClient) -> Dash:
    """Return the Dash application on `api`, with pages that read through `client`."""
    app = Dash(
        "collapse-lab",
        server=api,
        title="Collapse Lab",
        update_title=None,
        assets_folder=str(ASSETS),
        # Named here rather than found by walking the folder: the walk happens at the first visit of `/` alone.
        include_assets_files=False,
        external_stylesheets=["/assets/style.css"],
        external_scripts=["/assets/js/callbacks.js", {"src": "/assets/js/main.mjs", "type": "module"}],
        suppress_callback_exceptions=True,
        index_string=INDEX.replace("/*palette*/", shell.css_variables()),
    )
    app.layout = shell.layout()

    @app.callback(Output(ids.DEVICE, "children"), Input(ids.MANTINE, "id"))
    async def device(_: str) -> str:
        return shell.device_words(await client(calls.system()))

    @app.callback(
        Output(ids.PAGE, "children"),
        Output(ids.URL, "pathname"),
        Input(ids.URL, "pathname"),
        State(ids.URL, "search"),
    )
    async def page(path: str | None, search: str | None) -> Any:
        where = await _landing(client) if path in (None, "/") else str(path)
        return await _page(client, where, search or ""), where

    app.clientside_callback(
        ClientsideFunction("collapse", "whereAmI"),
        *(Output(shell.link_id(path), "className") for path, _ in shell.PAGES),
        Input(ids.URL, "pathname"),
    )
    app.clientside_callback(
        ClientsideFunction("collapse", "toggleScheme"),
        Output(ids.SCHEME, "data"),
        Input(ids.SCHEME_TOGGLE, "n_clicks"),
        State(ids.SCHEME, "data"),
        prevent_initial_call=True,
    )
    app.clientside_callback(
        ClientsideFunction("collapse", "applyScheme"),
        Output(ids.MANTINE, "forceColorScheme"),
        Input(ids.SCHEME, "data"),
    )
    for page_module in (run, new, system, export):
        page_module.register(app, client)
    return app


async def _landing(client: AsyncClient) -> str:
    """Return where `/` leads: a first start to the demonstration, later ones to the list."""
    held = await client(calls.runs(limit=2))
    only = held.items[0] if held.total == 1 else None
    live = only is not None and only.demonstration and only.status in ("queued", "running")
    return f"/runs/{only.id}" if only is not None and live else "/runs"


async def _page(client: AsyncClient, path: str, search: str) -> Any:
    if path == "/runs":
        return await _runs(client)
    if path == "/system":
        return system.layout(await client(calls.me()))
    if path == "/compare":
        return await _compare(client, search)
    if path == "/new":
        return await _new(client, search)
    if path.startswith("/runs/"):
        run_id = path.removeprefix("/runs/").strip("/")
        try:
            found, me = await client(calls.run(run_id)), await client(calls.me())
            return run.layout(found, await client(calls.metrics()), may_change=me.may_change)
        except ApiError as error:
            return run.missing(run_id, str(error))
    return html.Div([html.H1("No such page"), html.P(f"There is nothing at {path}.")], className="panel empty")


async def _new(client: AsyncClient, search: str) -> Any:
    if not (await client(calls.me())).may_change:
        return new.refused()
    cloned = parse_qs(search.removeprefix("?")).get("clone")
    presets = await client(calls.presets())
    if not cloned:
        return new.layout(presets)
    try:
        original = await client(calls.run(cloned[0]))
        return new.layout(presets, original)
    except ApiError as error:
        return run.missing(cloned[0], str(error))


async def _runs(client: AsyncClient) -> Any:
    schema, data = await client(calls.schema()), await client(calls.data())
    shown = runs.columns(await client(calls.metrics()), schema)
    words = runs.vocabulary(shown, await client(calls.presets()), await client(calls.groups()), data)
    me = await client(calls.me())
    return runs.layout(shown, words, may_change=me.may_change, may_delete=me.scope == "admin")


async def _compare(client: AsyncClient, search: str) -> Any:
    """Return the comparison that an address names: `runs` by id, `groups` by name, in that order."""
    asked = parse_qs(search.removeprefix("?"))
    chosen: list[wire.RunWire] = []
    try:
        for run_id in ",".join(asked.get("runs", [])).split(","):
            if run_id:
                chosen.append(await client(calls.run(run_id)))
        for group in ",".join(asked.get("groups", [])).split(","):
            if group:
                chosen += (await client(calls.runs(q=f'group:"{group}"', limit=200))).items
    except ApiError as error:
        return run.missing("", str(error))
    metrics = await client(calls.metrics())
    groups = [group for group in overviews(metrics) if any("key" in chart for chart in group["charts"])]
    return compare.layout(chosen, metrics, groups)
