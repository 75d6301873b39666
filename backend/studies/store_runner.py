"""The runs of studies in the store: find them, start what is missing, follow them to their end, read their results.

A run belongs to a study by its group, its name (the arm), its config and the version of the code. So studies share
runs, and whatever stopped a sweep, the same command goes on with what is left.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from rich.console import Console

from backend.api import views
from backend.cli.console import interrupts, progress_bars
from backend.figures.collect import MAX_CURVE_POINTS, collect, figure_errors, read_step_costs
from backend.jobs import slots
from backend.jobs.launcher import DataAccess
from backend.jobs.supervisor import JobLimits, Supervisor
from backend.jobs.sweep import estimate_runs
from backend.store import data_directory, event_log, run_actions, run_status, runs
from backend.store.database import Store
from backend.store.errors import Conflict, Unusable
from backend.store.models import run as run_table
from ncengine import __version__
from ncfigures.catalogue import FIGURES, FigureName
from ncfigures.options import parse_options
from ncstudies.runner import PlannedRun, ReportFigure, RunKey, RunOrigin, RunState
from ncstudies.study import RunOutcome, Study, StudyFigure

POLL_S = 0.3
STOP_S = 60.0
"""How long runs that were asked to pause are waited for."""
VENUE = "iclr"
"""The width and type of a report's figures."""


