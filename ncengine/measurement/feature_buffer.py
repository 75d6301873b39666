"""The samples that a meter keeps for metrics that need a second pass: all, or within a byte budget a thinned set.

Beyond the budget every 2nd, then every 4th, … sample *of each class* stays. By class, so that the mix of classes is
that of the data whatever the order of labels (every 2nd of labels 0 1 0 1 … would be one class); systematically, so
that a stream thinned at any time is thinned alike. At least one sample of each class stays.
"""

from __future__ import annotations

import torch
from torch import Tensor


class FeatureBuffer:
    """Samples in the dtype and on the device in which they came; `stride` is 2^s, the share that is kept."""

    def __init__(self, classes: int, features: int, budget_bytes: int) -> None:
        self.classes, self.features, self.budget_bytes = classes, features, budget_bytes
        self.stride = 1
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._bytes = 0
        self._seen_K = torch.zeros(classes, dtype=torch.int64)

    def add(self, features_BD: Tensor, labels_B: Tensor) -> None:
        """Keep of a batch what the stride says, and thin all when the budget is exceeded."""
        self._seen_K = self._seen_K.to(labels_B.device)
        if self.stride > 1:
            rank_B = self._seen_K[labels_B] + _rank_in_class(labels_B, self.classes)
            kept_B = rank_B % self.stride == 0
            self._append(features_BD[kept_B], labels_B[kept_B])
        else:
            self._append(features_BD.clone(), labels_B.clone())
        self._seen_K += torch.bincount(labels_B, minlength=self.classes)
        self._fit()

    def whole(self) -> tuple[Tensor, Tensor]:
        """Return the kept features (n, D) and labels (n), by batch in the order in which they came."""
        if not self._parts:
            return torch.zeros(0, self.features), torch.zeros(0, dtype=torch.int64)
        if len(self._parts) > 1:
            samples, labels = zip(*self._parts, strict=True)
            self._parts = [(torch.cat(samples), torch.cat(labels))]
        return self._parts[0]

    def merge(self, other: FeatureBuffer) -> None:
        """Take in what `other` kept, with the coarser stride of the two; `other` stays as it is."""
        theirs = other.clone()
        self._thin_to(theirs.stride)
        theirs._thin_to(self.stride)
        samples_ND, labels_N = theirs.whole()
        if len(labels_N):
            device = self._parts[0][0].device if self._parts else samples_ND.device
            self._append(samples_ND.to(device), labels_N.to(device))
        self._seen_K = self._seen_K + theirs._seen_K.to(self._seen_K.device)
        self._fit()

    def clone(self) -> FeatureBuffer:
        """Return one that shares the tensors, which are never changed in place, and nothing else."""
        copy = FeatureBuffer(self.classes, self.features, self.budget_bytes)
        copy.stride, copy._parts, copy._bytes = self.stride, list(self._parts), self._bytes
        copy._seen_K = self._seen_K.clone()
        return copy

    def reduced(self, device: torch.device) -> FeatureBuffer:
        """Return what all processes of `torch.distributed` keep together, within the same budget; a collective."""
        from torch import distributed

        mine = self.clone()
        stride = torch.tensor(mine.stride, device=device)
        distributed.all_reduce(stride, distributed.ReduceOp.MAX)
        mine._thin_to(int(stride))
        size = torch.tensor([mine._bytes, int(mine._any_double())], device=device)
        distributed.all_reduce(size)
        while int(size[0]) > mine.budget_bytes and mine.stride < 2**62:
            before = int(size[0])
            mine._thin_to(2 * mine.stride)
            size[0] = mine._bytes
            distributed.all_reduce(size[:1])
            if int(size[0]) == before:
                break
        samples_ND, labels_N = mine.whole()
        dtype = torch.float64 if int(size[1]) else torch.float32
        samples_ND, labels_N = samples_ND.to(device, dtype), labels_N.to(device)
        counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(distributed.get_world_size())]
        distributed.all_gather(counts, torch.tensor([len(labels_N)], device=device))
        most = max(int(count) for count in counts)
        # Padded to one length, since gathering needs equal shapes.
        padded_MD = torch.nn.functional.pad(samples_ND, (0, 0, 0, most - len(labels_N)))
        padded_M = torch.nn.functional.pad(labels_N, (0, most - len(labels_N)))
        all_MD, all_M = [torch.empty_like(padded_MD) for _ in counts], [torch.empty_like(padded_M) for _ in counts]
        distributed.all_gather(all_MD, padded_MD)
        distributed.all_gather(all_M, padded_M)
        found = FeatureBuffer(self.classes, self.features, self.budget_bytes)
        found.stride = mine.stride
        for samples, labels, count in zip(all_MD, all_M, counts, strict=True):
            found._append(samples[: int(count)], labels[: int(count)])
        return found

    def _any_double(self) -> bool:
        return any(samples.dtype == torch.float64 for samples, _ in self._parts)

    def _append(self, samples_ND: Tensor, labels_N: Tensor) -> None:
        self._parts.append((samples_ND, labels_N))
        self._bytes += samples_ND.nbytes

    def _fit(self) -> None:
        while self._bytes > self.budget_bytes:
            before = self._bytes
            self._thin_to(2 * self.stride)
            if self._bytes == before:
                return

    def _thin_to(self, stride: int) -> None:
        if stride <= self.stride:
            return
        samples_ND, labels_N = self.whole()
        kept_N = _rank_in_class(labels_N, self.classes) % (stride // self.stride) == 0
        self.stride = stride
        self._parts, self._bytes = [], 0
        if len(labels_N):
            self._append(samples_ND[kept_N], labels_N[kept_N])


def _rank_in_class(labels_N: Tensor, classes: int) -> Tensor:
    """Return of each sample how many of its class come before it (N)."""
    order_N = labels_N.argsort(stable=True)
    counts_K = torch.bincount(labels_N, minlength=classes)
    starts_K = counts_K.cumsum(0) - counts_K
    rank_N = torch.empty_like(order_N)
    rank_N[order_N] = torch.arange(len(labels_N), device=labels_N.device) - starts_K[labels_N[order_N]]
    return rank_N
