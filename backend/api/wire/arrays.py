"""Arrays as Plotly.js reads them. NumPy is imported on first use, so that commands without arrays start quickly."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Literal

from backend.api.wire.base import WireModel

if TYPE_CHECKING:
    import numpy.typing as npt


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
