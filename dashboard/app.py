"""The pages, on the service's FastAPI application. They use the service through its HTTP client alone.

`attach` calls the service inside the same process, through httpx2's ASGI transport; `create` with another transport
serves the same pages for a remote service.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import httpx2
from dash import ClientsideFunction, Dash, Input, Output, State, html
from fastapi import FastAPI

from backend.api import page_constants, wire
from backend.client import ApiError, AsyncClient, calls
from backend.settings import Settings
from dashboard import ids
from dashboard.components import shell
from dashboard.dialogs import export
from dashboard.pages import compare, new, run, runs, system
from dashboard.plots.charts import overview_groups

ASSETS = Path(__file__).with_name("assets")
APP_TITLE = "Collapse Lab"
INDEX = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8">
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{%title%}</title>
    <link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
    <style>/*palette*/</style>
    <!--constants-->
    {%css%}
  </head>
  <body>
    {%app_entry%}
    <footer>{%config%}{%scripts%}{%renderer%}</footer>
  </body>
</html>"""


class Page(NamedTuple):
    """A page's content and its title in the browser's tab."""

    content: Any
    title: str


def attach(api: FastAPI, settings: Settings) -> list[str]:
    """Mount the pages on the service's application; return the hashes of their inline scripts, for its policy."""
    client = AsyncClient(settings.url, transport=httpx2.ASGITransport(api), timeout_s=120, max_wait_s=0)
    return list(create(api, client).csp_hashes())


def create(api: FastAPI, client: AsyncClient) -> Dash:
    """Return the Dash application on `api`, with pages that read through `client`."""
    app = Dash(
        "collapse-lab",
        server=api,
        title=APP_TITLE,
        update_title=None,
        assets_folder=str(ASSETS),
        # Listed here, because Dash would search the folder only at the first visit of `/`.
        include_assets_files=False,
        external_stylesheets=["/assets/style.css"],
        external_scripts=["/assets/js/callbacks.js", {"src": "/assets/js/main.mjs", "type": "module"}],
        suppress_callback_exceptions=True,
        index_string=INDEX.replace("/*palette*/", shell.render_css_variables()).replace(
            "<!--constants-->", page_constants.script_element()
        ),
    )
    app.layout = shell.layout()
    _register_shell(app, client)
    for module in (run, new, system, export):
        module.register(app, client)
    return app


def _register_shell(app: Dash, client: AsyncClient) -> None:
    """Register the callbacks that every page needs: routing, navigation, title, theme."""

    @app.callback(Output(ids.DEVICE, "children"), Output(ids.DOCUMENTATION, "hidden"), Input(ids.MANTINE, "id"))
    async def show_system(_: str) -> tuple[str, bool]:
        status = await client(calls.system())
        return shell.format_devices(status), not status.documentation

    @app.callback(
        Output(ids.PAGE, "children"),
        Output(ids.PAGE_TITLE, "data"),
        Output(ids.URL, "pathname"),
        Input(ids.URL, "pathname"),
        State(ids.URL, "search"),
    )
    async def show_page(path: str | None, search: str | None) -> Any:
        target = await _find_landing_path(client) if path in (None, "/") else str(path)
        page = await _load_page(client, target, search or "")
        return page.content, f"{page.title} · {APP_TITLE}", target

    def clientside(function: str, *arguments: Any, **options: Any) -> None:
        app.clientside_callback(ClientsideFunction("collapse", function), *arguments, **options)

    links = [Output(ids.nav_link(path), "className") for path, _ in shell.PAGES]
    clientside("updateNavigation", *links, Input(ids.URL, "pathname"))
    clientside("updateTitle", Input(ids.PAGE_TITLE, "data"))
    clientside(
        "toggleScheme",
        Output(ids.SCHEME, "data"),
        Input(ids.SCHEME_TOGGLE, "n_clicks"),
        State(ids.SCHEME, "data"),
        prevent_initial_call=True,
    )
    clientside("applyScheme", Output(ids.MANTINE, "forceColorScheme"), Input(ids.SCHEME, "data"))


async def _find_landing_path(client: AsyncClient) -> str:
    """Return the path that `/` leads to: the page of an active demonstration that is the only run, else the list."""
    page = await client(calls.runs(limit=2))
    only = page.items[0] if page.total == 1 else None
    is_live = only is not None and only.demonstration and only.status in ("queued", "running")
    return f"/runs/{only.id}" if only is not None and is_live else "/runs"


async def _load_page(client: AsyncClient, path: str, search: str) -> Page:
    if path == "/runs":
        return Page(await _load_runs(client), "Runs")
    if path == "/system":
        return Page(system.layout(await client(calls.me())), "System")
    if path == "/compare":
        return Page(await _load_compare(client, search), "Compare")
    if path == "/new":
        return Page(await _load_new(client, search), "New run")
    if path.startswith("/runs/"):
        return await _load_run(client, path.removeprefix("/runs/").strip("/"))
    content = [html.H1("Page not found"), html.P(f"There is no page at {path}.")]
    return Page(html.Div(content, className="panel empty"), "Page not found")


async def _load_run(client: AsyncClient, run_id: str) -> Page:
    try:
        shown, me = await client(calls.run(run_id)), await client(calls.me())
        content = run.layout(shown, await client(calls.metrics()), may_change=me.may_change)
        return Page(content, shown.name)
    except ApiError as error:
        return Page(run.not_found(run_id, str(error)), "Run not found")


async def _load_new(client: AsyncClient, search: str) -> Any:
    if not (await client(calls.me())).may_change:
        return new.read_only()
    cloned = parse_qs(search.removeprefix("?")).get("clone")
    presets = await client(calls.presets())
    if not cloned:
        return new.layout(presets)
    try:
        original = await client(calls.run(cloned[0]))
        return new.layout(presets, original)
    except ApiError as error:
        return run.not_found(cloned[0], str(error))


async def _load_runs(client: AsyncClient) -> Any:
    schema, data = await client(calls.schema()), await client(calls.data())
    columns = runs.list_columns(await client(calls.metrics()), schema)
    vocabulary = runs.build_vocabulary(columns, schema, await client(calls.groups()), data)
    me = await client(calls.me())
    return runs.layout(columns, vocabulary, may_change=me.may_change, may_delete=me.scope == "admin")


async def _load_compare(client: AsyncClient, search: str) -> Any:
    """Return the comparison of an address's runs: `runs` by id, then `groups` by name."""
    query = parse_qs(search.removeprefix("?"))
    chosen: list[wire.RunWire] = []
    try:
        for run_id in ",".join(query.get("runs", [])).split(","):
            if run_id:
                chosen.append(await client(calls.run(run_id)))
        for group in ",".join(query.get("groups", [])).split(","):
            if group:
                chosen += (await client(calls.runs(q=f'group:"{group}"', limit=page_constants.MAX_COMPARED_RUNS))).items
    except ApiError as error:
        return run.not_found("", str(error))
    metrics = await client(calls.metrics())
    groups = [group for group in overview_groups(metrics) if any("key" in chart for chart in group["charts"])]
    return compare.layout(chosen, metrics, groups)
