"""`collapse`: serve, run, runs, what is done with them, figures, archives, tokens. Imports wait until needed."""

from __future__ import annotations

import json
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from backend.cli.options import Data, Database, Yes, require_free, with_options
from backend.cli.store import app as store_app
from backend.store.scopes import TokenScope
from ncfigures.catalogue import FIGURES, MEDIA_TYPES, OPTIONS

if TYPE_CHECKING:
    from backend.store.database import Store
    from ncengine.config import RunConfig

app = typer.Typer(
    name="collapse",
    help="A live observatory of neural collapse: train, watch the geometry evolve, export figures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ServerUrl = Annotated[
    str | None,
    typer.Option("--server", envvar="COLLAPSE_SERVER", help="Work through the server at this URL instead."),
]
Mirror = Annotated[
    str | None,
    typer.Option(envvar="COLLAPSE_MIRROR", help="Fetch data sets' files from this address instead of their hosts."),
]
SideBySide = Annotated[
    str, typer.Argument(metavar="RUN", help="An id, several with commas between them, or a filter: side by side.")
]
Token = Annotated[str | None, typer.Option(envvar="COLLAPSE_TOKEN", help="The server's token.")]


app.add_typer(store_app, name="store")


def _open(data: Path | None, url: str | None, *, create: bool = False) -> closing[Store]:
    """Open the store that is meant; only with `create` a new one is made where there is none."""
    from backend.settings import resolve_store
    from backend.store.database import open_store

    return closing(open_store(*resolve_store(data, url), create=create))


@app.command()
def serve(
    data: Data = None,
    host: Annotated[str, typer.Option(help="Address to listen on; another than loopback needs --token.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(envvar="COLLAPSE_PORT", min=1, max=65535, help="Port (default: 8050, or a free one).")
    ] = None,
    token: Token = None,
    database_url: Database = None,
    open_browser: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in a browser.")] = True,
    demonstration: Annotated[
        bool, typer.Option("--demonstration/--no-demonstration", help="Start a first run where there is none.")
    ] = True,
    warm: Annotated[bool, typer.Option("--warm/--no-warm", help="Keep a worker ready with torch imported.")] = True,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLLAPSE_ALLOW_HOST",
            help="Another address under which browsers may ask for this server, as they send it.",
            metavar="NAME:PORT",
        ),
    ] = None,
    behind_proxy: Annotated[
        list[str] | None,
        typer.Option(
            envvar="COLLAPSE_BEHIND_PROXY",
            help="A reverse proxy whose X-Forwarded-For and X-Forwarded-Proto are believed.",
            metavar="ADDRESS",
        ),
    ] = None,
    data_root: Annotated[
        list[Path] | None,
        typer.Option(
            envvar="COLLAPSE_DATA_ROOT", help="A folder below which runs may read one's own images and arrays."
        ),
    ] = None,
    mirror: Mirror = None,
    slots: Annotated[
        list[str] | None,
        typer.Option(envvar="COLLAPSE_SLOTS", help="Runs at once on a device: cpu=2, cuda:0=3.", metavar="DEVICE=N"),
    ] = None,
    hang_after: Annotated[
        float, typer.Option(min=5, help="Seconds without a sign after which a worker counts as hung.")
    ] = 60.0,
    min_free: Annotated[
        int, typer.Option(envvar="COLLAPSE_MIN_FREE", min=0, help="MiB of the disk to leave free.", metavar="MIB")
    ] = 1024,
    worker_memory: Annotated[
        int | None,
        typer.Option(envvar="COLLAPSE_WORKER_MEMORY", min=512, help="MiB that a worker may take.", metavar="MIB"),
    ] = None,
    certificate: Annotated[Path | None, typer.Option(help="Certificate chain (PEM): serve https.")] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's private key (PEM).")] = None,
    join: Annotated[
        bool, typer.Option("--join", help="Make an empty data directory a further one of the database's store.")
    ] = False,
) -> None:
    """Start the server: pages, API and jobs in one process."""
    from importlib import import_module

    from backend.api.server import serve as start
    from backend.settings import Settings, resolve_store

    # The pages are found by name: the service knows nothing of them, and runs without them.
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
        least_free_bytes=min_free * 2**20,
        worker_memory_bytes=worker_memory * 2**20 if worker_memory else None,
        certificate=certificate,
        key=key,
    )
    start(settings, port=port, open_browser=open_browser, pages=pages, join=join)


