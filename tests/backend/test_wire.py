"""The package of wire models: what it names, and what it repeats of the store."""

from __future__ import annotations

from typing import get_args

import pytest

from backend.api import wire
from backend.store import run_status


def test_every_name_of_the_package_is_found():
    assert [name for name in wire.__all__ if getattr(wire, name) is None] == []
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = wire.Nothing


def test_the_statuses_are_those_of_the_store():
    assert get_args(wire.Status) == run_status.STATUSES
