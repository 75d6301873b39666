"""Ratio of traces, tr(Σ_W)/tr(Σ_B): NC1 without an inverse (Tirer et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot


def nc1_ratio(snapshot: Snapshot) -> float | None:
    """Return tr(Σ_W)/tr(Σ_B), in [0, ∞); None where all class means coincide."""
    return None if snapshot.means.degenerate else snapshot.within_trace / snapshot.between_trace


NC1_RATIO = MetricSpec(
    key="nc1_ratio",
    label="NC1 ratio of traces",
    symbol="tr Σ_W / tr Σ_B",
    formula="tr(Σ_W)/tr(Σ_B)",
    family="NC1",
    direction="low",
    ideal=zero,
    source="Tirer et al. 2023",
    reading="Spread inside classes over spread between them, all directions alike; directions in which class means "
    "hardly differ do not blow it up as they do NC1.",
    how=Moments(nc1_ratio),
)
