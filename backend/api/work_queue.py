"""A queue of fixed length for work that takes long, with a limit for each token.

A request that waits holds no thread: `at_once` threads of the queue's own do the work, in the order in which it was
asked for. Equal requests, by their key, share one job; small results are kept for a while. Whoever finds the queue
full, or has too many places already, is refused with TooManyRequests, which says how many are ahead and when to try
again. A caller that is cancelled gives up its place, unless somebody else waits for the same job or it has begun.

All methods but `run` of a Place belong to the event loop.
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

FIRST_ESTIMATE_S = 1.0
"""How long a job is taken to last before one was measured."""
NEWEST_SHARE = 0.2
"""How much the newest job counts in the mean duration."""
MAX_RETRY_S = 10


class Content(Protocol):
    """A result whose size is that of its content."""

    @property
    def content(self) -> bytes: ...


Result = TypeVar("Result", bound=Content)
Returned = TypeVar("Returned")
Given = ParamSpec("Given")


@dataclass(slots=True)
class Job(Generic[Result]):
    """Work that runs or waits: who asked first, and how many requests wait for its result."""

    owner: str | None
    work: Callable[[], Result]
    waiting: int = 0
    started: bool = False


class Place:
    """A turn in the queue: while it is held, work runs in one of the queue's threads."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    async def run(self, work: Callable[Given, Returned], *args: Given.args, **kwargs: Given.kwargs) -> Returned:
        """Return what `work` gives, done in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))


class WorkQueue(Generic[Result]):
    """At most `length` jobs, `per_token` of one caller, of which `at_once` run; `keep_bytes` of results are kept."""

    def __init__(self, length: int, per_token: int, *, at_once: int, keep_bytes: int = 0) -> None:
        self.length, self.per_token, self._at_once = length, per_token, at_once
        self._threads = ThreadPoolExecutor(at_once, "work-queue")
        self._turn = asyncio.Semaphore(at_once)
        self._places: Counter[str | None] = Counter()
        self._jobs: dict[Hashable, tuple[Job[Result], asyncio.Task[Result]]] = {}
        self._results: OrderedDict[Hashable, Result] = OrderedDict()
        self._keep_bytes, self._kept_bytes = keep_bytes, 0
        self._mean_s = FIRST_ESTIMATE_S

    @property
    def size(self) -> int:
        """How many places are taken, by what runs and what waits."""
        return self._places.total()

    async def submit(self, key: Hashable, owner: str | None, work: Callable[[], Result]) -> Result:
        """Return what `work` gives; the same key gives the same result, made once. Raises TooManyRequests when full."""
        kept = self._results.get(key)
        if kept is not None:
            self._results.move_to_end(key)
            return kept
        job, task = self._jobs.get(key) or self._begin(key, Job(owner, work))
        job.waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            job.waiting -= 1
            if not job.waiting and not job.started:
                task.cancel()
                self._forget(key, task)

    @contextlib.asynccontextmanager
    async def place(self, owner: str | None) -> AsyncIterator[Place]:
        """Wait for a turn and hold it. Raises TooManyRequests when full."""
        self._take(owner)
        try:
            async with self._turn, self._measured():
                yield Place(self._threads)
        finally:
            self._leave(owner)

    def close(self) -> None:
        """Give up what waits; what runs ends by itself."""
        for _, task in list(self._jobs.values()):
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, key: Hashable, job: Job[Result]) -> tuple[Job[Result], asyncio.Task[Result]]:
        self._take(job.owner)
        task = asyncio.create_task(self._run(key, job))
        self._jobs[key] = job, task
        # Not at the end of `_run`, which never begins in a task that is cancelled at once.
        task.add_done_callback(lambda done: self._end(key, job, done))
        return job, task

    async def _run(self, key: Hashable, job: Job[Result]) -> Result:
        async with self._turn, self._measured():
            job.started = True
            result = await Place(self._threads).run(job.work)
        self._keep(key, result)
        return result

    def _end(self, key: Hashable, job: Job[Result], task: asyncio.Task[Result]) -> None:
        self._leave(job.owner)
        self._forget(key, task)
        if not task.cancelled():
            task.exception()  # those who waited have it; there may be nobody left

    def _forget(self, key: Hashable, task: asyncio.Task[Result]) -> None:
        """Let a later request of this key begin anew, unless one has already."""
        if key in self._jobs and self._jobs[key][1] is task:
            del self._jobs[key]

    @contextlib.asynccontextmanager
    async def _measured(self) -> AsyncIterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self._mean_s += NEWEST_SHARE * (time.monotonic() - begin - self._mean_s)

    def _keep(self, key: Hashable, result: Result) -> None:
        size = len(result.content)
        if size > self._keep_bytes // 4:
            return
        self._results[key] = result
        self._kept_bytes += size
        while self._kept_bytes > self._keep_bytes:
            _, gone = self._results.popitem(last=False)
            self._kept_bytes -= len(gone.content)

    def _take(self, owner: str | None) -> None:
        """Take a place in the queue; raises TooManyRequests where there is none."""
        size, own = self.size, self._places.get(owner, 0)
        if size >= self.length:
            raise self._refusal(f"{size} requests for long work are ahead, as many as the server takes", size)
        if own >= self.per_token:
            raise self._refusal(f"{own} requests of this token for long work are ahead, as many as one may have", own)
        self._places[owner] += 1

    def _leave(self, owner: str | None) -> None:
        self._places[owner] -= 1
        if not self._places[owner]:
            del self._places[owner]

    def _refusal(self, what: str, ahead: int) -> TooManyRequests:
        # By then half of what is ahead is done, so that those who were refused find room without asking all the time.
        wait_s = max(1, min(MAX_RETRY_S, math.ceil(self._mean_s * self.size / self._at_once / 2)))
        return TooManyRequests(f"{what}; try again in {wait_s} s", retry_after_s=wait_s, ahead=ahead)