def _config(what: str, settings: list[str]) -> RunConfig:
    """Return the config that a preset's name or a JSON file gives, with `--set` applied."""
    from backend.store.errors import Invalid
    from ncengine.config import RunConfig, with_overrides
    from ncengine.preset_configs import PRESETS

    if what in PRESETS:
        config = PRESETS[what]()
    elif Path(what).is_file():
        config = RunConfig.model_validate_json(Path(what).read_text())
    else:
        raise Invalid(f"{what!r} is neither a preset nor a file; presets are {', '.join(PRESETS)}")
    overrides: dict[str, object] = {path: _value(text) for path, text in (_assignment(s, "--set") for s in settings)}
    return with_overrides(config, overrides) if overrides else config


def _assignment(text: str, option: str) -> tuple[str, str]:
    from backend.store.errors import Invalid

    path, separator, value = text.partition("=")
    if not separator or not path:
        raise Invalid(f"{option} takes NAME=VALUE such as optimiser.lr=0.1, got {text!r}")
    return path, value


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


@app.command()
def run(
    what: Annotated[str, typer.Argument(help="A preset's name, or a JSON file with a config.", metavar="PRESET|FILE")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Change a setting: optimiser.lr=0.1", metavar="NAME=VALUE")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Repeat with this many seeds, as a group.")] = 1,
    grid: Annotated[
        list[str] | None,
        typer.Option("--grid", help="Every value of a setting, as a group: optimiser.lr=0.05,0.1", metavar="NAME=A,B"),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run.")] = None,
    data: Data = None,
    database_url: Database = None,
    server: ServerUrl = None,
    token: Token = None,
    mirror: Mirror = None,
) -> None:
    """Train, with progress here and live in the browser when a server runs on the same data."""
    from backend.cli import console
    from backend.jobs import sweep
    from backend.jobs.launcher import DataAccess

    config = _config(what, setting or [])
    values = {
        path: [_value(each) for each in text.split(",")]
        for path, text in (_assignment(g, "--grid") for g in grid or [])
    }
    configs = sweep.expand_grid(config, values, seeds)
    label = name or (what if not Path(what).is_file() else Path(what).stem)
    group = label if len(configs) > 1 else None
    if server:
        failed = console.run_remote(server, token, configs, label, group)
    else:
        with _open(data, database_url, create=True) as store:
            failed = console.run_here(store, configs, label, group, DataAccess(mirror=mirror))
    if failed:
        raise typer.Exit(1)


