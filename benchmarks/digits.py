"""Does guiding help? Train NC1 at epoch 5 on digits, small CNN, the same loader, schedule and seeds for each head."""

from __future__ import annotations

import statistics

import ncengine as nc
from benchmarks.report import Figure
from ncengine.config import with_overrides

SEEDS = range(5)
EPOCH = 5


def measure() -> list[Figure]:
    """Return each head's median over seeds, and nearest-ETF's beside the better of the others."""
    medians = {head: statistics.median(_nc1(head, seed) for seed in SEEDS) for head in ("nearest", "fixed", "linear")}
    rest = min(medians["fixed"], medians["linear"])
    figures = [
        Figure(f"train NC1 at epoch {EPOCH}, digits-{head}, median of {len(SEEDS)} seeds", value, "")
        for head, value in medians.items()
    ]
    return [*figures, Figure("nearest-ETF / the better of the others", medians["nearest"] / rest, "×", at_most=1)]


def _nc1(head: str, seed: int) -> float:
    config = with_overrides(nc.presets[f"digits-{head}"](), {"seed": seed})
    for event in nc.run(config):
        if event.type == "EpochMeasured" and event.epoch == EPOCH:
            return float(event.scalars["train"]["nc1"])
    raise RuntimeError(f"the run ended before epoch {EPOCH}")
