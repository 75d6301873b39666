"""How much the nearest ETF itself turned between two measurements: ‖R_t Vᵀ − R_{t−1} Vᵀ‖_F/√(K−1) (this project).

V has orthonormal columns, so that this is ‖R_t − R_{t−1}‖_F/√(K−1).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ncengine.metrics.spec import MetricSpec, Moments, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot


def frame_drift(snapshot: Snapshot) -> float | None:
    """Return the drift, in [0, 2]; None at the first measurement."""
    classes = len(snapshot.counts_K)
    return None if snapshot.turned is None else snapshot.turned / math.sqrt(classes - 1)


FRAME_DRIFT = MetricSpec(
    key="frame_drift",
    label="Turn of the nearest ETF",
    symbol="‖R_t − R_{t−1}‖/√(K−1)",
    formula="‖R_t Vᵀ − R_{t−1} Vᵀ‖_F/√(K−1)",
    family="NC2",
    direction="low",
    ideal=zero,
    source="this project",
    reading="How far the nearest simplex ETF has turned since the measurement before; 0 when it has come to rest.",
    how=Moments(frame_drift),
)
