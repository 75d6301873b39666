"""A pytest plugin for mutation runs: each test computes cached values itself, so that it counts as a test of them."""

from __future__ import annotations

import sys


def pytest_runtest_setup() -> None:
    """Empty the caches of the modules that are mutated."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("ncengine.geometry", "ncengine.heads")):
            for value in list(vars(module).values()):
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
