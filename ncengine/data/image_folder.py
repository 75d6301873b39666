"""One's own images: a folder a class, or train/ and test/ (or val/) with a folder a class each.

Files are taken by suffix, in any case. Whatever Pillow reads becomes RGB or grey, upright as its EXIF says, transparent
parts white, scaled by the shorter side and cut square in the middle. A file that cannot be read is counted and named;
above 1 % of them the run stops.
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

from ncengine.config.data import FolderConfig, OwnDataInfo
from ncengine.data.paths import DataPaths, ProgressReporter
from ncengine.data.raw_dataset import ImageFiles, Labels, LoadResult, RawDataset, Samples
from ncengine.events import LogLine

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
UNREADABLE_SHARE = 0.01
MEMORY_BYTES = 4 * 2**30
"""Up to here `storage: auto` keeps a set in memory."""
NAMED = 5
MAX_PIXELS = 2**26
"""Of an image file: more are a bomb, or are to be scaled before they are trained on."""


@dataclass(frozen=True)
class Listing:
    """The files of a folder by split: paths and labels, and the classes' names."""

    class_names: tuple[str, ...]
    train: tuple[tuple[str, int], ...]
    test: tuple[tuple[str, int], ...]


def listed(data: FolderConfig) -> Listing:
    """Return the image files under `data.path`; raises ValueError where that is no folder of at least two classes."""
    root = Path(data.path).expanduser()
    if not data.path or not root.is_dir():
        raise ValueError(f"data.path must be a folder of images on this machine, got {data.path!r}")
    return _listed(root, data.test_share, _stamp(root))


def _stamp(root: Path) -> tuple[int, ...]:
    """Return when the folders of classes last changed: what is listed stays true as long as that is the same."""
    folders = [root, *sorted(root.glob("*/")), *sorted(root.glob("*/*/"))]
    return tuple(folder.stat().st_mtime_ns for folder in folders)


@functools.lru_cache(maxsize=8)
def _listed(root: Path, test_share: float, _changed: tuple[int, ...]) -> Listing:
    """List a folder once, however often a form asks: ImageNet has more than a million files."""
    if (root / "train").is_dir():
        held_out = next((root / name for name in ("test", "val") if (root / name).is_dir()), None)
        names, train = _classes(root / "train")
        if held_out is not None:
            other, test = _classes(held_out)
            if set(other) - set(names):
                lacking = ", ".join(sorted(set(other) - set(names)))
                raise ValueError(f"data.path: {held_out.name}/ has classes that train/ lacks: {lacking}")
            return Listing(names, _rows(train, names), _rows(test, names))
    else:
        names, train = _classes(root)
    kept: dict[str, list[str]] = {}
    out: dict[str, list[str]] = {}
    for name, paths in train.items():
        # By a hash of the name: the same files are held out on every machine, and a new one moves no other.
        ordered = sorted(paths, key=lambda path: hashlib.sha256(Path(path).name.encode()).digest())
        count = min(max(1, round(test_share * len(ordered))), len(ordered) - 1)
        out[name], kept[name] = sorted(ordered[:count]), sorted(ordered[count:])
    return Listing(names, _rows(kept, names), _rows(out, names))


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


def look(data: FolderConfig) -> OwnDataInfo:
    """Return what the folder holds, by names and suffixes alone."""
    listing = listed(data)
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
    """Return an image file as uint8 (side, side, 1 or 3); raises OSError or ValueError where it cannot be read."""
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
        elif image.mode.startswith(("I", "F")):  # 16 bits and more: the range of what there is becomes 0 … 255
            values = np.asarray(image, dtype=np.float64)
            low, high = values.min(), values.max()
            image = Image.fromarray(((values - low) * (255 / max(high - low, 1e-12))).round().astype(np.uint8))
        image = ImageOps.fit(image.convert("L" if grey else "RGB"), (side, side), Image.Resampling.BILINEAR)
    return np.asarray(image).reshape(side, side, 1 if grey else 3)


def read_all(
    files: ImageFiles, rows: npt.NDArray[Any]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], list[str]]:
    """Return the images of some files, which of them could be read, and why the others could not."""
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
    """Raise ValueError where more than 1 % of the files could not be read."""
    if len(reasons) > UNREADABLE_SHARE * total:
        raise ValueError(
            f"{len(reasons)} of {total} image files cannot be read, more than {UNREADABLE_SHARE:.0%}: "
            f"{_named(reasons)}; remove or replace them"
        )


def left_out(reasons: list[str], total: int) -> LogLine:
    """Return the words for files that could not be read and are few enough to go on without."""
    return LogLine(text=f"{len(reasons)} of {total} image files cannot be read and are left out: {_named(reasons)}")


def _named(reasons: list[str]) -> str:
    return ", ".join(reasons[:NAMED]) + (" …" if len(reasons) > NAMED else "")


def load(data: FolderConfig, places: DataPaths) -> LoadResult:
    """Return the images of a folder, in memory where they fit, else as files that are read each epoch."""
    listing = listed(data)
    if data.found is not None and data.found.class_names != listing.class_names:
        raise ValueError(
            f"the classes under {data.path} are no longer those of this run: {len(data.found.class_names)} then, "
            f"{len(listing.class_names)} now; launch a new run"
        )
    size = len(listing.train + listing.test) * data.image_size**2 * (1 if data.grey else 3)
    kept = data.storage == "memory" or (data.storage == "auto" and size <= MEMORY_BYTES)
    parts: list[tuple[Samples, Labels]] = []
    total = len(listing.train) + len(listing.test)
    reporter = ProgressReporter(f"reading images of {Path(data.path).name}", "images", total, places.clock)
    reasons: list[str] = []
    done = 0
    for entries in (listing.train, listing.test):
        files = ImageFiles(
            np.array([path for path, _ in entries], dtype=np.str_), data.image_size, data.grey, data.workers
        )
        labels = np.array([label for _, label in entries], dtype=np.int64)
        if not kept:
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
        yield left_out(reasons, total)
    return RawDataset(*parts[0], *parts[1])


def _in_threads(files: ImageFiles) -> Iterator[tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_], list[str]]]:
    """Read files in order, a few at a time beside each other: Pillow lets other threads run while it decodes."""
    chunks = [np.arange(start, min(start + 64, len(files))) for start in range(0, len(files), 64)]
    with ThreadPoolExecutor(max_workers=files.workers) as pool:
        yield from pool.map(lambda rows: read_all(files, rows), chunks)
