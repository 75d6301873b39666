"""`collapse gc`: preview a clean-up, delete it, and show, restore or empty the trash."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from backend.cli.services import ServiceOptions, with_service

if TYPE_CHECKING:
    from backend.api import wire
    from backend.client.service import GcOutcome, Service

EXIT_INTERRUPTED = 130
"""The exit code after Ctrl-C."""


@dataclass(frozen=True, slots=True)
class GcArguments:
    """Arguments of the command."""

    rules: wire.GcRequest
    has_rules: bool
    plan: str | None
    entries: tuple[str, ...]
    delete: bool
    yes: bool
    empty_trash: bool
    restore: bool


@with_service
def gc(
    service: ServiceOptions,
    entry: Annotated[
        list[str] | None, typer.Argument(metavar="ENTRY", help="With --restore: entries of the trash.")
    ] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Move what was shown to the trash for a week.")] = False,
    plan: Annotated[str | None, typer.Option(metavar="ID", help="Use the plan of an earlier preview.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask on a terminal.")] = False,
    empty_trash: Annotated[
        bool, typer.Option("--empty-trash", help="Show the trash; with --delete, remove it permanently.")
    ] = False,
    restore: Annotated[
        bool, typer.Option("--restore", help="Restore the trash, all of it or the entries named.")
    ] = False,
    thin_geometry: Annotated[
        int | None, typer.Option(min=2, help="Keep every n-th capture of finished runs, the first and the last.")
    ] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="Delete finished runs' checkpoints too.")] = False,
    q: Annotated[str, typer.Option("--filter", "-q", help="Apply the rules only to runs that match this filter.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", hidden=True, help="The default now.")] = False,
) -> None:
    """Show what can be deleted, and delete it with --delete: old deleted runs, stray files, what the rules name."""
    from backend.api import wire

    rules = wire.GcRequest(thin_geometry=thin_geometry, checkpoints=checkpoints, q=q)
    arguments = GcArguments(
        rules,
        bool(thin_geometry or checkpoints or q),
        plan,
        tuple(entry or ()),
        delete=delete,
        yes=yes,
        empty_trash=empty_trash,
        restore=restore,
    )
    _require_consistent(arguments, dry_run=dry_run)
    with service.open() as opened:
        if arguments.restore:
            _restore(opened, arguments)
        elif arguments.empty_trash:
            _empty_trash(opened, arguments)
        else:
            _clean_up(opened, arguments)


def _require_consistent(arguments: GcArguments, *, dry_run: bool) -> None:
    """Raise Invalid if options contradict each other."""
    from backend.store.errors import Invalid

    if dry_run and arguments.delete:
        raise Invalid("--dry-run shows and --delete deletes; give one of them (without either, nothing is removed)")
    if arguments.entries and not arguments.restore:
        raise Invalid(f"{arguments.entries[0]!r} names an entry of the trash, which only --restore takes")
    if arguments.restore and (arguments.delete or arguments.empty_trash or arguments.plan):
        raise Invalid("--restore brings things back; leave --delete, --empty-trash and --plan out")
    if arguments.empty_trash and arguments.plan:
        raise Invalid("--plan names a clean-up, not the trash; leave it out with --empty-trash")
    if (arguments.plan or arguments.empty_trash or arguments.restore) and arguments.has_rules:
        raise Invalid("--thin-geometry, --checkpoints and --filter make a new plan; leave them out here")


def _clean_up(service: Service, arguments: GcArguments) -> None:
    plan = service.gc_plan(arguments.plan) if arguments.plan else service.create_gc_plan(arguments.rules)
    _print_plan(plan)
    if not arguments.delete:
        if plan.items:
            print(f"nothing is removed yet; `collapse gc --delete --plan {plan.id}` removes this, within a day")
        return
    # An empty plan is deleted too: it removes what has been in the trash for a week.
    if plan.items and not _is_confirmed(arguments, f"Delete {format_files(plan.count, plan.size_bytes)}?"):
        return
    outcome = _with_progress("deleting", lambda **hooks: service.delete_gc_plan(plan.id, **hooks))
    result = outcome.result
    _print_skipped("left", result.skipped)
    print(f"deleted {format_files(result.count, result.size_bytes)}")
    if result.entry:
        print(f"kept in the trash for a week as {result.entry}; `collapse gc --restore {result.entry}` undoes it")
    if outcome.interrupted:
        print("stopped; the rest is as it was")
        raise typer.Exit(EXIT_INTERRUPTED)


def _empty_trash(service: Service, arguments: GcArguments) -> None:
    trash = service.list_trash()
    for entry in trash.items:
        print(f"{entry.name}, until {entry.expires_at[:16].replace('T', ' ')} UTC")
        _print_items(entry.items)
    total = format_files(trash.count, trash.size_bytes)
    print(f"{total} in the trash")
    if not arguments.delete:
        if trash.items:
            print("nothing is removed yet; `collapse gc --empty-trash --delete` removes it for good")
    elif trash.items and _is_confirmed(arguments, f"Remove {total} for good? This cannot be undone."):
        removed = service.empty_trash(trash.digest)
        print(f"removed {format_files(removed.count, removed.size_bytes)} for good")


def _restore(service: Service, arguments: GcArguments) -> None:
    """Restore entries of the trash; exits with 1 if something could not be restored."""
    names = arguments.entries or None
    outcome = _with_progress("restoring", lambda **hooks: service.restore_trash(names, **hooks))
    result = outcome.result
    _print_items(result.items)
    _print_skipped("not restored", result.skipped)
    print(f"restored {format_files(result.count, result.size_bytes)}")
    if outcome.interrupted:
        print("stopped; the rest is in the trash as before")
        raise typer.Exit(EXIT_INTERRUPTED)
    if result.skipped:
        raise typer.Exit(1)


def format_files(count: int, size_bytes: int) -> str:
    """Return text such as "12 files (2.8 MB)"."""
    return f"{count:,} file{'' if count == 1 else 's'} ({size_bytes / 1e6:.1f} MB)"


def _print_plan(plan: wire.GcPlan) -> None:
    _print_items(plan.items)
    _print_skipped("left alone", plan.skipped)
    print(f"{plan.size_bytes / 1e6:10.1f} MB  {plan.count:6} files can be deleted, plan {plan.id}")


def _print_items(items: Iterable[wire.GcItem]) -> None:
    for item in items:
        print(f"{item.size_bytes / 1e6:10.1f} MB  {item.count:6} × {item.what}  {item.run_id or ''}".rstrip())


def _print_skipped(label: str, skipped: Iterable[wire.GcSkipped]) -> None:
    for each in skipped:
        place = each.path or f"{each.what} {each.run_id or ''}".rstrip()
        print(f"{label}: {place}: {each.reason}")


def _is_confirmed(arguments: GcArguments, question: str) -> bool:
    """Ask on a terminal; without one, --delete acts on what was printed."""
    if arguments.yes or not sys.stdin.isatty() or typer.confirm(question):
        return True
    print("nothing was removed")
    return False


def _with_progress(description: str, work: Callable[..., GcOutcome]) -> GcOutcome:
    """Run work that reports progress and can be stopped between two items with Ctrl-C."""
    from backend.cli.console import interrupts, progress_bars

    with interrupts() as interrupted, progress_bars() as bar:
        task = bar.add_task(description, total=None, facts="")

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return work(stopped=lambda: bool(interrupted), progress=progress)
