"""Readers of public data sets: MNIST, Fashion-MNIST, KMNIST, EMNIST, CIFAR, SVHN, STL-10, Tiny-ImageNet.

Addresses and checksums are those of torchvision, if it has the data set. Its readers are not used: they unpickle CIFAR,
and its downloads neither resume nor report progress. CIFAR is read from the publisher's binary version.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ncengine.data import public_datasets_config as cfg
from ncengine.data.download import RemoteFile, fetch
from ncengine.data.paths import DataPaths, ProgressReporter
from ncengine.data.raw_dataset import LoadResult, RawDataset, require_directory
from ncengine.events import DataProgressed

SYSTEM = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Folders of data sets that Linux distributions package (Debian: dataset-fashion-mnist)."""
CIFAR = {
    "cifar10": RemoteFile(
        "cifar-10-binary.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
        "c32a1d4ab5d03f1284b67883e8d87530",
    ),
    "cifar100": RemoteFile(
        "cifar-100-binary.tar.gz",
        ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
        "03b5dce01913d631647c71ecec9e9cb8",
    ),
}
TINY_IMAGENET = RemoteFile(
    "tiny-imagenet-200.zip", ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",), "90528d7ca1a48142e341f4ef8d21d0de"
)
CUT_SHORT = (EOFError, OSError, KeyError, ValueError, zlib.error, tarfile.TarError, zipfile.BadZipFile)
IDX_PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def locate(
    remote: RemoteFile, name: str, download: bool, data_paths: DataPaths
) -> Generator[DataProgressed, None, Path]:
    """Return the path of a data set's file, after downloading it if `download`; else raises FileNotFoundError."""
    folders = folders_of(name, data_paths)
    for folder in folders:
        # torchvision unpacks the idx files.
        for path in (folder / remote.name, folder / remote.name.removesuffix(".gz")):
            if path.is_file():
                return path
    if not download:
        raise FileNotFoundError(
            f"{remote.name} of the data set {name} is not on this machine (looked in "
            f"{', '.join(str(folder) for folder in folders) or 'no folder'}); set data.download=true to fetch it once, "
            "or put it there"
        )
    return (yield from fetch(remote, require_directory(data_paths.directory, name) / name, data_paths))


def folders_of(name: str, data_paths: DataPaths) -> list[Path]:
    """Return the folders that are searched for a data set's files."""
    return [folder for folder in (data_paths.directory and data_paths.directory / name, SYSTEM.get(name)) if folder]


def read_idx(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    """Return the array of an idx file (LeCun's format): two zero bytes, type 8, the number of axes, sizes, bytes."""
    if content[:2] == b"\x1f\x8b":
        content = gzip.decompress(content)
    if len(content) < 4 or content[:3] != b"\x00\x00\x08" or not 1 <= content[3] <= 4:
        raise ValueError(f"{name} is not an idx file of bytes; fetch it again")
    axes = content[3]
    start = 4 + 4 * axes
    shape = tuple(int.from_bytes(content[4 + 4 * i : 8 + 4 * i], "big") for i in range(axes))
    if len(content) - start != np.prod(shape, dtype=np.int64):
        raise ValueError(
            f"{name} is cut short: {np.prod(shape):,} bytes expected for {shape}, got {len(content) - start:,}; "
            "fetch it again"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def load_idx(data: cfg.IdxConfig, data_paths: DataPaths) -> LoadResult:
    """MNIST, Fashion-MNIST and KMNIST: four gzipped idx files."""
    from torchvision import datasets

    known = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST, "kmnist": datasets.KMNIST}[data.name]
    arrays = []
    for (name, md5), part in zip(known.resources, IDX_PARTS, strict=True):
        remote = RemoteFile(f"{part}-ubyte.gz", tuple(f"{mirror}{name}" for mirror in known.mirrors), md5)
        path = yield from locate(remote, data.name, data.download, data_paths)
        with _explain_damage(path):
            arrays.append(read_idx(path.read_bytes(), str(path)))
    return RawDataset(arrays[0], arrays[1].astype(np.int64), arrays[2], arrays[3].astype(np.int64))


def load_emnist(data: cfg.Emnist, data_paths: DataPaths) -> LoadResult:
    """EMNIST: one zip of gzipped idx files, images transposed, letters counted from one."""
    from torchvision import datasets

    remote = RemoteFile("gzip.zip", (datasets.EMNIST.url,), datasets.EMNIST.md5)
    path = yield from locate(remote, data.name, data.download, data_paths)
    arrays = []
    with _explain_damage(path), zipfile.ZipFile(path) as archive:
        for part in ("train-images-idx3", "train-labels-idx1", "test-images-idx3", "test-labels-idx1"):
            name = f"gzip/emnist-{data.part}-{part}-ubyte.gz"
            arrays.append(read_idx(archive.read(name), name))
    first = 1 if data.part == "letters" else 0
    labels = [arrays[index].astype(np.int64) - first for index in (1, 3)]
    return RawDataset(arrays[0].swapaxes(1, 2), labels[0], arrays[2].swapaxes(1, 2), labels[1])


def load_cifar(data: cfg.CifarConfig, data_paths: DataPaths) -> LoadResult:
    """CIFAR: records of one label byte (two for CIFAR-100, of which the second is the fine one) and 3×32×32 bytes."""
    path = yield from locate(CIFAR[data.name], data.name, data.download, data_paths)
    label_bytes = 1 if data.name == "cifar10" else 2
    parts: dict[str, list[npt.NDArray[np.uint8]]] = {"train": [], "test": []}
    with _explain_damage(path), tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda member: member.name):
            stem = Path(member.name).name
            if not stem.endswith(".bin"):
                continue
            stream = archive.extractfile(member)
            records = np.frombuffer(stream.read() if stream else b"", dtype=np.uint8).reshape(-1, label_bytes + 3072)
            parts["test" if stem.startswith("test") else "train"].append(records)
    if not parts["train"] or not parts["test"]:
        raise ValueError(f"{path} holds no CIFAR batches; fetch it again")
    splits = [np.concatenate(parts[split]) for split in ("train", "test")]
    images = [records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1) for records in splits]
    labels = [records[:, label_bytes - 1].astype(np.int64) for records in splits]
    return RawDataset(images[0], labels[0], images[1], labels[1])


