"""Which samples, and in what order: batches of an epoch, balanced samples; functions of labels, seed and epoch."""

from __future__ import annotations

import torch
from torch import Tensor

from ncengine.data.augment import MULTIPLIER


def epoch_order(labels: Tensor, sampler: str, seed: int, epoch: int) -> Tensor:
    """Return a permutation of the samples for this epoch, from (seed, epoch) alone, so that a resumed run repeats it.

    `shuffled` is uniform. `stratified` shuffles within classes and deals the classes out evenly over the epoch, so that
    every batch holds each class in its share of the data.
    """
    generator = torch.Generator().manual_seed(seed * MULTIPLIER + epoch)
    labels = labels.cpu()
    shuffled = torch.randperm(len(labels), generator=generator)
    if sampler == "shuffled":
        return shuffled
    ordered = shuffled[torch.sort(labels[shuffled], stable=True).indices]
    counts = torch.bincount(labels)
    rank = torch.cat([torch.arange(int(count)) for count in counts])
    jitter = torch.rand(len(labels), generator=generator)
    share = (rank + jitter) / counts[labels[ordered]]
    return ordered[share.argsort()]


def balanced_rows(labels: Tensor, count: int) -> Tensor:
    """Return up to `count` rows, the first ⌊count/K⌋ (at least one) of each class, in row order: always the same."""
    classes = int(labels.max()) + 1
    each = max(1, count // classes)
    rows = [torch.nonzero(labels == label).flatten()[:each] for label in range(classes)]
    return torch.cat(rows).sort().values