@app.command()
def runs(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for scripts.")] = False,
    status: Annotated[str | None, typer.Option(help="Only runs in this state.")] = None,
    q: Annotated[str, typer.Option("--filter", "-q", help="Such as 'head:nearest-etf nc1<0.05'.")] = "",
    sort: Annotated[str, typer.Option(help="Field to sort by, - before it for descending.")] = "-created",
    limit: Annotated[int, typer.Option(min=1, max=500, help="At most this many.")] = 100,
    data: Data = None,
    database_url: Database = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """List runs, newest first."""
    from backend.api import views, wire
    from backend.cli import console
    from backend.store import query, run_status
    from backend.store.errors import Invalid

    if status is not None and status not in run_status.STATUSES:
        raise Invalid(f"--status must be one of {', '.join(run_status.STATUSES)}, got {status!r}")
    items: list[wire.RunWire]
    if server:
        from backend.client import calls

        items = console.remote(
            server,
            token,
            lambda client: client(calls.runs(limit=limit, q=q, sort=sort, status=status)),
        ).items
    else:
        with _open(data, database_url) as store:
            items = [
                views.run_wire(row) for row in query.list_runs(store, status=status, q=q, sort=sort, limit=limit).rows
            ]
    if as_json:
        print(json.dumps([item.model_dump(mode="json") for item in items], indent=2))
    else:
        console.print_runs(items)


def _ask(
    action: str, run_ids: list[str], data: Path | None, url: str | None, server: str | None, token: str | None
) -> None:
    """Ask one thing of several runs; say of each what became of it, and leave with 1 where one refused."""
    from backend.cli import console

    if server:
        from backend.client import calls

        results = console.remote(server, token, lambda client: client(calls.bulk(action, runs=run_ids)))
        outcomes = [(result.id, None if result.done else result.detail) for result in results]
    else:
        from backend.store import bulk

        with _open(data, url) as store:
            outcomes = [(each.run_id, each.refusal) for each in bulk.apply_action(store, action, run_ids)]
    for run_id, refusal in outcomes:
        print(f"{run_id}: {refusal or 'asked'}")
    if any(refusal for _, refusal in outcomes):
        raise typer.Exit(1)


RunIds = Annotated[list[str], typer.Argument(metavar="RUN...")]


ASKED = {
    "cancel": "Ask runs to stop; their numbers so far are kept.",
    "pause": "Ask runs to save a checkpoint and release their device.",
    "resume": "Queue paused runs again; a server starts them.",
    "retry": "Queue failed or cancelled runs again from their newest checkpoint; a server starts them.",
}
"""What is asked of several runs by name: the command, and its help."""


def _asking(action: str, words: str) -> None:
    @app.command(action, help=words)
    def ask(
        run_ids: RunIds, data: Data = None, database_url: Database = None, server: ServerUrl = None, token: Token = None
    ) -> None:
        _ask(action, run_ids, data, database_url, server, token)


for _action, _words in ASKED.items():
    _asking(_action, _words)


@app.command("export")
@with_options
def export(
    options: dict[str, Any],
    runs_of: Annotated[
        str | None,
        typer.Argument(metavar="RUN", help="An id, several with commas between them, or a filter such as group:rates"),
    ] = None,
    figure: Annotated[str | None, typer.Argument(help=f"One of {', '.join(FIGURES)}.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File to write.")] = None,
    format_: Annotated[
        str | None, typer.Option("--format", help=f"One of {', '.join(MEDIA_TYPES)} (default: by the file's name).")
    ] = None,
    again: Annotated[Path | None, typer.Option(help="Make this figure again, from what its file says.")] = None,
    yes: Yes = False,
    data: Data = None,
    database_url: Database = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Write a figure: true vectors (pdf, svg, eps, pgf), a picture (png), the drawn numbers (csv), tables (tex, md)."""
    from backend.cli import console
    from backend.figures import export as figure_export
    from backend.store.errors import Invalid

    if again is not None:
        if runs_of is not None or options:
            raise Invalid("--again takes everything from the file; leave the run, the figure and options out")
        wanted = figure_export.order_from_file(again)
        target = output or again.with_stem(f"{again.stem}-again")
    else:
        if runs_of is None or figure is None or output is None:
            raise Invalid("say which run, which figure, and with -o which file; or --again FIGURE.pdf")
        kind = format_ or output.suffix.removeprefix(".").lower()
        wanted = figure_export.FigureOrder(runs_of, figure, kind, options)
        target = output
    require_free(target, yes)
    if server:
        content = console.remote(server, token, lambda client: figure_export.from_server(client, wanted))
    else:
        with _open(data, database_url) as store:
            content = figure_export.from_store(store, wanted)
    console.write_chunks(target, [content])
    print(f"{target}: {len(content) / 1000:.1f} kB")


@app.command()
def replay(
    runs_of: SideBySide,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, such as run.html.")],
    yes: Yes = False,
    data: Data = None,
    database_url: Database = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Write runs as one page that works offline: scenes, slider, cosines, curves."""
    from backend.cli import console
    from backend.figures import export as figure_export

    require_free(output, yes)
    if server:
        from backend.client import Client, calls

        def fetch(client: Client) -> bytes:
            return client(calls.replay(",".join(figure_export.ids_on_server(client, runs_of))))

        content = console.remote(server, token, fetch)
    else:
        from backend.figures.replay import replay as made

        with _open(data, database_url) as store:
            content = made(store, figure_export.ids_in_store(store, runs_of))
    console.write_chunks(output, [content])
    print(f"{output}: {len(content) / 1000:.1f} kB")


@app.command()
def film(
    runs_of: SideBySide,
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write: run.gif, or run.mp4.")],
    seconds: Annotated[float, typer.Option(help="How long it is.")] = 8.0,
    fps: Annotated[int, typer.Option(help="Frames a second.")] = 20,
    turn: Annotated[float, typer.Option(help="Degrees by which the camera turns, from rest to rest.")] = 90.0,
    pixels: Annotated[int, typer.Option(help="How wide the picture is.")] = 720,
    view: Annotated[str | None, typer.Option(help=OPTIONS["view"][1])] = None,
    classes: Annotated[str | None, typer.Option(help=OPTIONS["classes"][1])] = None,
    camera: Annotated[str | None, typer.Option(help="Where it starts: ex,ey,ez,ux,uy,uz,zoom")] = None,
    layers: Annotated[str | None, typer.Option(help=OPTIONS["layers"][1])] = None,
    yes: Yes = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Film how a run's geometry evolves: GIF, or MP4 with the extra `video`. Frames between captures say so."""
    from backend.cli import console
    from backend.figures import film_export

    require_free(output, yes)
    given = {"view": view, "classes": classes, "camera": camera, "layers": layers}
    wanted = film_export.FilmOrder(runs_of, output.suffix.removeprefix(".").lower(), seconds, fps, turn, pixels, given)
    with _open(data, database_url) as store, console.bars() as progress:
        content = film_export.film_from_store(store, wanted, progress)
    console.write_chunks(output, [content])
    print(f"{output}: {len(content) / 1000:.1f} kB")


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(help="A study, or all; without it, studies are listed.")] = None,
    size: Annotated[
        str, typer.Option(help="laptop (two cores) or paper (its data and networks, for a GPU).")
    ] = "laptop",
    seeds: Annotated[int, typer.Option(min=3, max=100, help="Seeds of each arm; runs are paired by them.")] = 5,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder of the report (default: reproduction/NAME-SIZE).")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would run, and how long it will take.")] = False,
    download: Annotated[bool, typer.Option("--download", help="Fetch what this machine lacks of the data.")] = False,
    data: Data = None,
    database_url: Database = None,
    mirror: Mirror = None,
) -> None:
    """Make the paper's comparisons, and some beyond it: a sweep over seeds, claims tested, a report with figures."""
    from backend.studies import command

    if name is None:
        command.listing(size)
        return
    with _open(data, database_url, create=True) as store:
        command.reproduce(store, name, size, seeds, output, plan=plan, download=download, mirror=mirror)


