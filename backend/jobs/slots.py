"""Device slots: how many runs each device takes at the same time, and which slot a run gets."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping

from backend.store.errors import Unusable


def list_gpus() -> tuple[str, ...]:
    """Return `cuda:0`, … for each GPU that `nvidia-smi` lists, without importing torch."""
    if shutil.which("nvidia-smi") is None:
        return ()
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return ()
    count = sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0
    return tuple(f"cuda:{index}" for index in range(count))


def count_slots(options: Iterable[str] = ()) -> dict[str, int]:
    """Return how many runs each device takes at the same time: one, or as an option (`cpu=2`, `cuda:0=3`) states.

    Raises Unusable where a device is not on this machine or the number is not in 0 … 64.
    """
    capacities = dict.fromkeys([*list_gpus(), "cpu"], 1)
    for text in options:
        device, _, number = text.partition("=")
        if not re.fullmatch(r"\d{1,2}", number) or int(number) > 64:
            raise Unusable(f"--slots takes DEVICE=NUMBER with 0 to 64 runs at once, such as cpu=2, got {text!r}")
        if device not in capacities:
            raise Unusable(f"--slots names {device!r}, and this machine has {', '.join(capacities)}")
        capacities[device] = int(number)
    if not any(capacities.values()):
        raise Unusable("--slots leaves no device on which a run could start; give one of them a slot")
    return capacities


def list_free_slots(capacity: Mapping[str, int], busy: Iterable[str]) -> list[str]:
    """Return the free slots: each device once per run that it can still take, devices with most free slots first."""
    taken = Counter(busy)
    left = {device: number - taken[device] for device, number in capacity.items()}
    rounds = range(max(left.values(), default=0), 0, -1)
    return [device for level in rounds for device, number in left.items() if number >= level]


def pick_slot(requested: str, open_slots: list[str]) -> str | None:
    """Return the free slot for a config's `device`, or None: `auto` prefers a GPU, `cuda` takes any GPU."""
    on_gpu = [slot for slot in open_slots if slot.startswith("cuda")]
    if requested == "auto":
        return on_gpu[0] if on_gpu else next(iter(open_slots), None)
    if requested == "cuda":
        return on_gpu[0] if on_gpu else None
    return requested if requested in open_slots else None
