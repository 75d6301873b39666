"""Validation that HTTP, archives and sweeps share: names and tags, and the formatting of pydantic's errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from ncengine.config import RunConfig

SHA256_PATTERN = r"^[0-9a-f]{64}$"
JSON_KEY = re.compile(rb'"\s*:')
"""The end of a key in JSON text: counts keys without parsing."""
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
Tags = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=50, pattern=r"^[^\x00-\x1f\x7f]*$")]], Field(max_length=50)
]


class FieldError(BaseModel):
    """A validation error of one field; `path` is dotted, empty for the config as a whole."""

    path: str
    message: str


MAX_ERRORS = 20
"""Number of errors in one answer: a request may be wrong in thousands of places."""


def field_errors(errors: list[Mapping[str, Any]], *, drop: int = 0) -> list[FieldError]:
    """Return pydantic's errors with dotted paths, without the tags of unions and the first `drop` steps of the path."""
    formatted = []
    for error in errors[:MAX_ERRORS]:
        steps = [str(step)[:100] for step in error["loc"][drop:]]
        if len(steps) > 2 and steps[0] in RunConfig.model_fields:
            del steps[1]  # the tag of a discriminated union
        elif len(steps) == 2 and steps[0] in RunConfig.model_fields and steps[1] == error.get("input", {}):
            del steps[1]
        message = str(error["msg"]).removeprefix("Value error, ")[:2000]
        if error["type"] == "extra_forbidden":
            message = f"there is no setting {'.'.join(steps)!r}"
        # The message of a validator of the whole config begins with the setting to change.
        formatted.append(FieldError(path=".".join(steps) or named_setting(message), message=message))
    return formatted


def named_setting(message: str) -> str:
    """Return the setting that the first word of a message names, or an empty string."""
    named = message.split(" ", 1)[0].rstrip(":")
    return named if named.partition(".")[0] in RunConfig.model_fields else ""


def format_validation_error(error: ValidationError) -> str:
    """Return the first error of a validation as one line: the dotted path of the field, and the message."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}"[:500] if where else str(first["msg"])[:500]
