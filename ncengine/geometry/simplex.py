"""The simplex equiangular tight frame (ETF): K unit vectors with pairwise cosine −1/(K−1).

Symbols: K classes; V ∈ R^{K×(K−1)} an orthonormal basis of the complement of the all-ones vector, so that
V Vᵀ = I − 11ᵀ/K =: M. The basis used is the Helmert basis: triangular, explicit and the same on every machine.
Source: Papyan, Han, Donoho 2020 (simplex ETF); Markou et al. 2024, §3 (M); Lancaster 1965 (Helmert matrix).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor


def simplex_basis(
    classes: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """Return the Helmert basis V (K, K−1): VᵀV = I and V Vᵀ = I − 11ᵀ/K.

    Column j (1-based) has 1/√(j(j+1)) in rows 1 … j, −j/√(j(j+1)) in row j+1 and zeros below.
    Raises ValueError for fewer than two classes.
    """
    if classes < 2:
        raise ValueError(f"a simplex needs at least 2 classes, got {classes}")
    index = torch.arange(1, classes, dtype=torch.float64)
    scale = torch.rsqrt(index * (index + 1))
    basis = torch.triu(torch.ones(classes, classes - 1, dtype=torch.float64)) * scale
    basis[torch.arange(1, classes), torch.arange(classes - 1)] = -index * scale
    return basis.to(dtype=dtype or torch.get_default_dtype(), device=device)


def simplex_etf(classes: int, *, dtype: torch.dtype | None = None, device: torch.device | str | None = None) -> Tensor:
    """Return the K unit rows √(K/(K−1)) V (K, K−1) of the simplex ETF in its own frame; cosines are −1/(K−1)."""
    return simplex_basis(classes, dtype=dtype, device=device) * math.sqrt(classes / (classes - 1))


@functools.lru_cache(maxsize=64)
def constant(make: Callable[..., Tensor], classes: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return `simplex_basis` or `simplex_etf`, cached by size, type and device; the result must not be modified.

    Every training step needs them, and computing them takes a dozen small operations.
    """
    with torch.inference_mode(False):  # an inference tensor could not be saved for a backward pass
        return make(classes, dtype=dtype, device=device)
