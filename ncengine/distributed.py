"""Sums over the processes of `torch.distributed` that train together."""

from __future__ import annotations

import torch
from torch import Tensor


def world_size() -> int:
    """Return the number of processes in the default group; 1 without one."""
    distributed = torch.distributed
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def all_reduce_sum(tensor: Tensor) -> Tensor:
    """Return the sum of a tensor over all processes; the tensor itself if there is only one."""
    if world_size() == 1:
        return tensor
    total = tensor.contiguous().clone()
    torch.distributed.all_reduce(total)
    return total
