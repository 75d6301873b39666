"""How long runs will take and how much memory, from what runs like them took on this machine: nothing is guessed.

Seconds of running per sample seen, and the most memory, of the newest runs that are alike: first those with the same
network, data, batches, classifier and measuring, else those with the same network on the same data.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from backend.store.database import Store
from backend.store.models import reading, run
from ncengine.config import RunConfig

CONSIDERED, MOST_ALIKE = 300, 9
LEAST_S = 0.5
"""Of a shorter run the start is most of it."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run of the past: what it took per sample."""

    run_id: str
    config: RunConfig
    seconds_per_sample: float


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Seconds and memory of one run, from how many runs, and how alike they are; None where nothing is known."""

    seconds: float | None
    memory_bytes: int | None
    runs: int
    alike: str | None


def estimate_runs(store: Store, configs: Sequence[RunConfig]) -> list[RunEstimate]:
    """Return what each config will take; equal but for the seed, they are looked up once."""
    known = _known(store, {config.data.name for config in configs})
    memory: dict[str, int] = {}
    found: dict[str, RunEstimate] = {}
    results = []
    for config in configs:
        key = config.model_copy(update={"seed": 0}).hash()
        if key not in found:
            found[key] = _estimate(store, config, known, memory)
        results.append(found[key])
    return results


def _known(store: Store, data: set[str]) -> list[PastRun]:
    query = sa.select(run.c.id, run.c.config, run.c.epoch, run.c.running_s).where(
        run.c.config["data", "name"].as_string().in_(data),
        run.c.running_s >= LEAST_S,
        run.c.epoch > 0,
    )
    with store.reading() as connection:
        rows = connection.execute(query.order_by(run.c.created_at.desc()).limit(CONSIDERED)).all()
    held = []
    for row in rows:
        config = RunConfig.model_validate(row.config)
        held.append(PastRun(row.id, config, row.running_s / (row.epoch * config.train_size)))
    return held


def _estimate(store: Store, config: RunConfig, known: Sequence[PastRun], memory: dict[str, int]) -> RunEstimate:
    for alike, parts in (("with the same settings", _settings), ("of the same network and data", _network)):
        same = [each for each in known if parts(each.config) == parts(config)][:MOST_ALIKE]
        if same:
            pace = statistics.median(each.seconds_per_sample for each in same)
            return RunEstimate(pace * config.train_size * config.epochs, _memory(store, same, memory), len(same), alike)
    return RunEstimate(None, None, 0, None)


def _settings(config: RunConfig) -> Any:
    return (*_network(config), config.head, config.batch_size, config.measure, config.precision, config.device)


def _network(config: RunConfig) -> Any:
    return config.data.name, config.classes, config.backbone


def _memory(store: Store, alike: Sequence[PastRun], memory: dict[str, int]) -> int | None:
    """Return the median of the most memory that each of some runs took, where it was read."""
    wanted = [each.run_id for each in alike if each.run_id not in memory]
    query = sa.select(reading.c.run_id, sa.func.max(reading.c.memory_bytes).label("most"))
    with store.reading() as connection:
        rows = connection.execute(query.where(reading.c.run_id.in_(wanted)).group_by(reading.c.run_id))
        memory |= {row.run_id: int(row.most) for row in rows}
    found = [memory[each.run_id] for each in alike if each.run_id in memory]
    return int(statistics.median(found)) if found else None
