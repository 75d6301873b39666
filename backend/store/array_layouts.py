"""Which arrays a run's files hold, and of which types, shapes and values: what readers of a stored run rely on.

A dimension is a number, a letter that the run fixes (`K` classes, `R` = K − 1, `C` coordinates of a capture, `B` rows
of its cosines, `D` features), or another letter, which stands for one length wherever the file has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine import array_file
from ncengine.array_file import Damaged, Header
from ncengine.events import EIGENVALUES, MARGINS, PICTURE_BYTES
from ncengine.geometry.views import WHOLE_FRAME_UP_TO, block_size

Value = Callable[[npt.NDArray[Any], "RunSizes"], bool]


@dataclass(frozen=True, slots=True)
class RunSizes:
    """What a run's config says of the lengths of its arrays; `samples` is the most that a capture shows."""

    classes: int
    features: int
    samples: int

    @property
    def wide(self) -> bool:
        """Whether captures travel in three dimensions."""
        return self.classes > WHOLE_FRAME_UP_TO

    def fixed(self) -> dict[str, int]:
        """Return the lengths that are the same in all of the run's files, by letter."""
        rows = self.classes - 1
        found = {"K": self.classes, "R": rows, "C": 3 if self.wide else rows, "D": self.features}
        return found if self.wide else found | {"B": self.classes}

    def most(self) -> dict[str, int]:
        """Return the greatest lengths of what differs from file to file, by letter."""
        blocks = math.ceil(self.classes / block_size(self.classes))
        spectra = {"w": min(self.features, EIGENVALUES), "s": min(self.features, EIGENVALUES)}
        return {"B": blocks, "n": self.samples, "m": MARGINS, "t": MARGINS, **spectra}


def _is_finite(piece: npt.NDArray[Any], _sizes: RunSizes) -> bool:
    return bool(np.isfinite(piece).all())


def _is_anything(_piece: npt.NDArray[Any], _sizes: RunSizes) -> bool:
    return True


def _is_cosine(piece: npt.NDArray[Any], sizes: RunSizes) -> bool:
    """Of blocks of one class there is no cosine with itself."""
    within = np.abs(piece) <= 1.001
    return bool((within | np.isnan(piece) if sizes.wide else within).all())


def _is_label(piece: npt.NDArray[Any], sizes: RunSizes) -> bool:
    return bool(((piece >= 0) & (piece < sizes.classes)).all())


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """One array: its type, its dimensions, which values it may hold, in words too, and whether a file may lack it."""

    dtype: type[np.generic]
    dimensions: tuple[str | int, ...]
    holds: Value = _is_finite
    words: str = "finite numbers"
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
"""Where a file has one of these it has the other."""
Lengths = dict[str, int]
"""By letter."""


def require_layout(path: Path, kind: str, sizes: RunSizes) -> tuple[Header, Lengths]:
    """Return the header of a run's file and the lengths in it, having read all of it piece by piece.

    Raises Damaged where the file is not whole, or not what a run with these sizes writes.
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
        if layout is not None and not layout.holds(piece, sizes):
            raise Damaged(f"the array {name} must hold {layout.words}, and holds others")

    array_file.require_whole(path, look)
    return header, lengths


def _require_names(header: Header, layouts: Mapping[str, ArrayLayout], kind: str) -> None:
    unknown = sorted(set(header.arrays) - set(layouts))
    if unknown:
        raise Damaged(f"a file of {kind} has no array {unknown[0][:100]!r}; it has {', '.join(layouts)}")
    missing = [name for name, layout in layouts.items() if not layout.optional and name not in header.arrays]
    missing += [name for pair in TOGETHER for name in pair if len(set(pair) & set(header.arrays)) == 1]
    missing = [name for name in missing if name not in header.arrays]
    if missing:
        raise Damaged(f"a file of {kind} must have the array {missing[0]}")


def _require_shape(name: str, entry: array_file.Entry, layout: ArrayLayout, lengths: Lengths) -> None:
    """Raise Damaged where an array has another shape; take in the lengths of letters that are new."""
    wanted = [lengths.get(each, each) if isinstance(each, str) else each for each in layout.dimensions]
    if entry.dtype != layout.dtype or len(entry.shape) != len(wanted):
        raise Damaged(
            f"the array {name} must be {np.dtype(layout.dtype)} of {len(wanted)} dimensions, "
            f"got {entry.dtype} of {entry.shape}"
        )
    for number, (length, want) in enumerate(zip(entry.shape, wanted, strict=True)):
        letter = layout.dimensions[number]
        known = lengths.setdefault(letter, length) if isinstance(letter, str) else want
        if length != known:
            raise Damaged(f"the array {name} must be {tuple(wanted)}, got {entry.shape}")


def _require_bounded(kind: str, lengths: Lengths, sizes: RunSizes) -> None:
    # Where all class means coincide, Σ_B has no eigenvalue.
    if any(not length for letter, length in lengths.items() if letter != "s"):
        raise Damaged(f"a file of {kind} has arrays without any element")
    for letter, most in sizes.most().items():
        if lengths.get(letter, 0) > most:
            raise Damaged(f"a file of {kind} may have arrays of {most} elements, got {lengths[letter]}")
    if kind == "geometry" and lengths.get("e", 0) > sizes.classes:
        raise Damaged(f"the array confusion must be of at most {sizes.classes} classes, got {lengths['e']}")
    if kind == "samples":
        size = math.prod(lengths[letter] for letter in "phvc")
        if lengths["c"] not in (1, 3) or size > PICTURE_BYTES:
            raise Damaged(f"pictures must have 1 or 3 channels and at most {PICTURE_BYTES:,} bytes, got {size:,}")
