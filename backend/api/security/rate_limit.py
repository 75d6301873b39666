"""Rate limit of failed log-ins by client address: after twenty in a minute, the address is blocked for a minute."""

from __future__ import annotations

import time
from collections import OrderedDict
from ipaddress import IPv6Address, ip_address

MAX_ATTEMPTS, WINDOW_S = 20, 60.0
MAX_ADDRESSES = 10_000
"""Number of addresses kept of each kind (about 2 MB); the oldest are dropped."""


def network_of(address: str) -> str:
    """Return the network that is counted for an address: itself, or the /64 of an IPv6 address."""
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
    """Return whether an address is of this machine."""
    try:
        return ip_address(network_of(address)).is_loopback
    except ValueError:
        return False


class FailedLogins:
    """Counts wrong tokens by network in windows of a minute, in bounded memory.

    Blocked networks are kept apart from counted ones, so that wrong tokens from many other addresses unblock nobody.
    """

    def __init__(self) -> None:
        self._counted: OrderedDict[str, tuple[float, int]] = OrderedDict()
        self._blocked: OrderedDict[str, float] = OrderedDict()

    def add(self, address: str) -> None:
        """Count one wrong token."""
        network, now = network_of(address), time.monotonic()
        began, count = self._counted.get(network, (now, 0))
        if now - began >= WINDOW_S:
            began, count = now, 0
        if count + 1 < MAX_ATTEMPTS:
            self._counted[network] = (began, count + 1)
        else:
            self._counted.pop(network, None)
            self._blocked[network] = now + WINDOW_S
            self._blocked.move_to_end(network)
        for networks in (self._counted, self._blocked):
            while len(networks) > MAX_ADDRESSES:
                networks.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """Return for how many more seconds an address is blocked; 0 if it is not."""
        network = network_of(address)
        remaining_s = self._blocked.get(network, 0.0) - time.monotonic()
        if remaining_s <= 0:
            self._blocked.pop(network, None)
            return 0.0
        return remaining_s

    def __len__(self) -> int:
        return len(self._counted) + len(self._blocked)
