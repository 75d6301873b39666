"""What workers take of the machine: processor, memory and, where there is one, the GPU, some times a minute."""

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
    """One look at a process: per cent of one core, bytes in memory, per cent and bytes of its GPU."""

    cpu_percent: float
    memory_bytes: int
    gpu_percent: float | None = None
    gpu_memory_bytes: int | None = None


def sample_process(process: psutil.Process) -> ResourceSample:
    """Look at this very process; a GPU is asked only where torch has begun to use one."""
    gpu_percent: float | None = None
    gpu_memory: int | None = None
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        gpu_memory = int(torch.cuda.memory_reserved())
        # Only the driver's library knows how busy the device is; where that is not installed, nobody does.
        with contextlib.suppress(ImportError, RuntimeError):
            gpu_percent = float(torch.cuda.utilization())
    return ResourceSample(process.cpu_percent(), int(process.memory_info().rss), gpu_percent, gpu_memory)


def insert(store: Store, run_id: str, attempt: int, found: ResourceSample) -> None:
    """Store a reading of an attempt."""
    with store.writing() as connection:
        connection.execute(reading.insert().values(run_id=run_id, attempt=attempt, at=now(), **asdict(found)))


def list_of_run(store: Store, run_id: str, at_most: int) -> list[sa.Row[Any]]:
    """Return a run's readings in order; of many, evenly chosen ones with the newest among them."""
    place = sa.func.row_number().over(order_by=reading.c.at.desc()).label("place")
    numbered = sa.select(reading, place).where(reading.c.run_id == run_id).subquery()
    with store.reading() as connection:
        counting = sa.select(sa.func.count()).select_from(reading).where(reading.c.run_id == run_id)
        every = max(1, -(-int(connection.execute(counting).scalar_one()) // at_most))
        query = sa.select(numbered).where((numbered.c.place - 1) % every == 0).order_by(numbered.c.at)
        return list(connection.execute(query))
