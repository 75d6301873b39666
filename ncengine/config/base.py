"""The base of every part of a config: frozen, documented by its attributes' docstrings, and strict about keys.

What a form needs beside types stands in the JSON schema: `applies_if` names the settings of the same part, and their
values, under which a field means anything; `late` marks what many kinds share and few change, shown after a kind's own
settings; `hidden` marks what no person fills in.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class ConfigModel(BaseModel):
    """A part of a config; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


LATE: dict[str, Any] = {"late": True}
"""The schema's note that a field is shown after a kind's own settings."""


def applies_if(**settings: object) -> dict[str, Any]:
    """Return the schema's note that a field means something only where each setting has one of the given values."""
    return {"applies_if": {name: list(v) if isinstance(v, tuple) else [v] for name, v in settings.items()}}
