"""The server's own numbers: whether it is ready, and Prometheus's exposition."""

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
    from backend.api.stream import Hub

READINESS_S = 1.0
DATABASE = "the database cannot be used"
SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0)


class Gauges(Collector):
    """Counts requests as they are answered; reads the rest when asked."""

    def __init__(self, store: Store, supervisor: Supervisor, hub: Hub, queues: Mapping[str, WorkQueue[Any]]) -> None:
        self._store, self._supervisor, self._hub, self._queues = store, supervisor, hub, queues
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._requests = Counter(
            "collapse_requests", "Answered API requests.", ("method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "collapse_request_seconds", "Time to answer an API request.", buckets=SECONDS, registry=self._registry
        )
        self._started = time.monotonic()
        self._asking = threading.Lock()
        self._asked = -READINESS_S
        self._readiness: dict[str, str] = {}

    def observe(self, method: str, status: int, took_s: float) -> None:
        """Count an answered request."""
        known = method if method in ("GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "PUT") else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.observe(took_s)

    def readiness(self) -> dict[str, str]:
        """Return what keeps runs from being taken, with what happened and what to do; empty where nothing does.

        Asked by every open page: within a second the same answer is given, and the database is written once.
        """
        # Nobody waits behind the one who looks: a database that hangs would take every thread.
        if time.monotonic() - self._asked > READINESS_S and self._asking.acquire(blocking=False):
            try:
                self._readiness, self._asked = self._look(), time.monotonic()
            finally:
                self._asking.release()
        return self._readiness | ({DATABASE: problem} if (problem := self._supervisor.database.problem) else {})

    def _look(self) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            run_queue.write_probe(self._store)
        except (CollapseError, sa.exc.SQLAlchemyError) as error:
            found[DATABASE] = f"the database cannot be written: {reason_of(error)}"
        if not self._supervisor.is_alive():
            found["the supervisor does not look at the queue"] = (
                "the supervisor does not look at the queue: restart the server, and see server.log for the reason"
            )
        if self._supervisor.is_disk_full:
            found["the disk is nearly full"] = "the disk is nearly full: queued runs wait for space; free some"
        return found

    def exposition(self) -> bytes:
        """Return everything in Prometheus's text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Yield what is read when asked."""
        states = GaugeMetricFamily("collapse_runs", "Runs by state.", labels=["status"])
        counted = dict.fromkeys(run_status.STATUSES, 0)
        with self._store.reading() as connection:
            query = sa.select(run.c.status, sa.func.count().label("runs")).where(run.c.deleted_at.is_(None))
            query = query.group_by(run.c.status)
            counted |= {row.status: row.runs for row in connection.execute(query)}
        for status, count in counted.items():
            states.add_metric([status], count)
        yield states
        slots = GaugeMetricFamily("collapse_slots", "Runs that a device takes at once.", labels=["device"])
        for device, number in self._supervisor.limits.slots.items():
            slots.add_metric([device], number)
        yield slots
        waiting = GaugeMetricFamily("collapse_long_work", "Long work asked for and not done.", labels=["queue"])
        for name, queue in self._queues.items():
            waiting.add_metric([name], queue.size)
        yield waiting
        process = psutil.Process()
        for name, text, value in (
            ("collapse_viewers", "Open streams.", self._hub.viewers),
            ("collapse_disk_free_bytes", "Free bytes of the disk.", shutil.disk_usage(self._store.data_dir).free),
            ("collapse_memory_bytes", "Memory of the server's process.", process.memory_info().rss),
            ("collapse_cpu_seconds", "Processor time of the server's process.", sum(process.cpu_times()[:2])),
            ("collapse_up_seconds", "Time since the server started.", time.monotonic() - self._started),
        ):
            yield GaugeMetricFamily(name, text, value=value)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the registry need not ask the database to know the names."""
        return iter(())
