"""The base model of all parts of a config: frozen, documented by attribute docstrings, without unknown keys.

The JSON schema contains what a form needs besides types: `applies_if` names the settings of the same part, and their
values, for which a field is used; `late` marks fields that many kinds share, shown after a kind's own; `hidden` marks
fields that no person fills in.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class ConfigModel(BaseModel):
    """A part of a config; unknown keys are errors."""

    # Parts are validated inside of a RunConfig; a validator of their own is built at its first use.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, defer_build=True)


LATE: dict[str, Any] = {"late": True}
"""Schema entry for a field that is shown after a kind's own settings."""


def applies_if(**settings: object) -> dict[str, Any]:
    """Return the schema entry for a field that is used only if each setting has one of the given values."""
    return {"applies_if": {name: list(v) if isinstance(v, tuple) else [v] for name, v in settings.items()}}
