"""Validation that HTTP, archives and sweeps share: names and tags, and the formatting of pydantic's errors."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from backend.store.errors import did_you_mean
from ncengine.config import RunConfig, with_overrides

SHA256_PATTERN = r"^[0-9a-f]{64}$"
JSON_KEY = re.compile(rb'"\s*:')
"""The end of a key in JSON text: counts keys without parsing."""
MAX_NAME_LENGTH = 200
MAX_TAG_LENGTH = 50
NO_CONTROL_CHARACTERS = r"^[^\x00-\x1f\x7f]*$"
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_LENGTH, pattern=NO_CONTROL_CHARACTERS)]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG_LENGTH, pattern=NO_CONTROL_CHARACTERS)]
Tags = Annotated[list[Tag], Field(max_length=50)]


class FieldError(BaseModel):
    """A validation error of one field; `path` is dotted, empty for the config as a whole."""

    path: str
    message: str


MAX_ERRORS = 20
"""Number of errors in one answer: a request may be wrong in thousands of places."""


def field_errors(errors: list[Mapping[str, Any]], *, drop: int = 0) -> list[FieldError]:
    """Return pydantic's errors with dotted paths, without the tags of unions and the first `drop` steps of the path."""
    messages: dict[str, list[str]] = {}
    for error in errors[:MAX_ERRORS]:
        steps = [str(step)[:100] for step in error["loc"][drop:]]
        if len(steps) > 2 and steps[0] in RunConfig.model_fields:
            del steps[1]  # the tag of a discriminated union
        elif len(steps) == 2 and steps[0] in RunConfig.model_fields and steps[1] == error.get("input", {}):
            del steps[1]
        if steps and UNION_MEMBER.fullmatch(steps[-1]):
            del steps[-1]  # pydantic has an error for each member of a union; they are one error of the field
        message = _message(error, ".".join(steps))
        # The message of a validator of the whole config begins with the setting to change.
        of_field = messages.setdefault(".".join(steps) or named_setting(message), [])
        if message not in of_field:
            of_field.append(message)
    return [FieldError(path=path, message="; or: ".join(each)) for path, each in messages.items()]


UNION_MEMBER = re.compile(r"str|int|float|bool|none|constrained-\w+|(list|dict|tuple|literal|nullable|function)\b.+")
"""Steps of an error's location that pydantic adds for the members of a union."""


def _message(error: Mapping[str, Any], path: str) -> str:
    """Return the message of one of pydantic's errors, with a suggestion for a mistyped name."""
    context = error.get("ctx", {})
    if error["type"] == "extra_forbidden":
        return f"there is no setting {path!r}{did_you_mean(path, setting_names())}"
    if error["type"] == "union_tag_invalid":
        tag, allowed = str(context["tag"])[:100], QUOTED.findall(context["expected_tags"])
        return f"{tag!r} is not one of {', '.join(allowed)}{did_you_mean(tag, allowed)}"
    message = str(error["msg"]).removeprefix("Value error, ")[:2000]
    if error["type"] == "literal_error" and isinstance(error.get("input"), str):
        message += did_you_mean(error["input"][:100], QUOTED.findall(context["expected"]))
    return message


QUOTED = re.compile(r"'([^']*)'")


@functools.cache
def setting_names() -> frozenset[str]:
    """Return every setting of a config by its dotted name, of all components."""

    schema = RunConfig.model_json_schema()

    def collect(node: dict[str, Any], prefix: str) -> Iterator[str]:
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        for choice in (*node.get("oneOf", ()), *node.get("anyOf", ())):
            yield from collect(choice, prefix)
        for name, child in node.get("properties", {}).items():
            yield prefix + name
            yield from collect(child, f"{prefix}{name}.")

    return frozenset(collect(schema, ""))


def override_settings(config: RunConfig, settings: dict[str, object]) -> RunConfig:
    """Return the config with dotted settings replaced; the error for an unknown one suggests the most similar."""
    try:
        return with_overrides(config, settings)
    except ValidationError:
        raise
    except ValueError as error:
        unknown = next((path for path in settings if path not in setting_names()), "")
        raise ValueError(f"{error}{did_you_mean(unknown, setting_names())}") from error


def named_setting(message: str) -> str:
    """Return the setting that the first word of a message names, or an empty string."""
    named = message.split(" ", 1)[0].rstrip(":")
    return named if named.partition(".")[0] in RunConfig.model_fields else ""


def format_validation_error(error: ValidationError) -> str:
    """Return the first error of a validation as one line: the dotted path of the field, and the message."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{where}: {first['msg']}"[:500] if where else str(first["msg"])[:500]
