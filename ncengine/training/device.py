"""Choose a device, apply the process-wide settings of a run, and explain out-of-memory errors."""

from __future__ import annotations

import contextlib
import re
import resource
from collections.abc import Iterator

import torch

from ncengine.config import RunConfig


def choose_device(name: str) -> torch.device:
    """Return the torch device for a config's `device`; raises ValueError if it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"device={name} is not there: {torch.cuda.device_count()} GPUs found; set device=auto or cpu")
    return device


def device_name(device: torch.device) -> str:
    """Return a readable name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


@contextlib.contextmanager
def global_settings(config: RunConfig, device: torch.device) -> Iterator[None]:
    """Apply the process-wide settings of torch that the config asks for, and restore them afterwards.

    Deterministic mode uses deterministic algorithms of cuDNN and torch (a few operations on a GPU have none); TF32
    exists on NVIDIA GPUs only. On a CPU nothing needs to be set.
    """
    if device.type != "cuda":
        yield
        return
    cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32)
    deterministic = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn.deterministic, cudnn.benchmark = config.deterministic, not config.deterministic
    cudnn.allow_tf32 = products.allow_tf32 = config.precision == "tf32"
    if config.deterministic:
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32, products.allow_tf32 = before
        torch.use_deterministic_algorithms(deterministic[0], warn_only=deterministic[1])


@contextlib.contextmanager
def memory_advice(config: RunConfig) -> Iterator[None]:
    """Convert a failed allocation into a MemoryError with the requested size and a remedy."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _out_of_memory(config, error) from error
    except SystemError as error:
        # At a memory limit of the process Python may fail to allocate the error itself, and raises SystemError.
        limits = (resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_DATA, resource.RLIMIT_AS))
        limited = any(limit != resource.RLIM_INFINITY for limit in limits)
        if not limited or "exception" not in str(error):
            raise
        raise _out_of_memory(config, error) from error
    except RuntimeError as error:
        # The CPU allocator raises a plain RuntimeError.
        if "DefaultCPUAllocator" not in str(error):
            raise
        raise _out_of_memory(config, error) from error


def _out_of_memory(config: RunConfig, error: BaseException) -> MemoryError:
    text = str(error)
    asked = re.search(r"(?:allocate|tried to allocate) ([\d.]+ ?\w+)", text, re.IGNORECASE)
    amount = f"{asked.group(1)} could not be allocated" if asked else "an allocation failed"
    held = ""
    if torch.cuda.is_available() and isinstance(error, torch.OutOfMemoryError):
        free, total = torch.cuda.mem_get_info()
        held = f", {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    smaller = max(2, config.batch_size // 2)
    return MemoryError(
        f"out of memory: {amount}{held}, with batch_size={config.batch_size}, {config.backbone.name}, "
        f"d={config.backbone.features}; set batch_size={smaller}, or optimiser.accumulate="
        f"{min(2 * config.optimiser.accumulate, max(1, config.batch_size // 2))}, or a smaller backbone"
    )
