"""Base of the wire models, numbers that JSON lacks, lists, and problems."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict

from backend.store.validation import FieldError

Status = Literal["queued", "running", "paused", "finished", "cancelled", "failed"]

Number = Annotated[float | Literal["NaN", "Infinity", "-Infinity"], BeforeValidator(lambda value: value)]

Summary = dict[str, dict[str, Number]]

Item = TypeVar("Item")


class WireModel(BaseModel):
    """Base of wire models: unknown keys in a request are errors."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


def example_config(**fields: Any) -> ConfigDict:
    """Return a model config with one example for OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ItemList(WireModel, Generic[Item]):
    """A list without pages."""

    items: list[Item]


class Problem(WireModel):
    """An error as RFC 9457 problem details."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Invalid input",
                    "status": 422,
                    "detail": "head.delta: Input should be greater than or equal to 0",
                    "errors": [{"path": "head.delta", "message": "Input should be greater than or equal to 0"}],
                }
            ]
        },
    )
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
