"""Readiness of the server, and its metrics for Prometheus."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import psutil
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from backend.api.work_queue import WorkQueue
from backend.jobs.supervisor import Supervisor
from backend.store import run_queue, run_status
from backend.store.database import Store, reason_of
from backend.store.errors import CollapseError
from backend.store.models import run

if TYPE_CHECKING:
    from backend.api.stream import StreamHub

READINESS_INTERVAL_S = 1.0
DATABASE_PROBLEM = "the database cannot be used"
METHODS = ("GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT")
DURATION_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


class ServerMonitor(Collector):
    """Readiness checks and Prometheus metrics; request metrics are counted, the others read on each scrape."""

    def __init__(
        self, store: Store, supervisor: Supervisor, hub: StreamHub, queues: Mapping[str, WorkQueue[Any]]
    ) -> None:
        self._store, self._supervisor, self._hub, self._queues = store, supervisor, hub, queues
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests = Counter(
            "collapse_requests", "Answered API requests.", ("method", "status"), registry=self._registry
        )
        self._durations = Histogram(
            "collapse_request_seconds",
            "Time to answer an API request.",
            buckets=DURATION_BUCKETS_S,
            registry=self._registry,
        )
        self._started = time.monotonic()
        self._checking = threading.Lock()
        self._checked_at = -READINESS_INTERVAL_S
        self._problems: dict[str, str] = {}

    def observe(self, method: str, status: int, duration_s: float) -> None:
        """Count an answered request."""
        self._requests.labels(method if method in METHODS else "other", str(status)).inc()
        self._durations.observe(duration_s)

    def readiness(self) -> dict[str, str]:
        """Return why runs cannot be taken: each problem with its cause and remedy; empty if they can.

        Every open page asks, so the result is cached for READINESS_INTERVAL_S, and the database is written that often.
        """
        # Callers do not wait for a check in progress: a database that hangs would block every thread.
        if time.monotonic() - self._checked_at > READINESS_INTERVAL_S and self._checking.acquire(blocking=False):
            try:
                self._problems, self._checked_at = self._find_problems(), time.monotonic()
            finally:
                self._checking.release()
        known = self._supervisor.database.problem
        return self._problems | ({DATABASE_PROBLEM: known} if known else {})

    def _find_problems(self) -> dict[str, str]:
        problems: dict[str, str] = {}
        try:
            run_queue.write_probe(self._store)
        except (CollapseError, sa.exc.SQLAlchemyError) as error:
            problems[DATABASE_PROBLEM] = f"the database cannot be written: {reason_of(error)}"
        if not self._supervisor.is_alive():
            problems["the supervisor does not look at the queue"] = (
                "the supervisor does not look at the queue: restart the server, and see server.log for the reason"
            )
        if self._supervisor.is_disk_full:
            problems["the disk is nearly full"] = (
                "the disk is nearly full: queued runs wait for space; free some with `collapse gc`"
            )
        return problems

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that are read on each scrape."""
        yield self._runs_by_status()
        slots = GaugeMetricFamily("collapse_slots", "Runs that a device takes at once.", labels=["device"])
        for device, number in self._supervisor.limits.slots.items():
            slots.add_metric([device], number)
        yield slots
        queued = GaugeMetricFamily("collapse_long_work", "Long work asked for and not done.", labels=["queue"])
        for name, queue in self._queues.items():
            queued.add_metric([name], queue.size)
        yield queued
        process = psutil.Process()
        for name, text, value in (
            ("collapse_viewers", "Open streams.", self._hub.viewers),
            ("collapse_disk_free_bytes", "Free bytes of the disk.", shutil.disk_usage(self._store.data_dir).free),
            ("collapse_memory_bytes", "Memory of the server's process.", process.memory_info().rss),
            ("collapse_cpu_seconds", "Processor time of the server's process.", sum(process.cpu_times()[:2])),
            ("collapse_up_seconds", "Time since the server started.", time.monotonic() - self._started),
        ):
            yield GaugeMetricFamily(name, text, value=value)

    def _runs_by_status(self) -> GaugeMetricFamily:
        family = GaugeMetricFamily("collapse_runs", "Runs by state.", labels=["status"])
        counts = dict.fromkeys(run_status.STATUSES, 0)
        with self._store.reading() as connection:
            query = sa.select(run.c.status, sa.func.count().label("runs")).where(run.c.deleted_at.is_(None))
            query = query.group_by(run.c.status)
            counts |= {row.status: row.runs for row in connection.execute(query)}
        for status, count in counts.items():
            family.add_metric([status], count)
        return family

    def describe(self) -> Iterator[Metric]:
        """Yield nothing, so that the registry does not query the database to learn the names."""
        return iter(())
