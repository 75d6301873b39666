"""Scores that tell out-of-distribution samples from in-distribution ones, and their AUROC."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ncengine.metrics.snapshot import Outside, Snapshot

Score = Callable[[Snapshot, Outside, Tensor], Tensor | None]
ROWS = 8192


def neco(_snapshot: Snapshot, outside: Outside, samples_ND: Tensor) -> Tensor | None:
    """Return ‖Pᵀ(h − μ_G)‖/‖h − μ_G‖ (N), in [0, 1]; 0 for a sample at μ_G."""
    centred_ND = samples_ND.double() - outside.center_D
    norms_N = torch.linalg.vector_norm(centred_ND, dim=1)
    inside_N = torch.linalg.vector_norm(centred_ND @ outside.principal_DR, dim=1)
    return torch.where(norms_N > 0, inside_N / norms_N, 0.0)


def largest_logit(snapshot: Snapshot, _outside: Outside, samples_ND: Tensor) -> Tensor | None:
    """Return max_c (Wh + b)_c (N); None without a classifier."""
    if snapshot.weight_KD is None:
        return None
    logits_NK = samples_ND.double() @ snapshot.weight_KD.mT
    return (logits_NK if snapshot.bias_K is None else logits_NK + snapshot.bias_K).amax(1)


SCORES: dict[str, Score] = {"neco": neco, "logit": largest_logit}


def auroc(snapshot: Snapshot, score: Score) -> tuple[float, float | None, int] | None:
    """Return P[score(in) > score(out)] + ½ P[=] over the kept samples, in [0, 1], its standard error, and how many.

    The error is that of Hanley and McNeil 1982, of samples that stand for a larger population. None without both kinds
    of samples, or without what the score needs.
    """
    outside = snapshot.outside
    if outside is None or not len(snapshot.samples_ND) or not len(outside.samples_ND):
        return None
    scores = [_scores(snapshot, outside, score, samples) for samples in (snapshot.samples_ND, outside.samples_ND)]
    inside_N, outside_M = scores
    if inside_N is None or outside_M is None:
        return None
    ordered_M = outside_M.sort().values
    below = torch.searchsorted(ordered_M, inside_N).double().sum()
    up_to = torch.searchsorted(ordered_M, inside_N, right=True).double().sum()
    count, other = len(inside_N), len(outside_M)
    area = float(below + up_to) / (2 * count * other)
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (count - 1) * (first - area**2) + (other - 1) * (second - area**2)
    return area, math.sqrt(max(0.0, variance) / (count * other)), count + other


def _scores(snapshot: Snapshot, outside: Outside, score: Score, samples_ND: Tensor) -> Tensor | None:
    parts = [score(snapshot, outside, part) for part in torch.split(samples_ND, ROWS)]
    known = [part for part in parts if part is not None]
    return torch.cat(known) if len(known) == len(parts) else None
