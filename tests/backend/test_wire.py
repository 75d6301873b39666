"""The package of wire models: what it names, and what it repeats of the store."""

from __future__ import annotations

from importlib import import_module

import pytest

from backend.api import wire
from backend.store import run_status


def test_every_name_of_the_package_is_found():
    for module in wire.MODULES:
        content = vars(import_module(f"backend.api.wire.{module}"))
        models = [name for name, value in content.items() if isinstance(value, type) and not name.startswith("_")]
        assert models
        assert [name for name in models if getattr(wire, name) is not content[name]] == []
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        _ = wire.Nothing


def test_the_statuses_are_those_of_the_store():
    assert wire.RunStatus is run_status.RunStatus
    assert wire.RunWire.model_fields["status"].annotation is run_status.RunStatus
