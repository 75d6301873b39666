"""Own images: one folder for each class, or train/ and test/ (or val/) with one folder for each class.

Files are selected by suffix, ignoring case. Images become RGB or grey, rotated by their EXIF orientation, with
transparent parts white, scaled by the shorter side and cropped to a square. Files that cannot be read are reported; the
run fails if they are more than 1 %.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine.data.own_files_config import FolderConfig
from ncengine.data.paths import DataPaths, ProgressReporter
from ncengine.data.raw_dataset import ImageFiles, Labels, LoadResult, RawDataset, Samples
from ncengine.data.registry import OwnDataInfo
from ncengine.events import LogLine

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
UNREADABLE_SHARE = 0.01
MEMORY_BYTES = 4 * 2**30
"""Largest data set that `storage: auto` holds in memory."""
MAX_NAMED_FILES = 5
MAX_PIXELS = 2**26
"""Largest image file; larger ones are decompression bombs, or should be scaled beforehand."""


@dataclass(frozen=True)
class ImageListing:
    """The image files of a folder by split, with their labels, and the names of the classes."""

    class_names: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]


def list_images(data: FolderConfig) -> ImageListing:
    """Return the image files under `data.path`; raises ValueError if it is not a folder of at least two classes."""
    root = Path(data.path).expanduser()
    if not data.path or not root.is_dir():
        raise ValueError(f"data.path must be a folder of images on this machine, got {data.path!r}")
    return _list_images(root, data.test_share, _modification_times(root))


def _modification_times(root: Path) -> tuple[int, ...]:
    """Return when the folders of classes last changed; a listing is valid as long as these are the same."""
    folders = [root, *sorted(root.glob("*/")), *sorted(root.glob("*/*/"))]
    return tuple(folder.stat().st_mtime_ns for folder in folders)


@functools.lru_cache(maxsize=8)
def _list_images(root: Path, test_share: float, _changed: tuple[int, ...]) -> ImageListing:
    """List a folder that did not change only once: ImageNet has more than a million files, and forms ask repeatedly."""
    if (root / "train").is_dir():
        held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
        names, train = _classes(root / "train")
        if held_out is not None:
            other, test = _classes(held_out)
            if set(other) - set(names):
                lacking = ", ".join(sorted(set(other) - set(names)))
                raise ValueError(f"data.path: {held_out.name}/ has classes that train/ lacks: {lacking}")
            return ImageListing(names, _rows(train, names), _rows(test, names))
    else:
        names, train = _classes(root)
    train_paths: dict[str, list[str]] = {}
    test_paths: dict[str, list[str]] = {}
    for name, paths in train.items():
        # By a hash of the name: every machine holds out the same files, and a new file does not change the others.
        ordered = sorted(paths, key=lambda path: hashlib.sha256(Path(path).name.encode()).digest())
        count = min(max(1, round(test_share * len(ordered))), len(ordered) - 1)
        test_paths[name], train_paths[name] = sorted(ordered[:count]), sorted(ordered[count:])
    return ImageListing(names, _rows(train_paths, names), _rows(test_paths, names))


def _classes(root: Path) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for folder in sorted(root.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            paths = sorted(
                str(Path(where, name))
                for where, _, names in os.walk(folder)
                for name in names
                if Path(name).suffix.lower() in SUFFIXES
            )
            if paths:
                found[folder.name] = paths
    if len(found) < 2:
        raise ValueError(
            f"data.path must hold at least 2 folders with images, one a class; {root} has {len(found)}"
            f"{' (' + next(iter(found)) + ')' if found else ''}; images end in {', '.join(sorted(SUFFIXES))}"
        )
    return tuple(found), found


def _rows(paths: dict[str, list[str]], names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    return tuple((path, names.index(name)) for name in names for path in paths.get(name, []))


def inspect_folder(data: FolderConfig) -> OwnDataInfo:
    """Return classes, counts and shape of a folder, from file names only."""
    listing = list_images(data)
    counts = np.bincount([label for _, label in listing.train], minlength=len(listing.class_names))
    empty = [name for name, count in zip(listing.class_names, counts, strict=True) if not count]
    if empty:
        raise ValueError(f"data.path: every class needs a training image, {', '.join(empty)} has none")
    return OwnDataInfo(
        class_names=listing.class_names,
        train_per_class=tuple(int(count) for count in counts),
        test=len(listing.test),
        shape=(1 if data.grey else 3, data.image_size, data.image_size),
    )


def read_image(path: str, side: int, grey: bool) -> npt.NDArray[np.uint8]:
    """Return an image file as uint8 (side, side, 1 or 3); raises OSError or ValueError if it cannot be read."""
    from PIL import Image, ImageOps

    try:
        source = Image.open(path)
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error
    with source as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"it has {opened.width} × {opened.height} pixels, and may have {MAX_PIXELS:,} in all")
        image = ImageOps.exif_transpose(opened)
        if image.mode in ("P", "PA", "LA", "RGBA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        elif image.mode.startswith(("I", "F")):  # 16 bits and more: the range of the values becomes 0 … 255
            values = np.asarray(image, dtype=np.float64)
            low, high = values.min(), values.max()
            image = Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).round().astype(np.uint8))
        image = ImageOps.fit(image.convert("L" if grey else "RGB"), (side, side), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(side, side, 1 if grey else 3)


def read_images(
    files: ImageFiles, rows: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], list[str]]:
    """Return the images of some files, which of them could be read, and the errors of the others."""
    channels = 1 if files.grey else 3
    images = np.zeros((len(rows), files.side, files.side, channels), dtype=np.uint8)
    readable = np.ones(len(rows), dtype=bool)
    reasons = []
    for position, row in enumerate(rows):
        try:
            images[position] = read_image(str(files.paths[row]), files.side, files.grey)
        except (OSError, ValueError, SyntaxError, MemoryError) as error:  # what Pillow raises for damaged files
            readable[position] = False
            reasons.append(f"{files.paths[row]} ({str(error).splitlines()[0][:100] or type(error).__name__})")
    return images, readable, reasons


def require_readable(reasons: list[str], total: int) -> None:
    """Raise ValueError if more than 1 % of the files could not be read."""
    if len(reasons) > UNREADABLE_SHARE * total:
        raise ValueError(
            f"{len(reasons)} of {total} image files cannot be read, more than {UNREADABLE_SHARE:.0%}: "
            f"{_format_reasons(reasons)}; remove or replace them"
        )


def unreadable_log_line(reasons: list[str], total: int) -> LogLine:
    """Return the log line for files that could not be read and are left out."""
    return LogLine(
        text=f"{len(reasons)} of {total} image files cannot be read and are left out: {_format_reasons(reasons)}"
    )


def _format_reasons(reasons: list[str]) -> str:
    return ", ".join(reasons[:MAX_NAMED_FILES]) + (" …" if len(reasons) > MAX_NAMED_FILES else "")


def load(data: FolderConfig, data_paths: DataPaths) -> LoadResult:
    """Return the images of a folder: in memory if they fit, otherwise as files that are read in each epoch."""
    listing = list_images(data)
    if data.found is not None and data.found.class_names != listing.class_names:
        raise ValueError(
            f"the classes under {data.path} are no longer those of this run: {len(data.found.class_names)} then, "
            f"{len(listing.class_names)} now; launch a new run"
        )
    size = len(listing.train + listing.test) * data.image_size**2 * (1 if data.grey else 3)
    in_memory = data.storage == "memory" or (data.storage == "auto" and size <= MEMORY_BYTES)
    parts: list[tuple[Samples, Labels]] = []
    total = len(listing.train) + len(listing.test)
    reporter = ProgressReporter(f"reading images of {Path(data.path).name}", "images", total, data_paths.clock)
    reasons: list[str] = []
    done = 0
    for entries in (listing.train, listing.test):
        files = ImageFiles(
            np.array([path for path, _ in entries], dtype=np.str_), data.image_size, data.grey, data.workers
        )
        labels = np.array([label for _, label in entries], dtype=np.int64)
        if not in_memory:
            parts.append((files, labels))
            continue
        images, readable = [], []
        for found, good, why in _in_threads(files):
            images.append(found)
            readable.append(good)
            reasons += why
            done += len(found)
            yield from reporter.at(done)
        rows = np.concatenate(readable) if readable else np.zeros(0, dtype=bool)
        parts.append((np.concatenate(images)[rows] if images else np.zeros((0, 1, 1, 1), np.uint8), labels[rows]))
    require_readable(reasons, total)
    if reasons:
        yield unreadable_log_line(reasons, total)
    return RawDataset(*parts[0], *parts[1])


def _in_threads(files: ImageFiles) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], list[str]]]:
    """Read files in order with several threads: Pillow releases the interpreter lock while it decodes."""
    chunks = [np.arange(start, min(start + 64, len(files))) for start in range(0, len(files), 64)]
    with ThreadPoolExecutor(max_workers=files.workers) as pool:
        yield from pool.map(lambda rows: read_images(files, rows), chunks)
