"""A bounded queue for long work, with a limit per token.

A waiting request holds no thread: `workers` threads of the queue run the jobs in order of arrival. Requests with equal
keys share one job, and small results are cached. When the queue is full, or the caller has too many jobs in it, the
request fails with TooManyRequests, which says how many are ahead and when to retry. A cancelled caller gives up its
place, unless another one waits for the same job or the job has started.

All methods except `QueueSlot.run` must be called on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, ParamSpec, Protocol, TypeVar

from backend.store.errors import TooManyRequests

INITIAL_DURATION_S = 1.0
"""Assumed duration of a job before any was measured."""
SMOOTHING = 0.2
"""Weight of the newest job in the moving average of durations."""
MAX_RETRY_S = 10


class HasContent(Protocol):
    """A result whose size is that of its content."""

    @property
    def content(self) -> bytes: ...


Result = TypeVar("Result", bound=HasContent)
Returned = TypeVar("Returned")
Args = ParamSpec("Args")


@dataclass(slots=True)
class QueuedJob(Generic[Result]):
    """A job that runs or waits: its first owner, and how many requests wait for its result."""

    owner: str | None
    work: Callable[[], Result]
    waiting: int = 0
    started: bool = False


class QueueSlot:
    """The right to use the queue's threads, held by one request."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def run(self, work: Callable[Args, Returned], *args: Args.args, **kwargs: Args.kwargs) -> Returned:
        """Run `work` in one of the queue's threads and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))


class WorkQueue(Generic[Result]):
    """At most `length` jobs, `per_token` of one caller, run by `workers` threads; caches `cache_bytes` of results."""

    def __init__(self, length: int, per_token: int, *, workers: int, cache_bytes: int = 0) -> None:
        self.length, self.per_token, self._workers = length, per_token, workers
        self._threads = ThreadPoolExecutor(workers, "work-queue")
        self._running = asyncio.Semaphore(workers)
        self._jobs_by_owner: Counter[str | None] = Counter()
        self._jobs: dict[Hashable, tuple[QueuedJob[Result], asyncio.Task[Result]]] = {}
        self._cache: OrderedDict[Hashable, Result] = OrderedDict()
        self._max_cache_bytes, self._cache_bytes = cache_bytes, 0
        self._mean_duration_s = INITIAL_DURATION_S

    @property
    def size(self) -> int:
        """How many jobs run or wait."""
        return self._jobs_by_owner.total()

    async def submit(self, key: Hashable, owner: str | None, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, or of an earlier job with an equal key. Raises TooManyRequests when full."""
        cached = self._cache.get(key)
        if cached is not None:
            self._cache.move_to_end(key)
            return cached
        job, task = self._jobs.get(key) or self._enqueue(key, QueuedJob(owner, work))
        job.waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            job.waiting -= 1
            if not job.waiting and not job.started:
                task.cancel()
                self._forget(key, task)

    @contextlib.asynccontextmanager
    async def slot(self, owner: str | None) -> AsyncIterator[QueueSlot]:
        """Wait for a free worker and hold it. Raises TooManyRequests when full."""
        self._acquire(owner)
        try:
            async with self._running, self._timed():
                yield QueueSlot(self._threads)
        finally:
            self._release(owner)

    def close(self) -> None:
        """Cancel waiting jobs; a running one finishes."""
        for _, task in list(self._jobs.values()):
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _enqueue(self, key: Hashable, job: QueuedJob[Result]) -> tuple[QueuedJob[Result], asyncio.Task[Result]]:
        self._acquire(job.owner)
        task = asyncio.create_task(self._run(key, job))
        self._jobs[key] = job, task
        # A callback instead of code at the end of `_run`, which never runs if the task is cancelled at once.
        task.add_done_callback(lambda done: self._on_done(key, job, done))
        return job, task

    async def _run(self, key: Hashable, job: QueuedJob[Result]) -> Result:
        async with self._running, self._timed():
            job.started = True
            result = await QueueSlot(self._threads).run(job.work)
        self._add_to_cache(key, result)
        return result

    def _on_done(self, key: Hashable, job: QueuedJob[Result], task: asyncio.Task[Result]) -> None:
        self._release(job.owner)
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # mark as retrieved: there may be no caller left to take it

    def _forget(self, key: Hashable, task: asyncio.Task[Result]) -> None:
        """Let a later request with this key start a new job, unless one has already."""
        if key in self._jobs and self._jobs[key][1] is task:
            del self._jobs[key]

    @contextlib.asynccontextmanager
    async def _timed(self) -> AsyncIterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self._mean_duration_s += SMOOTHING * (time.monotonic() - begin - self._mean_duration_s)

    def _add_to_cache(self, key: Hashable, result: Result) -> None:
        size = len(result.content)
        if size > self._max_cache_bytes // 4:
            return
        self._cache[key] = result
        self._cache_bytes += size
        while self._cache_bytes > self._max_cache_bytes:
            _, evicted = self._cache.popitem(last=False)
            self._cache_bytes -= len(evicted.content)

    def _acquire(self, owner: str | None) -> None:
        """Count a job of `owner`; raises TooManyRequests at either limit."""
        size, own = self.size, self._jobs_by_owner.get(owner, 0)
        if size >= self.length:
            raise self._refusal(f"{size} requests for long work are ahead, the server's limit", size)
        if own >= self.per_token:
            raise self._refusal(f"{own} requests of this token for long work are ahead, the limit per token", own)
        self._jobs_by_owner[owner] += 1

    def _release(self, owner: str | None) -> None:
        self._jobs_by_owner[owner] -= 1
        if not self._jobs_by_owner[owner]:
            del self._jobs_by_owner[owner]

    def _refusal(self, reason: str, ahead: int) -> TooManyRequests:
        # About half of the queue is done by then, so refused clients find a place without retrying all the time.
        wait_s = max(1, min(MAX_RETRY_S, math.ceil(self._mean_duration_s * self.size / self._workers / 2)))
        return TooManyRequests(f"{reason}; try again in {wait_s} s", retry_after_s=wait_s, ahead=ahead)