def load_svhn(data: cfg.Svhn, data_paths: DataPaths) -> LoadResult:
    """SVHN: MATLAB files with X (32, 32, 3, N) and y, in which ten stands for zero."""
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError
    from torchvision import datasets

    found: list[npt.NDArray[Any]] = []
    for split in ("train", "test"):
        url, name, md5 = datasets.SVHN.split_list[split]
        path = yield from locate(RemoteFile(name, (url,), md5), data.name, data.download, data_paths)
        with _explain_damage(path, MatReadError, TypeError):
            matrices = loadmat(path)
        found += [matrices["X"].transpose(3, 0, 1, 2), matrices["y"].ravel().astype(np.int64) % 10]
    return RawDataset(*found)


def load_stl10(data: cfg.Stl10, data_paths: DataPaths) -> LoadResult:
    """STL-10: one archive of bytes, images (3, 96, 96) column by column, labels counted from one."""
    from torchvision import datasets

    remote = RemoteFile(datasets.STL10.filename, (datasets.STL10.url,), datasets.STL10.tgz_md5)
    path = yield from locate(remote, data.name, data.download, data_paths)
    wanted = {f"{split}_{kind}.bin" for split in ("train", "test") for kind in "Xy"}
    held: dict[str, npt.NDArray[np.uint8]] = {}
    reporter = ProgressReporter("reading STL-10", "files", len(wanted), data_paths.clock)
    with _explain_damage(path), tarfile.open(path, "r|gz") as archive:
        for member in archive:  # in the order of the archive, which is decompressed once
            name = Path(member.name).name
            stream = archive.extractfile(member) if name in wanted else None
            if stream is not None:
                held[name] = np.frombuffer(stream.read(), dtype=np.uint8)
                yield from reporter.at(len(held))
            if len(held) == len(wanted):
                break
    if len(held) < len(wanted):
        raise ValueError(f"{path} lacks {', '.join(sorted(wanted - set(held)))}; fetch it again")
    found: list[npt.NDArray[Any]] = []
    for split in ("train", "test"):
        found.append(held[f"{split}_X.bin"].reshape(-1, 3, 96, 96).transpose(0, 3, 2, 1))
        found.append(held[f"{split}_y.bin"].astype(np.int64) - 1)
    return RawDataset(*found)


def load_tiny_imagenet(data: cfg.TinyImageNet, data_paths: DataPaths) -> LoadResult:
    """Tiny-ImageNet: JPEG files in a zip, decoded once into a file beside it."""
    from PIL import Image

    path = yield from locate(TINY_IMAGENET, data.name, data.download, data_paths)
    decoded = path.with_name("tiny-imagenet-200-decoded.npz")
    if decoded.exists():
        with np.load(decoded, allow_pickle=False) as kept:
            return RawDataset(kept["train"], kept["train_labels"], kept["test"], kept["test_labels"])
    with _explain_damage(path), zipfile.ZipFile(path) as archive:
        root = "tiny-imagenet-200"
        labels = {wnid: label for label, wnid in enumerate(archive.read(f"{root}/wnids.txt").decode().split())}
        rows = [line.split("\t") for line in archive.read(f"{root}/val/val_annotations.txt").decode().splitlines()]
        members = {
            "train": [
                (name, labels[name.split("/")[2]])
                for name in sorted(archive.namelist())
                if name.startswith(f"{root}/train/") and name.endswith(".JPEG")
            ],
            "test": [(f"{root}/val/images/{row[0]}", labels[row[1]]) for row in rows],
        }
        reporter = ProgressReporter(
            "decoding Tiny-ImageNet", "images", sum(map(len, members.values())), data_paths.clock
        )
        arrays: dict[str, npt.NDArray[Any]] = {}
        done = 0
        for split, files in members.items():
            arrays[split] = np.empty((len(files), 64, 64, 3), dtype=np.uint8)
            arrays[f"{split}_labels"] = np.array([label for _, label in files], dtype=np.int64)
            for row, (name, _) in enumerate(files):
                arrays[split][row] = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
                done += 1
                yield from reporter.at(done)
    aside = decoded.with_name(f"{decoded.name}.partial")
    with aside.open("wb") as stream:
        train, test = (arrays["train"], arrays["train_labels"]), (arrays["test"], arrays["test_labels"])
        np.savez(stream, train=train[0], train_labels=train[1], test=test[0], test_labels=test[1])
    aside.replace(decoded)
    return RawDataset(*train, *test)


@contextlib.contextmanager
def _explain_damage(path: Path, *others: type[Exception]) -> Iterator[None]:
    """Raise a ValueError with the file and a remedy for the errors that damaged or truncated files cause."""
    expected: tuple[type[Exception], ...] = CUT_SHORT + others
    try:
        yield
    except expected as error:
        raise ValueError(f"{path} is damaged or cut short ({error}); remove it and fetch it again") from error
