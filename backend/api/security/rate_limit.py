"""Rate limit of failed log-ins by client address: twenty a minute, then the address waits."""

from __future__ import annotations

import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

ATTEMPTS, WINDOW_S = 20, 60.0
MAX_ADDRESSES = 10_000
"""How many addresses are remembered of each kind, some 2 MB; the oldest are forgotten."""


def network_of(address: str) -> str:
    """Return whom an address belongs to: itself, or the /64 of an IPv6 address, which one machine has whole."""
    try:
        found = ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        if not found.is_loopback:
            return f"{IPv6Address(int(found) >> 64 << 64)}/64"
    return str(found)


def is_loopback(address: str) -> bool:
    """Return whether a connection comes from this machine."""
    try:
        return ip_address(network_of(address)).is_loopback
    except ValueError:
        return False


class FailedLogins:
    """Rate limit of failed log-ins: counts wrong tokens by network in windows of a minute, in bounded memory.

    Networks that wait are kept apart from those that are counted, so that nobody gets out of the wait by sending wrong
    tokens from many other addresses.
    """

    def __init__(self) -> None:
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._waiting: OrderedDict[str, float] = OrderedDict()

    def add(self, address: str) -> None:
        """Count one wrong token."""
        network, now = network_of(address), time.monotonic()
        began, count = self._counted.get(network, (now, 0))
        if now - began >= WINDOW_S:
            began, count = now, 0
        if count + 1 < ATTEMPTS:
            self._counted[network] = (began, count + 1)
        else:
            self._counted.pop(network, None)
            self._waiting[network] = now + WINDOW_S
            self._waiting.move_to_end(network)
        for held in (self._counted, self._waiting):
            while len(held) > MAX_ADDRESSES:
                held.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """Return for how many seconds an address has to wait; 0 where it need not."""
        network = network_of(address)
        left = self._waiting.get(network, 0.0) - time.monotonic()
        if left <= 0:
            self._waiting.pop(network, None)
            return 0.0
        return left

    def __len__(self) -> int:
        return len(self._counted) + len(self._waiting)
