"""Validation that HTTP, archives and sweeps share: names that people give, and pydantic's errors as fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ncengine.config import RunConfig

JSON_KEY = re.compile(rb'"\s*:')
"""Ends a key in JSON text, and is counted without parsing it."""
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]], Field(max_length=50)
]


class FieldError(BaseModel):
    """What is wrong with one field; `path` is dotted, empty for the config as a whole."""

    path: str
    message: str


MAX_ERRORS = 20
"""Of one request, told in its answer: what was sent may be wrong in ten thousand places."""


def field_errors(errors: list[Mapping[str, Any]], *, drop: int = 0) -> list[FieldError]:
    """Return pydantic's errors with dotted paths, without the tags of unions and the first `drop` steps."""
    found = []
    for error in errors[:MAX_ERRORS]:
        steps = [str(step)[:100] for step in error["loc"][drop:]]
        if len(steps) > 2 and steps[0] in RunConfig.model_fields:
            del steps[1]  # the tag of a discriminated union
        elif len(steps) == 2 and steps[0] in RunConfig.model_fields and steps[1] == error.get("input", {}):
            del steps[1]
        message = str(error["msg"]).removeprefix("Value error, ")[:2000]
        if error["type"] == "extra_forbidden":
            message = f"there is no setting {'.'.join(steps)!r}"
        # A config that is impossible as a whole names the setting to change.
        found.append(FieldError(path=".".join(steps) or named_setting(message), message=message))
    return found


def named_setting(message: str) -> str:
    """Return the setting that a message names as its first word, or nothing."""
    named = message.split(" ", 1)[0].rstrip(":")
    return named if named.partition(".")[0] in RunConfig.model_fields else ""


def format_validation_error(error: ValidationError) -> str:
    """Return the first of a validation's errors in a line: the dotted field, and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}"[:500] if where else str(first["msg"])[:500]
