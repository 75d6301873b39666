"""`collapse gc`: what it shows, what it asks, and what it says afterwards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import typer

from backend.cli import console
from backend.store.database import Store
from backend.store.errors import Invalid
from backend.store.gc import delete as deleting
from backend.store.gc import eligible, plans, restore, trash
from backend.store.gc.plans import LABELS, CleanupPlan, CleanupResult, CleanupRules, MovedItem, SkippedItem

INTERRUPTED = 130
"""The exit code after Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    rules: CleanupRules
    plan: str | None
    entries: tuple[str, ...]
    delete: bool
    yes: bool
    empty_trash: bool
    restore: bool


def require_consistent(wanted: Wanted, *, dry_run: bool) -> None:
    """Raise Invalid where options contradict each other."""
    if dry_run and wanted.delete:
        raise Invalid("--dry-run shows and --delete deletes; give one of them (without either, nothing is removed)")
    if wanted.entries and not wanted.restore:
        raise Invalid(f"{wanted.entries[0]!r} names an entry of the trash, which only --restore takes")
    if wanted.restore and (wanted.delete or wanted.empty_trash or wanted.plan):
        raise Invalid("--restore brings things back; leave --delete, --empty-trash and --plan out")
    if wanted.empty_trash and wanted.plan:
        raise Invalid("--plan names a clean-up, not the trash; leave it out with --empty-trash")
    if (wanted.plan or wanted.empty_trash or wanted.restore) and wanted.rules != CleanupRules():
        raise Invalid("--thin-geometry, --checkpoints and --filter make a new plan; leave them out here")


def collect(store: Store, wanted: Wanted) -> bool:
    """Do what is wanted; return False where a restore left something in the trash."""
    if wanted.restore:
        return _restore(store, wanted)
    if wanted.empty_trash:
        _empty_trash(store, wanted)
    else:
        _clean_up(store, wanted)
    return True


def files_of(count: int, size_bytes: int) -> str:
    """Return "12 files (2.8 MB)"."""
    return f"{count:,} file{'' if count == 1 else 's'} ({size_bytes / 1e6:.1f} MB)"


def _clean_up(store: Store, wanted: Wanted) -> None:
    plan = plans.get(store, wanted.plan) if wanted.plan else eligible.create_plan(store, wanted.rules)
    _print_plan(plan)
    if not wanted.delete:
        if plan.items:
            print(f"nothing is removed yet; `collapse gc --delete --plan {plan.id}` removes this, within a day")
        return
    # Also where there is nothing to delete: what is in the trash for a week goes.
    if plan.items and not _agreed(wanted, f"Delete {files_of(plan.count, plan.size_bytes)}?"):
        return
    outcome = _with_bar("deleting", lambda **hooks: deleting.delete(store, plan.id, **hooks))
    _print_skipped("left", outcome.skipped)
    print(f"deleted {files_of(outcome.count, outcome.size_bytes)}")
    if outcome.entry:
        print(f"kept in the trash for a week as {outcome.entry}; `collapse gc --restore {outcome.entry}` undoes it")
    if outcome.stopped:
        print("stopped; the rest is as it was")
        raise typer.Exit(INTERRUPTED)


def _print_plan(plan: CleanupPlan) -> None:
    _print_items(
        MovedItem(kind=i.kind, run_id=i.run_id, count=len(i.files), size_bytes=i.size_bytes) for i in plan.items
    )
    _print_skipped("left alone", plan.skipped)
    print(f"{plan.size_bytes / 1e6:10.1f} MB  {plan.count:6} files can be deleted, plan {plan.id}")


def _print_items(items: Iterable[MovedItem]) -> None:
    for item in items:
        print(f"{item.size_bytes / 1e6:10.1f} MB  {item.count:6} × {LABELS[item.kind]}  {item.run_id or ''}".rstrip())


def _print_skipped(what: str, skipped: Sequence[SkippedItem]) -> None:
    for each in skipped:
        place = each.path or f"{LABELS[each.kind]} {each.run_id or ''}".rstrip()
        print(f"{what}: {place}: {each.reason}")


def _empty_trash(store: Store, wanted: Wanted) -> None:
    found = trash.list_entries(store)
    listed = trash.hash_entries(found)
    for entry in found:
        print(f"{entry.name}, until {entry.expires:%Y-%m-%d %H:%M} UTC")
        _print_items(entry.contents())
    held = [item for entry in found for item in entry.contents()]
    total = files_of(sum(item.count for item in held), sum(item.size_bytes for item in held))
    print(f"{total} in the trash")
    if not wanted.delete:
        if found:
            print("nothing is removed yet; `collapse gc --empty-trash --delete` removes it for good")
    elif found and _agreed(wanted, f"Remove {total} for good? This cannot be undone."):
        gone = trash.empty(store, listed)
        print(f"removed {files_of(sum(i.count for i in gone), sum(i.size_bytes for i in gone))} for good")


def _restore(store: Store, wanted: Wanted) -> bool:
    names = wanted.entries or None
    outcome = _with_bar("restoring", lambda **hooks: restore.restore(store, names, **hooks))
    _print_items(outcome.moved)
    _print_skipped("not restored", outcome.skipped)
    print(f"restored {files_of(outcome.count, outcome.size_bytes)}")
    if outcome.stopped:
        print("stopped; the rest is in the trash as before")
        raise typer.Exit(INTERRUPTED)
    return not outcome.skipped


def _agreed(wanted: Wanted, question: str) -> bool:
    """Whether a person at a terminal agrees; elsewhere what was printed is what was asked for."""
    if wanted.yes or not sys.stdin.isatty() or typer.confirm(question):
        return True
    print("nothing was removed")
    return False


def _with_bar(words: str, work: Callable[..., CleanupResult]) -> CleanupResult:
    """Do work that tells how far it is and can be stopped between two items with Ctrl-C."""
    with console.interrupts() as asked, console.bars() as bar:
        task = bar.add_task(words, total=None, facts="")

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        return work(stopped=lambda: bool(asked), progress=progress)
