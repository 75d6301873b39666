"""CPU, memory and GPU use of worker processes, sampled a few times a minute."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import sqlalchemy as sa

from backend.store.clock import now
from backend.store.database import Store
from backend.store.models import reading


@dataclass(frozen=True, slots=True)
class ResourceSample:
    """Resource use of a process at one time: per cent of one core, bytes of memory, per cent and bytes of its GPU."""

    cpu_percent: float
    memory_bytes: int
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


def sample_process(process: psutil.Process) -> ResourceSample:
    """Measure the current process; the GPU is queried only after torch has initialised CUDA."""
    gpu_percent: float | None = None
    gpu_memory: int | None = None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gpu_memory = int(torch.cuda.memory_reserved())
        # The utilisation needs the driver's library, which may not be installed.
        with contextlib.suppress(ImportError, RuntimeError):
            gpu_percent = float(torch.cuda.utilization())
    return ResourceSample(process.cpu_percent(), int(process.memory_info().rss), gpu_percent, gpu_memory)


def insert(store: Store, run_id: str, attempt: int, sample: ResourceSample) -> None:
    """Store a sample of an attempt."""
    with store.writing() as connection:
        connection.execute(reading.insert().values(run_id=run_id, attempt=attempt, at=now(), **asdict(sample)))


def list_of_run(store: Store, run_id: str, max_count: int) -> list[sa.Row[Any]]:
    """Return at most `max_count` samples of a run in order: all of them, or evenly spaced ones including the newest."""
    index = sa.func.row_number().over(order_by=reading.c.at.desc()).label("index_from_end")
    numbered = sa.select(reading, index).where(reading.c.run_id == run_id).subquery()
    with store.reading() as connection:
        counting = sa.select(sa.func.count()).select_from(reading).where(reading.c.run_id == run_id)
        every = max(1, -(-int(connection.execute(counting).scalar_one()) // max_count))
        query = sa.select(numbered).where((numbered.c.index_from_end - 1) % every == 0).order_by(numbered.c.at)
        return list(connection.execute(query))
