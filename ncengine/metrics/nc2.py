"""NC2, convergence to a simplex ETF, of class means (columns m_c = μ_c − μ_G) and of classifier rows (w_c − w̄).

Sources beside each function. At the simplex ETF all of them are zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ncengine.metrics.snapshot import F64, Snapshot, off_diagonal, row_cosines
from ncengine.metrics.spec import MetricSpec, zero

COINCIDENT = 1e-12
"""Directions closer than this are taken as this far apart, so that log(1/distance) stays finite."""


def equinorm(rows_KD: F64) -> float:
    """Return std/mean of the rows' norms (Papyan, Han, Donoho 2020); 0 where all rows are zero."""
    norms_K = np.linalg.norm(rows_KD, axis=1)
    mean = norms_K.mean()
    return float(norms_K.std() / mean) if mean > 0 else 0.0


def equiangular(cosines_KK: F64) -> float:
    """Return the mean over i ≠ j of |cos_ij + 1/(K−1)| (Papyan, Han, Donoho 2020)."""
    return float(np.abs(off_diagonal(cosines_KK) + 1 / (len(cosines_KK) - 1)).mean())


def angle_std(cosines_KK: F64) -> float:
    """Return the standard deviation over i ≠ j of the cosines (Papyan, Han, Donoho 2020)."""
    return float(off_diagonal(cosines_KK).std())


def etf_gap(gram_KK: F64, etf_gram: F64) -> float:
    """Return ‖G/‖G‖_F − T‖_F of a Gram matrix (Zhu et al. 2021); 1 where it is zero."""
    norm = np.linalg.norm(gram_KK)
    return float(np.linalg.norm((gram_KK / norm if norm > 0 else gram_KK) - etf_gram))


def hyperspherical(rows_KD: F64) -> float:
    """Return mean_{i≠j} log(1/‖û_i − û_j‖) minus its value at the simplex ETF (Liu et al. 2023, GNC2)."""
    classes = len(rows_KD)
    squared = 2 - 2 * off_diagonal(row_cosines(rows_KD))
    energy = -0.5 * np.log(np.maximum(squared, COINCIDENT**2)).mean()
    return float(energy + 0.5 * math.log(2 * classes / (classes - 1)))


def etf_distance(centred_DK: F64) -> float:
    """Return min over ETFs of ‖H̃ − U M/√(K−1)‖²_F = 2 − (2/√(K−1)) ‖H̃‖_* (Markou et al. 2024, eq. 6).

    H̃ V and H̃ have the same singular values because the columns of H̃ sum to zero. 2 where all means coincide.
    """
    norm = np.linalg.norm(centred_DK)
    if norm == 0:
        return 2.0
    nuclear = np.linalg.svd(centred_DK / norm, compute_uv=False).sum()
    return float(max(0.0, 2 - 2 / math.sqrt(centred_DK.shape[1] - 1) * nuclear))


def _of_means(measure: Callable[[F64], float]) -> Callable[[Snapshot], float | None]:
    return lambda snapshot: measure(snapshot.centred_DK.T) if snapshot.classes > 1 else None


def _of_weights(measure: Callable[[F64], float]) -> Callable[[Snapshot], float | None]:
    def value(snapshot: Snapshot) -> float | None:
        rows = snapshot.weight_centred_KD
        return None if rows is None or snapshot.classes < 2 else measure(rows)

    return value


def _weights_gram_gap(snapshot: Snapshot) -> float | None:
    rows = snapshot.weight_present_KD  # W as it is, as in its paper
    return None if rows is None or snapshot.classes < 2 else etf_gap(rows @ rows.T, snapshot.etf_gram)


def _means_gram_gap(snapshot: Snapshot) -> float | None:
    if snapshot.classes < 2:
        return None
    return etf_gap(snapshot.centred_DK.T @ snapshot.centred_DK, snapshot.etf_gram)


_FAMILY: list[tuple[str, str, str, str, str, Callable[[F64], float]]] = [
    (
        "equinorm",
        "NC2 equal norms",
        "std/mean of ‖·‖",
        "Papyan, Han, Donoho 2020",
        "How unequal the norms are; 0 when all are as long.",
        equinorm,
    ),
    (
        "equiangular",
        "NC2 equal angles",
        "mean |cos + 1/(K−1)|",
        "Papyan, Han, Donoho 2020",
        "How far the cosines are from the simplex's −1/(K−1) on average.",
        lambda rows: equiangular(row_cosines(rows)),
    ),
    (
        "angle_std",
        "NC2 spread of angles",
        "std of cos",
        "Papyan, Han, Donoho 2020",
        "How unequal the angles are, whatever their value.",
        lambda rows: angle_std(row_cosines(rows)),
    ),
]

NC2: list[MetricSpec] = []
for _which, _of, _lift in (("means", "", _of_means), ("weights", ", classifier", _of_weights)):
    for _name, _label, _symbol, _source, _reading, _measure in _FAMILY:
        NC2.append(
            MetricSpec(
                f"nc2_{_name}_{_which}", f"{_label}{_of}", _symbol, "low", zero, _source, _reading, _lift(_measure)
            )
        )
    NC2.append(
        MetricSpec(
            f"nc2_etf_{_which}",
            f"NC2 Gram distance to the ETF{_of}",
            "‖HᵀH/‖HᵀH‖ − T‖" if _which == "means" else "‖WWᵀ/‖WWᵀ‖ − T‖",
            "low",
            zero,
            "Zhu et al. 2021",
            "How far the matrix of inner products is from the simplex's.",
            _means_gram_gap if _which == "means" else _weights_gram_gap,
        )
    )
    NC2.append(
        MetricSpec(
            f"gnc2_{_which}",
            f"Hyperspherical energy above the ETF's{_of}",
            "mean log(1/‖û_i − û_j‖)",
            "low",
            zero,
            "Liu et al. 2023",
            "How far the directions are from being spread evenly over the sphere.",
            _lift(hyperspherical),
        )
    )
    NC2.append(
        MetricSpec(
            f"etf_distance_{_which}",
            f"NC2 distance to the nearest ETF{_of}",
            "min ‖H̃ − UM/√(K−1)‖²",
            "low",
            zero,
            "Markou, Ajanthan, Gould 2024",
            "How much is left when the simplex ETF is turned as close as it goes.",
            _lift(lambda rows: etf_distance(rows.T)),
        )
    )
