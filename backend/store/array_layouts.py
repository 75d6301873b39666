"""Names, types, shapes and value ranges of the arrays in a run's files, on which readers of a stored run rely.

A dimension is a number, a letter whose length the run fixes (`K` classes, `R` = K − 1, `C` coordinates of a capture,
`B` rows of its cosines, `D` features), or another letter, which has one length everywhere in a file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine.events import EIGENVALUES, MARGINS, PICTURE_BYTES
from ncengine.files import array_file
from ncengine.files.array_file import CorruptFileError, Header
from ncengine.geometry.views import WHOLE_FRAME_UP_TO, block_size

ValueCheck = Callable[[npt.NDArray[Any], "RunSizes"], bool]


@dataclass(frozen=True, slots=True)
class RunSizes:
    """Lengths of arrays that follow from a run's config; `samples` is the maximum number of samples in a capture."""

    classes: int
    features: int
    samples: int

    @property
    def wide(self) -> bool:
        """Whether captures are reduced to three dimensions, because the run has many classes."""
        return self.classes > WHOLE_FRAME_UP_TO

    def fixed(self) -> dict[str, int]:
        """Return the lengths that are equal in all files of the run, by letter."""
        rows = self.classes - 1
        lengths = {"K": self.classes, "R": rows, "C": 3 if self.wide else rows, "D": self.features}
        return lengths if self.wide else lengths | {"B": self.classes}

    def maxima(self) -> dict[str, int]:
        """Return the maximum lengths of dimensions that differ between files, by letter."""
        blocks = math.ceil(self.classes / block_size(self.classes))
        spectra = {"w": min(self.features, EIGENVALUES), "s": min(self.features, EIGENVALUES)}
        return {"B": blocks, "n": self.samples, "m": MARGINS, "t": MARGINS, **spectra}


def _is_finite(piece: npt.NDArray[Any], _sizes: RunSizes) -> bool:
    return bool(np.isfinite(piece).all())


def _is_anything(_piece: npt.NDArray[Any], _sizes: RunSizes) -> bool:
    return True


def _is_cosine(piece: npt.NDArray[Any], sizes: RunSizes) -> bool:
    """Return whether the values are cosines; a block of one class has NaN on the diagonal."""
    within = np.abs(piece) <= 1.001
    return bool((within | np.isnan(piece) if sizes.wide else within).all())


def _is_label(piece: npt.NDArray[Any], sizes: RunSizes) -> bool:
    return bool(((piece >= 0) & (piece < sizes.classes)).all())


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """Layout of one array: type, dimensions, valid values with a description, and whether a file may lack it."""

    dtype: type[np.generic]
    dimensions: tuple[str | int, ...]
    is_valid: ValueCheck = _is_finite
    description: str = "finite numbers"
    optional: bool = False


def _float(*dimensions: str | int, optional: bool = False) -> ArrayLayout:
    return ArrayLayout(np.float32, dimensions, optional=optional)


def _cosines(*, optional: bool = False) -> ArrayLayout:
    return ArrayLayout(np.float32, ("B", "B"), _is_cosine, "numbers of −1 … 1", optional)


def _labels(*dimensions: str, optional: bool = False) -> ArrayLayout:
    return ArrayLayout(np.int32, dimensions, _is_label, "labels of 0 … K−1", optional)


def _any(*dimensions: str) -> ArrayLayout:
    return ArrayLayout(np.float32, dimensions, _is_anything, "numbers", optional=True)


GEOMETRY: Mapping[str, ArrayLayout] = {
    "means": _float("K", "C"),
    "weights": _float("K", "C"),
    "features": _float("n", "C"),
    "labels": _labels("n"),
    "predictions": _labels("n"),
    "cosines_means": _cosines(),
    "cosines_weights": _cosines(),
    "cosines_between": _cosines(optional=True),
    "frame": _float("D", "R", optional=True),
    "pca": _float("R", 3, optional=True),
    "margins": _float("m", optional=True),
    "margins_test": _float("t", optional=True),
    "spectrum_within": _float("w", optional=True),
    "spectrum_between": _float("s", optional=True),
    "within_variance": _any("K"),
    "accuracy": _any("K"),
    "confusion": _any("e", "e"),
}
WIDE_GEOMETRY: Mapping[str, ArrayLayout] = {
    **GEOMETRY,
    "pca": _float("R", 3),
    "means_whole": _float("K", "R"),
    "weights_whole": _float("K", "R"),
    "features_pca": _float("n", 3),
}
FEATURES: Mapping[str, ArrayLayout] = {
    "features_train": _float("a", "D", optional=True),
    "labels_train": _labels("a", optional=True),
    "features_test": _float("b", "D", optional=True),
    "labels_test": _labels("b", optional=True),
}
SAMPLES: Mapping[str, ArrayLayout] = {
    "images": ArrayLayout(np.uint8, ("p", "h", "v", "c"), _is_anything, "bytes"),
    "true_labels": _labels("p", optional=True),
}
TOGETHER = (
    ("spectrum_within", "spectrum_between"),
    ("features_train", "labels_train"),
    ("features_test", "labels_test"),
)
"""A file has both arrays of a pair, or neither."""
Lengths = dict[str, int]
"""Length of each dimension, by letter."""


