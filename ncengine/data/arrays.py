"""One's own arrays: a .npz or .safetensors file, or a folder of .npy files.

Names: `train_images`, `train_labels`, `test_images`, `test_labels` (also `x_train`, `y_train`, `x_test`, `y_test`), or
`images` and `labels` (also `x` and `y`) with a share of each class held out. Images are uint8, or floats of 0 … 1, as
(N, H, W), (N, H, W, C) or (N, C, H, W) with one or three channels; (N, d) floats are vectors. Labels are integers
0 … K−1. `class_names` may name the classes. No pickle.
"""

from __future__ import annotations

import contextlib
import functools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine.config.data import Arrays, Found
from ncengine.data.places import Places
from ncengine.data.raw import Labels, Loading, Raw

Array = npt.NDArray[Any]
ALIASES = {
    "train_images": ("train_images", "x_train"),
    "train_labels": ("train_labels", "y_train"),
    "test_images": ("test_images", "x_test"),
    "test_labels": ("test_labels", "y_test"),
    "images": ("images", "x"),
    "labels": ("labels", "y"),
}


class _Held:
    """Arrays by name, each read when it is asked for."""

    def __init__(self, names: list[str], read: Callable[[str], Array]) -> None:
        self.names, self._read = names, read

    def __contains__(self, name: str) -> bool:
        return any(alias in self.names for alias in ALIASES.get(name, (name,)))

    def __getitem__(self, name: str) -> Array:
        alias = next(alias for alias in ALIASES.get(name, (name,)) if alias in self.names)
        try:
            return self._read(alias)
        except (ValueError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(
                f"the array {alias} cannot be read: {error}; arrays must be whole, and of numbers"
            ) from error


@contextlib.contextmanager
def _opened(data: Arrays) -> Iterator[_Held]:
    """Give the arrays that `data.path` holds."""
    path = Path(data.path).expanduser()
    if path.is_dir():
        files = {file.stem: file for file in sorted(path.glob("*.npy"))}
        yield _Held(list(files), lambda name: np.load(files[name], mmap_mode="r", allow_pickle=False))
        return
    if not data.path or not path.is_file():
        raise ValueError(f"data.path must be a .npz or .safetensors file or a folder of .npy files, got {data.path!r}")
    if path.suffix.lower() == ".npz":
        with path.open("rb") as stream:  # NumPy leaves a file open that it cannot read
            try:
                archive = np.load(stream, allow_pickle=False)
                names = list(archive.files)
            except (ValueError, OSError, EOFError, AttributeError, zipfile.BadZipFile) as error:
                raise ValueError(f"{path} is no .npz file, or damaged ({error})") from error
            with archive:
                yield _Held(names, lambda name: archive[name])
        return
    if path.suffix.lower() == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            opened: Any = safe_open(path, framework="numpy")
        except SafetensorError as error:
            raise ValueError(f"{path} is no .safetensors file, or damaged ({error})") from error
        yield _Held(list(opened.keys()), opened.get_tensor)
        return
    raise ValueError(f"data.path must end in .npz or .safetensors, or be a folder of .npy files, got {path.name}")


def _splits(data: Arrays, held: _Held) -> tuple[Array, Labels, Array, Labels, tuple[str, ...] | None]:
    names = tuple(str(name) for name in held["class_names"]) if "class_names" in held else None
    if "train_images" in held and "train_labels" in held:
        train, train_labels = held["train_images"], _labels(held["train_labels"], "train_labels")
        if "test_images" in held and "test_labels" in held:
            return train, train_labels, held["test_images"], _labels(held["test_labels"], "test_labels"), names
    elif "images" in held and "labels" in held:
        train, train_labels = held["images"], _labels(held["labels"], "labels")
    else:
        raise ValueError(
            "data.path must hold train_images and train_labels, or images and labels; "
            f"{data.path} holds {', '.join(held.names) or 'nothing'}"
        )
    _same_length(train, train_labels, "images")
    rank = np.zeros(len(train_labels), dtype=np.int64)
    for label in np.unique(train_labels):
        rows = np.flatnonzero(train_labels == label)
        rank[rows] = np.arange(len(rows))
    # The same rows of each class on every machine: evenly spread, the first of a class always for training.
    out = np.floor((rank + 1) * data.test_share) > np.floor(rank * data.test_share)
    out &= rank > 0
    return train[~out], train_labels[~out], train[out], train_labels[out], names


def _labels(array: Array, name: str) -> Labels:
    flat = array.reshape(-1) if array.ndim == 2 and array.shape[1] == 1 else array
    if flat.ndim != 1 or not (np.issubdtype(flat.dtype, np.integer) and flat.size):
        raise ValueError(f"{name} must be integers 0 … K−1 of shape (N,), got {array.dtype} of {array.shape}")
    if int(flat.min()) < 0:
        raise ValueError(f"{name} must be 0 … K−1, got {int(flat.min())}")
    return flat.astype(np.int64)


def _same_length(images: Array, labels: Labels, name: str) -> None:
    if len(images) != len(labels):
        raise ValueError(f"{name} and labels must be equally many, got {len(images)} and {len(labels)}")


def _checked(data: Arrays) -> tuple[Array, Labels, Array, Labels, tuple[str, ...]]:
    with _opened(data) as held:
        train, train_labels, test, test_labels, names = _splits(data, held)
    _same_length(train, train_labels, "train_images")
    _same_length(test, test_labels, "test_images")
    classes = int(train_labels.max()) + 1
    missing = sorted(set(range(classes)) - set(train_labels.tolist()))
    if missing:
        raise ValueError(f"labels must be 0 … K−1 with every class in the training part; {missing[:5]} have no sample")
    if len(test_labels) and int(test_labels.max()) >= classes:
        raise ValueError(f"test_labels must be 0 … {classes - 1} as in training, got {int(test_labels.max())}")
    if classes < 2:
        raise ValueError("labels must be of at least 2 classes, got 1")
    if names is not None and len(names) != classes:
        raise ValueError(f"class_names must name the {classes} classes, got {len(names)} names")
    if len(test) and test.shape[1:] != train.shape[1:]:
        raise ValueError(f"test images must be {train.shape[1:]} as in training, got {test.shape[1:]}")
    return train, train_labels, test, test_labels, names or tuple(str(label) for label in range(classes))


def _channels_last(array: Array, name: str) -> Array:
    """Return images as uint8 (N, H, W, C) or vectors as float32 (N, d); raises ValueError for what is neither."""
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    if np.issubdtype(array.dtype, np.floating):
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise ValueError(f"{name} holds {bad} values that are NaN or infinite; remove those samples")
    if array.ndim == 2:
        return np.ascontiguousarray(array, dtype=np.float32)
    array = _arranged(array, name)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if np.issubdtype(array.dtype, np.floating) and low >= 0 and high <= 1:
        return np.ascontiguousarray((array * 255).round().astype(np.uint8))
    if np.issubdtype(array.dtype, np.integer) and low >= 0 and high <= 255:
        return np.ascontiguousarray(array.astype(np.uint8))
    raise ValueError(f"{name} must be 0 … 255 as integers or 0 … 1 as floats, got {low:g} … {high:g} as {array.dtype}")


def _arranged(array: Array, name: str) -> Array:
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and array.shape[3] in (1, 3):
        return array
    if array.ndim == 4 and array.shape[1] in (1, 3):
        return array.transpose(0, 2, 3, 1)
    raise ValueError(
        f"{name} must be (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or (N, d) vectors, "
        f"got {array.shape}"
    )


def look(data: Arrays) -> Found:
    """Return what the arrays hold."""
    path = Path(data.path).expanduser()
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    return _look(data, tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists()))


@functools.lru_cache(maxsize=8)
def _look(data: Arrays, _changed: tuple[tuple[int, int], ...]) -> Found:
    """Look once, however often a form asks: labels have to be read to be counted."""
    train, train_labels, _, test_labels, names = _checked(data)
    sample = train[:1]
    shape = (
        sample.shape[1:] if sample.ndim == 2 else tuple(np.array(_arranged(sample, "train_images").shape)[[3, 1, 2]])
    )
    return Found(
        class_names=names,
        train_per_class=tuple(int(count) for count in np.bincount(train_labels)),
        test=len(test_labels),
        shape=tuple(int(size) for size in shape),
    )


def load(data: Arrays, places: Places) -> Loading:
    """Return the arrays of both splits."""
    yield from ()
    train, train_labels, test, test_labels, _ = _checked(data)
    return Raw(_channels_last(train, "train_images"), train_labels, _channels_last(test, "test_images"), test_labels)