@app.command("open")
def open_figure(
    figure: Annotated[Path, typer.Argument(metavar="FIGURE", help="A file of `collapse export`.")],
    server: Annotated[
        str, typer.Option("--server", envvar="COLLAPSE_SERVER", help="The server whose pages show it.")
    ] = "http://127.0.0.1:8050",
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")] = True,
) -> None:
    """Show the view that a figure was made of: its runs, epoch, view and camera."""
    import webbrowser

    from backend.figures.errors import figure_errors
    from ncfigures.provenance import read_provenance_file

    with figure_errors():
        found = read_provenance_file(figure)
    address = server.rstrip("/") + found.address()
    print(f"{found.figure} of {', '.join(run.name for run in found.runs)}\n{found.command}\n{address}")
    if browser:
        webbrowser.open(address)


@app.command()
def presets(
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON schema of a config.")] = False,
) -> None:
    """List the ready-made configs."""
    from ncengine.config import RunConfig
    from ncengine.preset_configs import PRESET_GROUPS

    if schema:
        print(json.dumps(RunConfig.model_json_schema(), indent=2))
        return
    for group, held in PRESET_GROUPS.items():
        print(f"{group}:")
        for name, preset in held.items():
            print(f"  {name:40} {(preset.__doc__ or '').strip().splitlines()[0]}")


