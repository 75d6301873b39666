"""Own arrays: a .npz or .safetensors file, or a folder of .npy files.

Names: `train_images`, `train_labels`, `test_images`, `test_labels` (also `x_train`, `y_train`, `x_test`, `y_test`), or
`images` and `labels` (also `x` and `y`) with a share of each class held out. Images are uint8, or floats of 0 … 1, as
(N, H, W), (N, H, W, C) or (N, C, H, W) with one or three channels; (N, d) floats are vectors. Labels are integers
0 … K−1. `class_names` may name the classes. No pickle.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ncengine.data.array_readers import Array, ArrayReader, open_arrays
from ncengine.data.own_files_config import Arrays
from ncengine.data.paths import DataPaths
from ncengine.data.raw_dataset import Labels, LoadResult, RawDataset
from ncengine.data.registry import MAX_CLASSES, MAX_NAME_LENGTH, OwnDataInfo

MAX_SAMPLES = 10_000_000
MAX_NAMES_BYTES = 2**24


# ── both splits ─────────────────────────────────────────────────────────────────────────────────────────────────────


class ArraySplits(NamedTuple):
    """The labels of both splits, and the names of the arrays with their images, which are not read yet.

    If `train` and `test` are the same array, `is_test` marks its held-out rows.
    """

    train: str
    train_labels: Labels
    test: str | None
    test_labels: Labels
    is_test: npt.NDArray[np.bool_] | None
    class_names: tuple[str, ...]


def _read_splits(data: Arrays, reader: ArrayReader) -> ArraySplits:
    """Return the labels of both splits; raises ValueError if they do not fit the images or each other."""
    names = _class_names(reader)
    is_test = None
    if "train_images" in reader and "train_labels" in reader:
        train = "train_images"
        train_labels = _labels(reader, "train_labels", train)
        test: str | None = "test_images" if "test_images" in reader and "test_labels" in reader else None
        test_labels = _labels(reader, "test_labels", "test_images") if test else None
    elif "images" in reader and "labels" in reader:
        train, test, test_labels = "images", None, None
        train_labels = _labels(reader, "labels", "images")
    else:
        raise ValueError(
            "data.path must hold train_images and train_labels, or images and labels; "
            f"{data.path} holds {', '.join(reader.names[:20]) or 'nothing'}"
        )
    if test_labels is None:
        test, is_test = train, _held_out(train_labels, data.test_share)
        train_labels, test_labels = train_labels[~is_test], train_labels[is_test]
    _require_fitting(reader, train, test, train_labels, test_labels, names)
    classes = int(train_labels.max()) + 1
    return ArraySplits(
        train, train_labels, test, test_labels, is_test, names or tuple(str(label) for label in range(classes))
    )


def _class_names(reader: ArrayReader) -> tuple[str, ...] | None:
    if "class_names" not in reader:
        return None
    described = reader.describe("class_names")
    if len(described.shape) != 1 or described.shape[0] > MAX_CLASSES or described.size_bytes > MAX_NAMES_BYTES:
        raise ValueError(
            f"class_names must be at most {MAX_CLASSES:,} names and {MAX_NAMES_BYTES:,} bytes, "
            f"got {described.shape} of {described.dtype}"
        )
    return tuple(str(name) for name in reader["class_names"])


def _labels(reader: ArrayReader, name: str, images: str) -> Labels:
    described = reader.describe(name)
    shape = described.shape[:1] if len(described.shape) == 2 and described.shape[1] == 1 else described.shape
    if len(shape) != 1 or not (np.issubdtype(described.dtype, np.integer) and shape[0]):
        raise ValueError(f"{name} must be integers 0 … K−1 of shape (N,), got {described.dtype} of {described.shape}")
    if shape[0] > MAX_SAMPLES:
        raise ValueError(f"{name} must be of at most {MAX_SAMPLES:,} samples, got {shape[0]:,}")
    rows = reader.describe(images).shape[:1]
    if rows != shape:
        raise ValueError(f"{images} and labels must be equally many, got {rows[0] if rows else 0} and {shape[0]}")
    flat = reader[name].reshape(-1)
    if int(flat.min()) < 0:
        raise ValueError(f"{name} must be 0 … K−1, got {int(flat.min())}")
    if int(flat.max()) >= MAX_CLASSES:
        raise ValueError(f"{name} must be 0 … K−1 of at most {MAX_CLASSES:,} classes, got {int(flat.max())}")
    return flat.astype(np.int64)


def _held_out(labels: Labels, share: float) -> npt.NDArray[np.bool_]:
    """Return which rows are for testing: the same on every machine, and never the first of a class."""
    rank = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        rank[rows] = np.arange(len(rows))
    is_test: npt.NDArray[np.bool_] = np.floor((rank + 1) * share) > np.floor(rank * share)
    return is_test & (rank > 0)


def _require_fitting(
    reader: ArrayReader,
    train: str,
    test: str | None,
    train_labels: Labels,
    test_labels: Labels,
    names: tuple[str, ...] | None,
) -> None:
    counts = np.bincount(train_labels)
    missing = np.flatnonzero(counts == 0).tolist()
    if missing:
        raise ValueError(f"labels must be 0 … K−1 with every class in the training part; {missing[:5]} have no sample")
    if len(test_labels) and int(test_labels.max()) >= len(counts):
        raise ValueError(f"test_labels must be 0 … {len(counts) - 1} as in training, got {int(test_labels.max())}")
    if len(counts) < 2:
        raise ValueError("labels must be of at least 2 classes, got 1")
    if names is not None and len(names) != len(counts):
        raise ValueError(f"class_names must name the {len(counts)} classes, got {len(names)} names")
    if names is not None and any(len(name) > MAX_NAME_LENGTH for name in names):
        raise ValueError(f"class_names must have at most {MAX_NAME_LENGTH} characters each")
    shape = reader.describe(train).shape[1:]
    if test is not None and len(test_labels) and reader.describe(test).shape[1:] != shape:
        raise ValueError(f"test images must be {shape} as in training, got {reader.describe(test).shape[1:]}")


def _to_training_format(array: Array, name: str) -> Array:
    """Return images as uint8 (N, H, W, C) or vectors as float32 (N, d); raises ValueError for other arrays."""
    if not np.issubdtype(array.dtype, np.number) or np.iscomplexobj(array):
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    if np.issubdtype(array.dtype, np.floating):
        bad = int((~np.isfinite(array)).sum())
        if bad:
            raise ValueError(f"{name} holds {bad} values that are NaN or infinite; remove those samples")
    if array.ndim == 2:
        return np.ascontiguousarray(array, dtype=np.float32)
    array = _with_channels_last(array, name)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if np.issubdtype(array.dtype, np.floating) and low >= 0 and high <= 1:
        return np.ascontiguousarray((array * 255).round().astype(np.uint8))
    if np.issubdtype(array.dtype, np.integer) and low >= 0 and high <= 255:
        return np.ascontiguousarray(array.astype(np.uint8))
    raise ValueError(f"{name} must be 0 … 255 as integers or 0 … 1 as floats, got {low:g} … {high:g} as {array.dtype}")


def _with_channels_last(array: Array, name: str) -> Array:
    if array.ndim == 3:
        return array[..., None]
    if array.ndim == 4 and _channel_axis(array.shape, name) == 3:
        return array
    return array.transpose(0, 2, 3, 1)


def _channel_axis(shape: tuple[int, ...], name: str) -> int:
    """Return the channel axis of images, −1 if there is none; raises ValueError for other shapes."""
    if len(shape) == 3:
        return -1
    if len(shape) == 4 and shape[3] in (1, 3):
        return 3
    if len(shape) == 4 and shape[1] in (1, 3):
        return 1
    raise ValueError(
        f"{name} must be (N, H, W), (N, H, W, C) or (N, C, H, W) with 1 or 3 channels, or (N, d) vectors, got {shape}"
    )


def inspect_arrays(data: Arrays) -> OwnDataInfo:
    """Return classes, counts and shape of the arrays. Labels are read; of images only the headers."""
    path = Path(data.path).expanduser()
    files = sorted(path.glob("*.npy")) if path.is_dir() else [path]
    return _inspect_arrays(
        data, tuple((file.stat().st_mtime_ns, file.stat().st_size) for file in files if file.exists())
    )


@functools.lru_cache(maxsize=8)
def _inspect_arrays(data: Arrays, _changed: tuple[tuple[int, int], ...]) -> OwnDataInfo:
    """Read the labels once for a data set that did not change, since forms ask repeatedly."""
    with open_arrays(data) as reader:
        splits = _read_splits(data, reader)
        described = reader.describe(splits.train)
    if not np.issubdtype(described.dtype, np.number) or np.issubdtype(described.dtype, np.complexfloating):
        raise ValueError(f"train_images must be numbers, got {described.dtype}")
    shape = described.shape[1:]
    if len(shape) != 1:
        at = _channel_axis(described.shape, "train_images")
        channels = 1 if at < 0 else described.shape[at]
        shape = (channels, *(length for place, length in enumerate(shape, 1) if place != at))
    if not all(shape):
        raise ValueError(f"train_images must have pixels, got {described.shape}")
    return OwnDataInfo(
        class_names=splits.class_names,
        train_per_class=tuple(int(count) for count in np.bincount(splits.train_labels)),
        test=len(splits.test_labels),
        shape=shape,
    )


def load(data: Arrays, data_paths: DataPaths) -> LoadResult:
    """Return the arrays of both splits."""
    yield from ()
    with open_arrays(data) as reader:
        splits = _read_splits(data, reader)
        train = reader[splits.train]
        test = train if splits.is_test is not None else reader[splits.test or splits.train]
    if splits.is_test is not None:
        train, test = train[~splits.is_test], test[splits.is_test]
    return RawDataset(
        _to_training_format(train, "train_images"),
        splits.train_labels,
        _to_training_format(test, "test_images"),
        splits.test_labels,
    )
