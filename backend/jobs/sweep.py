"""Expand a sweep: the configs of a grid over settings, each with several seeds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from backend.store.errors import Invalid
from backend.store.validation import field_errors, override_settings
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