@app.command()
def archive(
    run_id: Annotated[str, typer.Argument(metavar="RUN")],
    output: Annotated[Path, typer.Option("-o", "--output", help="File to write, such as run.zip.")],
    yes: Yes = False,
    data: Data = None,
    database_url: Database = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Write an ended or paused run as one file, which `collapse import` brings in elsewhere."""
    from backend.cli import console

    require_free(output, yes)
    if server:
        from backend.client import Client, calls

        def fetch(client: Client) -> None:
            with client.stream(calls.archive(run_id)) as chunks:
                console.write_chunks(output, chunks)

        console.remote(server, token, fetch)
        return
    from backend.store.archive.writer import archive_run

    with _open(data, database_url) as store:
        console.write_chunks(output, archive_run(store, run_id))


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="An archive that `collapse archive` or a server made.", exists=True)],
    data: Data = None,
    database_url: Database = None,
    server: ServerUrl = None,
    token: Token = None,
) -> None:
    """Bring an archived run in; one that is not wholly right is refused whole."""
    from backend.cli import console
    from backend.settings import IMPORT_BYTES

    if server:
        from backend.client import Client, calls

        def send(client: Client) -> str:
            return client(calls.import_archive(console.read_chunks(file))).id

        print(f"run {console.remote(server, token, send)}")
        return
    from backend.store.archive.reader import import_archive

    with _open(data, database_url, create=True) as store:
        run_id, new = import_archive(store, file, IMPORT_BYTES)
    print(f"run {run_id}" + ("" if new else " (it was here already)"))


@app.command()
def gc(
    entry: Annotated[
        list[str] | None, typer.Argument(metavar="ENTRY", help="With --restore: which entries of the trash.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete what was shown: it is kept in the trash for a week.")
    ] = False,
    plan: Annotated[str | None, typer.Option(metavar="ID", help="Use the plan of an earlier preview.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    empty_trash: Annotated[
        bool, typer.Option("--empty-trash", help="Show what is in the trash; with --delete, remove it for good.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Bring back what is in the trash, all of it or the entries named.")
    ] = False,
    thin_geometry: Annotated[
        int | None, typer.Option(min=2, help="Keep every n-th capture of finished runs, the first and the last.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Remove finished runs' checkpoints too.")] = False,
    q: Annotated[str, typer.Option("--filter", "-q", help="Apply the rules only to runs that match this filter.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True, help="The default now.")] = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Show what can be removed, and with --delete remove it: runs deleted a week ago, stray files, what rules say."""
    from backend.cli import gc
    from backend.store.gc.plans import CleanupRules

    rules = CleanupRules(thin_geometry=thin_geometry, checkpoints=checkpoints, q=q)
    wanted = gc.Wanted(
        rules, plan, tuple(entry or ()), delete=delete, yes=yes, empty_trash=empty_trash, restore=restore
    )
    gc.require_consistent(wanted, dry_run=dry_run)
    with _open(data, database_url) as store:
        whole = gc.collect(store, wanted)
    if not whole:
        raise typer.Exit(1)


tokens = typer.Typer(no_args_is_help=True, help="Access tokens, such as a read-only one for a co-author.")
app.add_typer(tokens, name="token")


@tokens.command("create")
def token_create(
    name: Annotated[str, typer.Argument(help="Whose it is; the audit names them so.")],
    scope: Annotated[
        TokenScope,
        typer.Option(help="read; launch: start and change runs too; admin: delete runs and manage tokens too."),
    ] = "read",
    read_only: Annotated[bool, typer.Option("--read-only", help="The same as --scope read.")] = False,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 30d, 12h, 2w or a date (default: never).", metavar="WHEN")
    ] = None,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Make a token and print it, this once."""
    from backend.api.security.callers import COMMAND_LINE
    from backend.api.security.expiry import expiry_from_text
    from backend.store import audit, data_directory
    from backend.store import tokens as store_tokens
    from backend.store.errors import Invalid

    if read_only and scope != "read":
        raise Invalid(f"--read-only and --scope {scope} exclude each other; leave one of them out")
    if not name.strip() or len(name) > 200 or not name.isprintable():
        raise Invalid(f"the name must be 1 to 200 printable characters, got {name[:50]!r}")
    expires_at = None if expires is None else expiry_from_text(expires)
    with _open(data, database_url, create=True) as store:
        row, secret = store_tokens.create(store, name, scope, expires_at)
        audit.record(store, COMMAND_LINE, None, f"token create {row.id}", 201)
        served = data_directory.server_lock_holder(store.data_dir)
    print(f"{row.id}  {secret}")
    if served:
        print(f"{served.get('url')}/?token={secret}")


@tokens.command("list")
def token_list(data: Data = None, database_url: Database = None) -> None:
    """List tokens, newest first: id, when they were made, scope, state, name."""
    from backend.store import tokens as store_tokens
    from backend.store.clock import now

    def state(row: Any) -> str:
        if row.revoked_at:
            return f"revoked {row.revoked_at[:16]}"
        if row.expires_at is None:
            return "does not expire"
        return f"{'expired' if row.expires_at <= now() else 'expires'} {row.expires_at[:16]}"

    with _open(data, database_url) as store:
        for row in store_tokens.list_tokens(store):
            print(f"{row.id}  {row.created_at[:16]}  {row.scope:6}  {state(row):24}  {row.name}")


@tokens.command("revoke")
def token_revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID")], data: Data = None, database_url: Database = None
) -> None:
    """Revoke a token; its sessions and streams end within a second."""
    from backend.api.security.callers import COMMAND_LINE
    from backend.store import audit
    from backend.store import tokens as store_tokens

    with _open(data, database_url) as store:
        store_tokens.revoke(store, token_id)
        audit.record(store, COMMAND_LINE, None, f"token revoke {token_id}", 204)
    print(f"revoked {token_id}")


@app.command()
def doctor(
    check: Annotated[
        bool, typer.Option("--check", help="Look through every run, event and file of the store.")
    ] = False,
    data: Data = None,
    database_url: Database = None,
) -> None:
    """Say what works on this machine and what to do about the rest; with --check, whether the store is whole."""
    if check:
        from backend.cli import console

        with _open(data, database_url) as store:
            whole = console.check_store(store)
        if not whole:
            raise typer.Exit(1)
        return
    from backend.jobs.doctor import run_checks
    from backend.settings import resolve_store

    findings = run_checks(*resolve_store(data, database_url))
    for finding in findings:
        print(f"{'ok' if finding.ok else '—' if not finding.required else 'TO DO':5}  {finding.what}: {finding.found}")
        if finding.remedy:
            print(f"       {finding.remedy}")
    if not all(finding.ok for finding in findings if finding.required):
        raise typer.Exit(1)


def main() -> None:
    """Run the command; errors that a person can mend are one line on standard error, without a traceback."""
    from backend.store.errors import CollapseError

    try:
        app()
    except CollapseError as error:
        print(f"collapse: {error}", file=sys.stderr)
        sys.exit(2)
    except ValueError as error:
        if "pydantic" not in type(error).__module__:
            print(f"collapse: {error}", file=sys.stderr)
            sys.exit(2)
        from backend.store.validation import field_errors

        for found in field_errors(error.errors()):  # type: ignore[attr-defined]
            print(f"collapse: {found.path + ': ' if found.path else ''}{found.message}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
