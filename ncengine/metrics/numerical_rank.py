"""Numerical rank of each class, (‖H_c‖_*/‖H_c‖_F)² of its uncentred samples (Markou, Ajanthan, Gould 2024).

1 when all samples of a class are one point. Read off at most `ROWS` samples of a class, evenly spaced among those that
were kept. The observed error is the difference from the value of every second one of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import Classwise, MetricSpec, one

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot

ROWS = 256


def numerical_rank(snapshot: Snapshot) -> tuple[float, float | None, int] | None:
    """Return the mean over classes, in [1, min(n_c, D)], its error where samples are left out, and how many count."""
    from ncengine.metrics.classwise import mean_numerical_rank

    found = mean_numerical_rank(snapshot, ROWS)
    if found is None:
        return None
    value, size = found
    if size == snapshot.count:
        return value, None, size
    half = mean_numerical_rank(snapshot, ROWS, halved=True)
    return value, abs(value - half[0]) if half else None, size


NUMERICAL_RANK = MetricSpec(
    key="numerical_rank",
    label="Numerical rank of a class",
    symbol="(‖H_c‖_*/‖H_c‖_F)²",
    formula="mean_c (‖H_c‖_*/‖H_c‖_F)², H_c the uncentred samples of class c",
    family="NC1",
    direction="low",
    ideal=one,
    source="Markou, Ajanthan, Gould 2024",
    reading="In how many directions a class's features extend; 1 when they are one point.",
    how=Classwise(numerical_rank),
)