class StoreRunner:
    """A `ncstudies.runner.Runner` on a store; `data_access` says where workers read their data."""

    def __init__(self, store: Store, data_access: DataAccess | None = None) -> None:
        self._store = store
        self._data_access = data_access or DataAccess()

    def find(self, plan: Sequence[PlannedRun]) -> dict[RunKey, RunState]:
        """Return the runs of a plan that exist; of several alike, a finished one."""
        columns = [run_table.c[name] for name in ("id", "name", "group", "config_hash", "status", "epoch")]
        query = sa.select(*columns).where(
            run_table.c.group.in_({planned.group for planned in plan}),
            run_table.c.deleted_at.is_(None),
            run_table.c.code_version == __version__,
        )
        with self._store.reading() as connection:
            rows = connection.execute(query.order_by(run_table.c.created_at.desc(), run_table.c.id)).all()
        by_key = {
            (row.group, row.name, row.config_hash): RunState(row.id, row.status, row.epoch)
            for row in sorted(rows, key=lambda row: row.status == "finished")
        }
        return {planned.key: by_key[planned.key] for planned in plan if planned.key in by_key}

    def estimate_s(self, plan: Sequence[PlannedRun], capacity: Mapping[str, int]) -> float | None:
        """Return the seconds that the unfinished runs will take, from runs like them; None where none is known."""
        existing = self.find(plan)
        left = [p.config for p in plan if p.key not in existing or not existing[p.key].is_finished]
        seconds = [estimate.seconds for estimate in estimate_runs(self._store, left)]
        known = [each for each in seconds if each is not None]
        return sum(known) / len(known) * len(seconds) / max(1, sum(capacity.values())) if known else None

    def execute(self, study: Study, plan: Sequence[PlannedRun]) -> None:
        """Bring every run of a plan to its end, showing progress.

        Ctrl-C pauses what runs here (what a server runs goes on there) and raises SystemExit. Raises Unusable where a
        server holds the data directory and times would be compared: other runs may start there.
        """
        server, console = data_directory.read_server_lock(self._store.data_dir), Console(stderr=True)
        if server and study.exclusive:
            raise Unusable(
                f"{study.name} compares times, and the server at {server.get('url', '?')} may start other runs "
                "meanwhile; stop it, or choose another data directory with --data"
            )
        with interrupts() as signals:
            ids = self._queue(plan)
            if not ids:
                return
            if server:
                console.print(f"The server at {server.get('url', '?')} runs them; watch them there.")
                self._follow(plan, signals)
            else:
                with self._supervising(study, ids):
                    self._follow(plan, signals)
                    if signals:
                        self._pause(ids, console)
            if signals:
                raise SystemExit(130)

    @contextlib.contextmanager
    def _supervising(self, study: Study, ids: Collection[str]) -> Iterator[None]:
        """Start runs as slots become free, each with one thread where several share the processor."""
        capacity = choose_capacity(study)
        threads = None if study.exclusive or "cpu" not in capacity else 1
        # A worker that warms up takes time from one that is measured.
        supervisor = Supervisor(
            self._store,
            warm=not study.exclusive,
            only=ids,
            data_access=replace(self._data_access, threads=threads),
            limits=JobLimits(slots=capacity),
        )
        supervisor.start()
        try:
            yield
        finally:
            supervisor.close()

    def _queue(self, plan: Sequence[PlannedRun]) -> set[str]:
        """Create missing runs and requeue stopped ones; return the ids of the runs that have not ended."""
        existing = self.find(plan)
        missing = [planned for planned in plan if planned.key not in existing]
        drafts = [runs.RunDraft(p.config, name=p.arm, group=p.group, tags=("reproduction",)) for p in missing]
        ids = set(runs.create_many(self._store, drafts)[0]) if drafts else set()
        for run in existing.values():
            if run.status == "paused":
                run_actions.resume(self._store, run.id)
            elif run.status in ("failed", "cancelled"):
                run_actions.retry(self._store, run.id)
            if not run.is_finished:
                ids.add(run.id)
        return ids

    def _follow(self, plan: Sequence[PlannedRun], signals: Collection[int]) -> None:
        """Show the progress of a plan's runs until all have ended, or until Ctrl-C."""
        epochs = {planned.key: planned.config.epochs for planned in plan}
        with progress_bars() as progress:
            total = progress.add_task("all runs", total=len(plan), facts="")
            tasks: dict[str, Any] = {}
            while not signals:
                existing = self.find(plan)
                done = sum(
                    1.0 if run.status in run_status.ENDED else run.epoch / epochs[k] for k, run in existing.items()
                )
                counts = Counter(run.status for run in existing.values())
                summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
                progress.update(total, completed=done, facts=summary)
                running = {run.id: (key, run) for key, run in existing.items() if run.status == "running"}
                for run_id in [each for each in tasks if each not in running]:
                    progress.remove_task(tasks.pop(run_id))
                for run_id, (key, run) in running.items():
                    if run_id not in tasks:
                        group, name, _ = key
                        tasks[run_id] = progress.add_task(f"{group}: {name}", total=epochs[key], facts=run_id)
                    progress.update(tasks[run_id], completed=run.epoch)
                if all(run.status in (*run_status.ENDED, "paused") for run in existing.values()):
                    break
                time.sleep(POLL_S)

    def _pause(self, ids: Collection[str], console: Console) -> None:
        """Hold back queued runs, and have running ones save a checkpoint and stop."""
        console.print("pausing …")
        left = set(ids)
        for run_id in ids:
            try:
                run_actions.request_pause(self._store, run_id)
            except Conflict:  # it has ended
                left.discard(run_id)
        deadline = time.monotonic() + STOP_S
        while time.monotonic() < deadline and any(runs.get(self._store, each).status == "running" for each in left):
            time.sleep(POLL_S)
        console.print("The runs are paused; the same command goes on with them.")

    def outcome(self, run_id: str, *, with_costs: bool) -> RunOutcome:
        """Return the metrics of a finished run, with the time and memory of its steps if asked for."""
        series = views.read_series(self._store, run_id, None, MAX_CURVE_POINTS)
        if not with_costs:
            return RunOutcome(series.epochs, series.values)
        costs = read_step_costs(self._store, run_id)
        return RunOutcome(series.epochs, series.values, costs.seconds, costs.memory_bytes)

    def origin(self, run_id: str) -> RunOrigin:
        """Return what a run was trained with, and for how long."""
        started = event_log.find_newest_event(self._store, run_id, "RunStarted")
        versions = {} if started is None else started.payload["versions"]
        device = "?" if started is None else started.payload["device"]
        return RunOrigin(versions, device, runs.get(self._store, run_id).running_s)

    def figure_title(self, figure: StudyFigure) -> str:
        """Return the title of a figure."""
        return FIGURES[_figure_name(figure)].title

    @figure_errors()
    def draw(self, run_ids: Sequence[str], figure: StudyFigure) -> ReportFigure:
        """Return a figure of runs; raises Invalid or NotFound where it cannot be drawn."""
        # matplotlib is slow to import, and finding or executing runs needs none of it.
        from ncfigures.figures import build_figure_spec
        from ncfigures.render import render_figure
        from ncfigures.tables import format_markdown_table

        options = parse_options({"venue": VENUE, **figure.options})
        request = collect(self._store, run_ids, _figure_name(figure), "svg", options)
        spec = build_figure_spec(request)
        return ReportFigure(render_figure(request), spec.caption, format_markdown_table(spec))


def _figure_name(figure: StudyFigure) -> FigureName:
    return next(name for name in FIGURES if name == figure.figure)


def choose_capacity(study: Study) -> dict[str, int]:
    """Return how many runs at once: one a GPU, or else one a processor core; one in all where times are compared."""
    devices = slots.list_gpus()
    if study.exclusive:
        return {devices[0] if devices else "cpu": 1}
    return dict.fromkeys(devices, 1) if devices else {"cpu": max(1, (os.cpu_count() or 2))}
