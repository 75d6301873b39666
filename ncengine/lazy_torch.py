"""PyTorch, imported when one of its functions is first used.

Modules that describe metrics also compute them. Processes that only read the descriptions, such as the API server, must
not load torch, which takes seconds and several hundred megabytes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


class _LazyModule:
    """A stand-in for a module that imports it on the first access to an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)


if TYPE_CHECKING:
    import torch as torch
else:
    torch = _LazyModule("torch")
