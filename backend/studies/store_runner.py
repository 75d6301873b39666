"""The runs of a study in the store: which are there, starting what is missing, following them to their ends.

A run belongs to a study by its group (the size and the setting), its name (the arm), its config and the version of the
code. So studies share runs, and whatever stopped a sweep, the same command goes on with what is left.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from rich.console import Console

from backend.cli.console import interrupts, progress_bars
from backend.jobs import slots
from backend.jobs.estimate import estimate_runs
from backend.jobs.launcher import DataAccess
from backend.jobs.supervisor import JobLimits, Supervisor
from backend.store import data_directory, run_status, runs
from backend.store.database import Store
from backend.store.errors import Conflict, Unusable
from backend.store.models import run
from ncengine import __version__
from ncengine.config import RunConfig, with_overrides
from ncengine.data import resolve_config
from ncstudies.study import Setting, Size, Study

POLL_S = 0.3
STOP_S = 60.0
"""How long runs that were asked to pause are waited for."""
Key = tuple[str, str, str]
"""A run's group, name, and config hash."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One run of a study."""

    setting: Setting
    arm: str
    config: RunConfig
    group: str
    key: Key


def planned(study: Study, size: Size, seeds: int, *, download: bool = False) -> list[Planned]:
    """Return the runs of a study, all arms of a seed before the next seed: what is there at any moment is balanced."""
    plan = []
    for seed in range(seeds):
        for setting in study.settings:
            group = f"reproduce-{size}-{setting.name}"
            for arm, config in setting.arms.items():
                seeded = _seeded(config, seed, download)
                plan.append(Planned(setting, arm, seeded, group, (group, arm, seeded.hash())))
    return plan


def _seeded(config: RunConfig, seed: int, download: bool) -> RunConfig:
    changes: dict[str, object] = {"seed": seed}
    if download and hasattr(config.data, "download"):
        changes["data.download"] = True
    return resolve_config(with_overrides(config, changes))


def found(store: Store, plan: Sequence[Planned]) -> dict[Key, sa.Row[Any]]:
    """Return the rows of the runs that are there already; of several that are alike, a finished one."""
    columns = [run.c[name] for name in ("id", "name", "group", "config_hash", "status", "epoch")]
    wanted = sa.select(*columns).where(
        run.c.group.in_({each.group for each in plan}), run.c.deleted_at.is_(None), run.c.code_version == __version__
    )
    with store.reading() as connection:
        rows = connection.execute(wanted.order_by(run.c.created_at.desc(), run.c.id)).all()
    held = {(row.group, row.name, row.config_hash): row for row in sorted(rows, key=lambda r: r.status == "finished")}
    return {each.key: held[each.key] for each in plan if each.key in held}


def estimate_s(store: Store, plan: Sequence[Planned], capacity: Mapping[str, int]) -> float | None:
    """Return in how many seconds what is not finished will be, from runs like them; None where none is known."""
    there = found(store, plan)
    left = [each.config for each in plan if each.key not in there or there[each.key].status != "finished"]
    seconds = [estimate.seconds for estimate in estimate_runs(store, left)]
    known = [each for each in seconds if each is not None]
    return sum(known) / len(known) * len(seconds) / max(1, sum(capacity.values())) if known else None


def capacity_for(study: Study) -> dict[str, int]:
    """Return how many runs at once: one a GPU, or else one a processor core; one in all where times are compared."""
    devices = slots.list_gpus()
    if study.alone:
        return {devices[0] if devices else "cpu": 1}
    return dict.fromkeys(devices, 1) if devices else {"cpu": max(1, (os.cpu_count() or 2))}


