"""Expand a sweep into configs, and estimate the duration and memory of runs from similar past runs on this machine.

An estimate is the median, over the newest similar runs, of the seconds per training sample and of the peak memory.
Similar runs have the same network, data, batch size, classifier and measurements; if there are none, the same network
and data.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from backend.store.database import Store
from backend.store.errors import Invalid
from backend.store.models import reading, run
from backend.store.validation import field_errors, override_settings
from ncengine.components import ALLOW_UNKNOWN
from ncengine.config import RunConfig

MAX_RUNS = 1000


def expand_grid(config: RunConfig, grid: Mapping[str, Sequence[Any]], seeds: int) -> list[RunConfig]:
    """Return every combination of the grid's values, each with `seeds` consecutive seeds from the config's own.

    Raises Invalid where a combination is impossible, naming it, and where there are too many.
    """
    if "seed" in grid and seeds > 1:
        raise Invalid("give the seeds either as `seeds` or in the grid, not both")
    count = seeds
    for values in grid.values():
        count *= len(values)
    if count > MAX_RUNS:
        raise Invalid(f"a sweep may have {MAX_RUNS} runs, and this one has {count}; split the grid")
    configs = []
    for combination in itertools.product(*grid.values()):
        settings = dict(zip(grid, combination, strict=True))
        named = ", ".join(f"{path}={value}" for path, value in settings.items())
        try:
            one = override_settings(config, settings) if settings else config
            configs += [override_settings(one, {"seed": one.seed + i}) if i else one for i in range(seeds)]
        except ValidationError as error:
            errors = field_errors(list(error.errors()))
            first = errors[0]
            raise Invalid(
                f"the grid's combination {named} is impossible: {first.path + ': ' if first.path else ''}"
                f"{first.message}",
                errors=[each.model_dump() for each in errors],
            ) from error
        except ValueError as error:
            raise Invalid(f"the grid's combination {named} is impossible: {error}") from error
    return configs


MAX_PAST_RUNS, MAX_SIMILAR_RUNS = 300, 9
MIN_RUNNING_S = 0.5
"""Shorter runs are ignored: most of their time is the start."""


@dataclass(frozen=True, slots=True)
class PastRun:
    """A past run and its seconds per training sample."""

    run_id: str
    config: RunConfig
    seconds_per_sample: float


@dataclass(frozen=True, slots=True)
class RunEstimate:
    """Estimated seconds and bytes of a run, the number of past runs used and how similar they are; None if unknown."""

    seconds: float | None
    memory_bytes: int | None
    runs: int
    alike: str | None


def estimate_runs(store: Store, configs: Sequence[RunConfig]) -> list[RunEstimate]:
    """Return an estimate for each config; configs that differ only in the seed share one."""
    past_runs = _past_runs(store, {config.data.name for config in configs})
    memory: dict[str, int] = {}
    by_config: dict[str, RunEstimate] = {}
    results = []
    for config in configs:
        key = config.model_copy(update={"seed": 0}).hash()
        if key not in by_config:
            by_config[key] = _estimate(store, config, past_runs, memory)
        results.append(by_config[key])
    return results


def _past_runs(store: Store, data: set[str]) -> list[PastRun]:
    query = sa.select(run.c.id, run.c.config, run.c.epoch, run.c.running_s).where(
        run.c.config["data", "name"].as_string().in_(data),
        run.c.running_s >= MIN_RUNNING_S,
        run.c.epoch > 0,
    )
    with store.reading() as connection:
        rows = connection.execute(query.order_by(run.c.created_at.desc()).limit(MAX_PAST_RUNS)).all()
    past_runs = []
    for row in rows:
        config = RunConfig.model_validate(row.config, context=ALLOW_UNKNOWN)
        past_runs.append(PastRun(row.id, config, row.running_s / (row.epoch * config.train_size)))
    return past_runs


def _estimate(store: Store, config: RunConfig, past_runs: Sequence[PastRun], memory: dict[str, int]) -> RunEstimate:
    for alike, parts in (("with the same settings", _settings), ("of the same network and data", _network)):
        same = [each for each in past_runs if parts(each.config) == parts(config)][:MAX_SIMILAR_RUNS]
        if same:
            pace = statistics.median(each.seconds_per_sample for each in same)
            return RunEstimate(pace * config.train_size * config.epochs, _memory(store, same, memory), len(same), alike)
    return RunEstimate(None, None, 0, None)


def _settings(config: RunConfig) -> Any:
    return (*_network(config), config.head, config.batch_size, config.measure, config.precision, config.device)


def _network(config: RunConfig) -> Any:
    return config.data.name, config.classes, config.backbone


def _memory(store: Store, alike: Sequence[PastRun], memory: dict[str, int]) -> int | None:
    """Return the median of the peak memory of these runs, as far as it was sampled."""
    missing = [each.run_id for each in alike if each.run_id not in memory]
    query = sa.select(reading.c.run_id, sa.func.max(reading.c.memory_bytes).label("peak"))
    with store.reading() as connection:
        rows = connection.execute(query.where(reading.c.run_id.in_(missing)).group_by(reading.c.run_id))
        memory |= {row.run_id: int(row.peak) for row in rows}
    peaks = [memory[each.run_id] for each in alike if each.run_id in memory]
    return int(statistics.median(peaks)) if peaks else None