def require_layout(path: Path, kind: str, sizes: RunSizes) -> tuple[Header, Lengths]:
    """Validate a file of a run in pieces; return its header and the lengths of its dimensions.

    Raises CorruptFileError where the file is not whole, or differs from what a run with these sizes writes.
    """
    layouts = {
        "geometry": WIDE_GEOMETRY if sizes.wide else GEOMETRY,
        "features": FEATURES,
        "samples": SAMPLES,
        "checkpoint": {},
    }[kind]
    header = array_file.read_header(path)
    lengths = sizes.fixed()
    if kind != "checkpoint":
        _require_names(header, layouts, kind)
        for name, entry in header.arrays.items():
            _require_shape(name, entry, layouts[name], lengths)
        _require_bounded(kind, lengths, sizes)

    def look(name: str, piece: npt.NDArray[Any]) -> None:
        layout = layouts.get(name)
        if layout is not None and not layout.is_valid(piece, sizes):
            raise CorruptFileError(f"the array {name} must hold {layout.description}, and holds others")

    array_file.require_intact(path, look)
    return header, lengths


def _require_names(header: Header, layouts: Mapping[str, ArrayLayout], kind: str) -> None:
    unknown = sorted(set(header.arrays) - set(layouts))
    if unknown:
        raise CorruptFileError(f"a file of {kind} has no array {unknown[0][:100]!r}; it has {', '.join(layouts)}")
    missing = [name for name, layout in layouts.items() if not layout.optional and name not in header.arrays]
    missing += [name for pair in TOGETHER for name in pair if len(set(pair) & set(header.arrays)) == 1]
    missing = [name for name in missing if name not in header.arrays]
    if missing:
        raise CorruptFileError(f"a file of {kind} must have the array {missing[0]}")


def _require_shape(name: str, entry: array_file.ArrayEntry, layout: ArrayLayout, lengths: Lengths) -> None:
    """Raise CorruptFileError where an array has another type or shape; add the lengths of new letters to `lengths`."""
    expected = [lengths.get(each, each) if isinstance(each, str) else each for each in layout.dimensions]
    if entry.dtype != layout.dtype or len(entry.shape) != len(expected):
        raise CorruptFileError(
            f"the array {name} must be {np.dtype(layout.dtype)} of {len(expected)} dimensions, "
            f"got {entry.dtype} of {entry.shape}"
        )
    for number, (length, dimension) in enumerate(zip(entry.shape, expected, strict=True)):
        letter = layout.dimensions[number]
        known = lengths.setdefault(letter, length) if isinstance(letter, str) else dimension
        if length != known:
            raise CorruptFileError(f"the array {name} must be {tuple(expected)}, got {entry.shape}")


def _require_bounded(kind: str, lengths: Lengths, sizes: RunSizes) -> None:
    # If all class means coincide, Σ_B has no eigenvalue.
    if any(not length for letter, length in lengths.items() if letter != "s"):
        raise CorruptFileError(f"a file of {kind} has arrays without any element")
    for letter, maximum in sizes.maxima().items():
        if lengths.get(letter, 0) > maximum:
            raise CorruptFileError(f"a file of {kind} may have arrays of {maximum} elements, got {lengths[letter]}")
    if kind == "geometry" and lengths.get("e", 0) > sizes.classes:
        raise CorruptFileError(f"the array confusion must be of at most {sizes.classes} classes, got {lengths['e']}")
    if kind == "samples":
        size = math.prod(lengths[letter] for letter in "phvc")
        if lengths["c"] not in (1, 3) or size > PICTURE_BYTES:
            raise CorruptFileError(
                f"pictures must have 1 or 3 channels and at most {PICTURE_BYTES:,} bytes, got {size:,}"
            )