def execute(store: Store, study: Study, plan: Sequence[Planned], reading: DataAccess) -> None:
    """Bring every run of a plan to an end, showing how far they are.

    Ctrl-C pauses what runs here (what a server runs goes on there) and raises SystemExit.

    Raises Unusable where a server holds the data directory and times would be compared: other runs may start there.
    """
    served, console = data_directory.server_lock_holder(store.data_dir), Console(stderr=True)
    if served and study.alone:
        raise Unusable(
            f"{study.name} compares times, and the server at {served.get('url', '?')} may start other runs meanwhile; "
            "stop it, or choose another data directory with --data"
        )
    with interrupts() as asked:
        ids = _queued(store, plan)
        if not ids:
            return
        if served:
            console.print(f"The server at {served.get('url', '?')} runs them; watch them there.")
            _follow(store, plan, asked)
        else:
            with _supervising(store, study, ids, reading):
                _follow(store, plan, asked)
                if asked:
                    _pause(store, ids, console)
        if asked:
            raise SystemExit(130)


@contextlib.contextmanager
def _supervising(store: Store, study: Study, ids: Collection[str], reading: DataAccess) -> Iterator[None]:
    """Start runs as there is room, each with one thread where several share the processor."""
    capacity = capacity_for(study)
    threads = None if study.alone or "cpu" not in capacity else 1
    # A worker that warms up takes time from one that is measured.
    supervisor = Supervisor(
        store,
        warm=not study.alone,
        only=ids,
        data_access=replace(reading, threads=threads),
        limits=JobLimits(slots=capacity),
    )
    supervisor.start()
    try:
        yield
    finally:
        supervisor.close()


def _queued(store: Store, plan: Sequence[Planned]) -> set[str]:
    """Create what is missing, wake what was stopped; return the ids of the runs that have not ended."""
    there = found(store, plan)
    missing = [each for each in plan if each.key not in there]
    drafts = [runs.RunDraft(each.config, name=each.arm, group=each.group, tags=("reproduction",)) for each in missing]
    ids = set(runs.create_many(store, drafts)[0]) if drafts else set()
    for row in there.values():
        if row.status == "paused":
            run_status.resume(store, row.id)
        elif row.status in ("failed", "cancelled"):
            run_status.retry(store, row.id)
        if row.status != "finished":
            ids.add(row.id)
    return ids


def _follow(store: Store, plan: Sequence[Planned], asked: Collection[int]) -> None:
    """Show the progress of a plan's runs until all have ended, or until Ctrl-C."""
    epochs = {each.key: each.config.epochs for each in plan}
    with progress_bars() as progress:
        whole = progress.add_task("all runs", total=len(plan), facts="")
        shown: dict[str, Any] = {}
        while not asked:
            there = found(store, plan)
            done = sum(1.0 if row.status in run_status.ENDED else row.epoch / epochs[key] for key, row in there.items())
            states = Counter(row.status for row in there.values())
            words = ", ".join(f"{count} {status}" for status, count in sorted(states.items()))
            progress.update(whole, completed=done, facts=words)
            running = {row.id: (key, row) for key, row in there.items() if row.status == "running"}
            for run_id in [each for each in shown if each not in running]:
                progress.remove_task(shown.pop(run_id))
            for run_id, (key, row) in running.items():
                if run_id not in shown:
                    shown[run_id] = progress.add_task(f"{row.group}: {row.name}", total=epochs[key], facts=run_id)
                progress.update(shown[run_id], completed=row.epoch)
            if all(row.status in (*run_status.ENDED, "paused") for row in there.values()):
                break
            time.sleep(POLL_S)


def _pause(store: Store, ids: Collection[str], console: Console) -> None:
    """Hold back what is queued, and have what runs save a checkpoint and stop."""
    console.print("pausing …")
    left = set(ids)
    for run_id in ids:
        try:
            run_status.request_pause(store, run_id)
        except Conflict:  # it has ended
            left.discard(run_id)
    deadline = time.monotonic() + STOP_S
    while time.monotonic() < deadline and any(runs.get(store, run_id).status == "running" for run_id in left):
        time.sleep(POLL_S)
    console.print("The runs are paused; the same command goes on with them.")
