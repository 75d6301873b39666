"""Base of the wire models: numbers that JSON lacks, arrays as Plotly.js reads them, lists, and problems."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from backend.store.validation import FieldError as FieldError
from ncengine.documented_model import DocumentedModel

if TYPE_CHECKING:
    import numpy.typing as npt


Number = Annotated[float | Literal["NaN", "Infinity", "-Infinity"], BeforeValidator(lambda value: value)]

Summary = dict[str, dict[str, Number]]

Item = TypeVar("Item")
Model = TypeVar("Model", bound=BaseModel)


class WireModel(DocumentedModel):
    """Base of wire models: unknown keys in a request are errors; a record of the store is read by its attributes."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class RenamedModel(WireModel):
    """Base of wire models with fields that have another name in JSON (`named_in_json`)."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True, serialize_by_alias=True)


def named_in_json(name: str) -> Any:
    """Return a required field of a RenamedModel that is called `name` in JSON."""
    return Field(validation_alias=name, serialization_alias=name)


def example_config(**fields: Any) -> ConfigDict:
    """Return a model config with one example for OpenAPI."""
    return ConfigDict(json_schema_extra={"examples": [fields]})


class ItemList(WireModel, Generic[Item]):
    """A list without pages."""

    items: list[Item]


def list_of(model: type[Model], records: Iterable[object]) -> ItemList[Model]:
    """Return records of the store as a list of a model, which takes its fields from their attributes."""
    return ItemList[model](items=[model.model_validate(record) for record in records])  # type: ignore[valid-type]


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


class TypedArray(WireModel):
    """An array in Plotly's typed form: `dtype` f4, i4 or u1, base64 of little-endian bytes, `shape` "rows,columns"."""

    dtype: Literal["f4", "i4", "u1"]
    bdata: str
    shape: str


def typed_array(array: npt.NDArray[Any]) -> TypedArray:
    """Encode an array in Plotly's typed form: floats as f4, integers as i4, uint8 as u1."""
    import numpy as np

    kind: Literal["f4", "i4", "u1"] = "i4" if np.issubdtype(array.dtype, np.integer) else "f4"
    if array.dtype == np.uint8:
        kind = "u1"
    content = np.ascontiguousarray(array, dtype=f"<{kind}").tobytes()
    shape = ",".join(str(size) for size in array.shape)
    return TypedArray(dtype=kind, bdata=base64.b64encode(content).decode(), shape=shape)


def from_typed(array: TypedArray) -> npt.NDArray[Any]:
    """Decode a typed array to NumPy."""
    import numpy as np

    flat = np.frombuffer(base64.b64decode(array.bdata), dtype=f"<{array.dtype}")
    return flat.reshape([int(size) for size in array.shape.split(",")])
