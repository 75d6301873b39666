"""Features and labels that a meter stores for metrics over samples, thinned per class to fit a byte budget.

Beyond the budget every 2nd, then every 4th, … sample *of each class* is stored. Per class, so that the proportions of
the classes are those of the data in any order of labels (every 2nd of labels 0 1 0 1 … would be one class); at a fixed
stride, so that the result does not depend on when the buffer was thinned. At least one sample of each class is stored.
"""

from __future__ import annotations

import torch
from torch import Tensor


class FeatureBuffer:
    """Features and labels of a split, in their own dtype and on their own device.

    `stride` is the thinning factor, a power of two: every `stride`-th sample of each class is stored.
    """

    def __init__(self, classes: int, features: int, budget_bytes: int) -> None:
        self.classes, self.features, self.budget_bytes = classes, features, budget_bytes
        self.stride = 1
        self._parts: list[tuple[Tensor, Tensor]] = []
        self._bytes = 0
        self._counts_K = torch.zeros(classes, dtype=torch.int64)

    def append(self, features_BD: Tensor, labels_B: Tensor) -> None:
        """Append every `stride`-th sample of each class; double `stride` while the buffer exceeds its budget."""
        self._counts_K = self._counts_K.to(labels_B.device)
        if self.stride > 1:
            rank_B = self._counts_K[labels_B] + _rank_in_class(labels_B, self.classes)
            stored_B = rank_B % self.stride == 0
            self._store(features_BD[stored_B], labels_B[stored_B])
        else:
            self._store(features_BD.clone(), labels_B.clone())
        self._counts_K += torch.bincount(labels_B, minlength=self.classes)
        self._thin_to_budget()

    def concatenated(self) -> tuple[Tensor, Tensor]:
        """Return the stored features (n, D) and labels (n), in the order in which they were appended."""
        if not self._parts:
            return torch.zeros(0, self.features), torch.zeros(0, dtype=torch.int64)
        if len(self._parts) > 1:
            samples, labels = zip(*self._parts, strict=True)
            self._parts = [(torch.cat(samples), torch.cat(labels))]
        return self._parts[0]

    def merge(self, other: FeatureBuffer) -> None:
        """Append the samples of `other`, which is not changed, with the larger stride of the two."""
        added = other.clone()
        self._thin_to(added.stride)
        added._thin_to(self.stride)
        features_ND, labels_N = added.concatenated()
        if len(labels_N):
            device = self._parts[0][0].device if self._parts else features_ND.device
            self._store(features_ND.to(device), labels_N.to(device))
        self._counts_K = self._counts_K + added._counts_K.to(self._counts_K.device)
        self._thin_to_budget()

    def clone(self) -> FeatureBuffer:
        """Return a copy that shares the tensors, which are never changed in place."""
        copy = FeatureBuffer(self.classes, self.features, self.budget_bytes)
        copy.stride, copy._parts, copy._bytes = self.stride, list(self._parts), self._bytes
        copy._counts_K = self._counts_K.clone()
        return copy

    def all_gather(self, device: torch.device) -> FeatureBuffer:
        """Return the samples of all processes of `torch.distributed`, within the same budget; a collective."""
        from torch import distributed

        own = self.clone()
        stride = torch.tensor(own.stride, device=device)
        distributed.all_reduce(stride, distributed.ReduceOp.MAX)
        own._thin_to(int(stride))
        size = torch.tensor([own._bytes, int(own._any_double())], device=device)
        distributed.all_reduce(size)
        while int(size[0]) > own.budget_bytes and own.stride < 2**62:
            before = int(size[0])
            own._thin_to(2 * own.stride)
            size[0] = own._bytes
            distributed.all_reduce(size[:1])
            if int(size[0]) == before:
                break
        features_ND, labels_N = own.concatenated()
        dtype = torch.float64 if int(size[1]) else torch.float32
        features_ND, labels_N = features_ND.to(device, dtype), labels_N.to(device)
        counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(distributed.get_world_size())]
        distributed.all_gather(counts, torch.tensor([len(labels_N)], device=device))
        longest = max(int(count) for count in counts)
        # Padded to one length, since all_gather needs equal shapes.
        padded_MD = torch.nn.functional.pad(features_ND, (0, 0, 0, longest - len(labels_N)))
        padded_M = torch.nn.functional.pad(labels_N, (0, longest - len(labels_N)))
        all_MD, all_M = [torch.empty_like(padded_MD) for _ in counts], [torch.empty_like(padded_M) for _ in counts]
        distributed.all_gather(all_MD, padded_MD)
        distributed.all_gather(all_M, padded_M)
        found = FeatureBuffer(self.classes, self.features, self.budget_bytes)
        found.stride = own.stride
        for samples, labels, count in zip(all_MD, all_M, counts, strict=True):
            found._store(samples[: int(count)], labels[: int(count)])
        return found

    def _any_double(self) -> bool:
        return any(samples.dtype == torch.float64 for samples, _ in self._parts)

    def _store(self, features_ND: Tensor, labels_N: Tensor) -> None:
        self._parts.append((features_ND, labels_N))
        self._bytes += features_ND.nbytes

    def _thin_to_budget(self) -> None:
        while self._bytes > self.budget_bytes:
            before = self._bytes
            self._thin_to(2 * self.stride)
            if self._bytes == before:
                return

    def _thin_to(self, stride: int) -> None:
        if stride <= self.stride:
            return
        features_ND, labels_N = self.concatenated()
        stored_N = _rank_in_class(labels_N, self.classes) % (stride // self.stride) == 0
        self.stride = stride
        self._parts, self._bytes = [], 0
        if len(labels_N):
            self._store(features_ND[stored_N], labels_N[stored_N])


def _rank_in_class(labels_N: Tensor, classes: int) -> Tensor:
    """Return for each sample the number of earlier samples of its class (N)."""
    order_N = labels_N.argsort(stable=True)
    counts_K = torch.bincount(labels_N, minlength=classes)
    starts_K = counts_K.cumsum(0) - counts_K
    rank_N = torch.empty_like(order_N)
    rank_N[order_N] = torch.arange(len(labels_N), device=labels_N.device) - starts_K[labels_N[order_N]]
    return rank_N
