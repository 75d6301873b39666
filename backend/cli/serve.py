"""`collapse serve`: start the server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from backend.cli.options import Data, Database, Mirror, Token

Host = Annotated[str, typer.Option(help="Address to listen on; another than loopback needs --token.")]
Port = Annotated[
    int | None, typer.Option(envvar="COLLAPSE_PORT", min=1, max=65535, help="Port (default: 8050, or a free one).")
]
OpenBrowser = Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")]
Demonstration = Annotated[
    bool, typer.Option("--demonstration/--no-demonstration", help="Start a first run in an empty store.")
]
Warm = Annotated[bool, typer.Option("--warm/--no-warm", help="Keep a worker ready with torch imported.")]
AllowHost = Annotated[
    list[str] | None,
    typer.Option(
        envvar="COLLAPSE_ALLOW_HOST",
        help="Another Host header that browsers may send, such as a DNS name.",
        metavar="NAME:PORT",
    ),
]
BehindProxy = Annotated[
    list[str] | None,
    typer.Option(
        envvar="COLLAPSE_BEHIND_PROXY",
        help="A reverse proxy whose X-Forwarded-For and X-Forwarded-Proto are trusted.",
        metavar="ADDRESS",
    ),
]
DataRoot = Annotated[
    list[Path] | None,
    typer.Option(envvar="COLLAPSE_DATA_ROOT", help="A folder from which runs may read images and arrays."),
]
Slots = Annotated[
    list[str] | None,
    typer.Option(envvar="COLLAPSE_SLOTS", help="Runs at once on a device: cpu=2, cuda:0=3.", metavar="DEVICE=N"),
]
HangAfter = Annotated[float, typer.Option(min=5, help="Seconds without a heartbeat after which a worker is hung.")]
MinFree = Annotated[
    int, typer.Option(envvar="COLLAPSE_MIN_FREE", min=0, help="MiB of the disk to leave free.", metavar="MIB")
]
WorkerMemory = Annotated[
    int | None,
    typer.Option(envvar="COLLAPSE_WORKER_MEMORY", min=512, help="Memory limit of a worker in MiB.", metavar="MIB"),
]
Certificate = Annotated[Path | None, typer.Option(help="Certificate chain (PEM): serve https.")]
Key = Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")]
Plugins = Annotated[
    str | None,
    typer.Option(
        envvar="COLLAPSE_PLUGINS",
        help="Installed packages whose heads, losses, metrics, data sets and backbones to add, separated by commas.",
        metavar="PACKAGES",
    ),
]
Join = Annotated[bool, typer.Option("--join", help="Add an empty data directory to the database's store.")]


def serve(
    data: Data = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    token: Token = None,
    database_url: Database = None,
    open_browser: OpenBrowser = True,
    demonstration: Demonstration = True,
    warm: Warm = True,
    allow_host: AllowHost = None,
    behind_proxy: BehindProxy = None,
    data_root: DataRoot = None,
    mirror: Mirror = None,
    slots: Slots = None,
    hang_after: HangAfter = 60.0,
    min_free: MinFree = 1024,
    worker_memory: WorkerMemory = None,
    certificate: Certificate = None,
    key: Key = None,
    plugins: Plugins = None,
    join: Join = False,
) -> None:
    """Start the server: pages, API and jobs in one process."""
    from importlib import import_module

    from backend.api.server import serve as start
    from backend.settings import Settings, load_named_plugins, resolve_store

    load_named_plugins(plugins)
    # Imported by name: the service does not depend on the pages, and runs without them.
    pages = import_module("dashboard.app").attach
    data_dir, database_url = resolve_store(data, database_url)
    settings = Settings(
        data_dir,
        host=host,
        token=token or "",
        database_url=database_url,
        warm=warm,
        demonstration=demonstration,
        allow_hosts=tuple(allow_host or ()),
        behind_proxy=tuple(behind_proxy or ()),
        data_roots=tuple(path.resolve() for path in data_root or ()),
        mirror=mirror,
        slots=tuple(slots or ()),
        hang_s=hang_after,
        min_free_bytes=min_free * 2**20,
        worker_memory_bytes=worker_memory * 2**20 if worker_memory else None,
        certificate=certificate,
        key=key,
    )
    start(settings, port=port, open_browser=open_browser, pages=pages, join=join)
