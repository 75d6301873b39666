"""Data of every kind: published files through a local mirror, own images and arrays, what is drawn, what is chosen.

The published sets are small files in the publishers' own formats, made here; all of Fashion-MNIST is read where the
Debian package of it is installed.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import tarfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import save_file
from scipy.io import savemat
from sklearn.datasets import load_digits
from torchvision import datasets

import ncengine as nc
from ncengine.backbones.small_networks import CnnSmall, Mlp
from ncengine.config import RunConfig
from ncengine.data import image_folder, public_datasets, resolve_config
from ncengine.data.download import RemoteFile, fetch
from ncengine.data.embedded import Digits
from ncengine.data.generated import Synthetic
from ncengine.data.imbalance import class_counts
from ncengine.data.loader import draw_rows, load, noisy_labels
from ncengine.data.own_files_config import Arrays, ImageFolder
from ncengine.data.paths import DataPaths
from ncengine.data.public_datasets import SYSTEM
from ncengine.data.public_datasets_config import (
    Cifar10,
    Cifar100,
    Emnist,
    FashionMnist,
    Kmnist,
    Mnist,
    Stl10,
    Svhn,
    TinyImageNet,
)
from ncengine.data.registry import DATASETS, DownloadedConfig
from ncengine.heads.linear_config import LinearHeadConfig

CPU = torch.device("cpu")


def drained(generator):
    """Return what a generator said on the way, and what it returned."""
    said = []
    while True:
        try:
            said.append(next(generator))
        except StopIteration as end:
            return said, end.value


def loaded(config, data_paths=None):
    return drained(load(resolve_config(config), CPU, data_paths or DataPaths()))


# a mirror: real HTTP on loopback, with ranges, and with connections that break


class Mirror:
    """Serves a folder; `breaks_after` ends each answer after so many bytes, `asked` counts requests."""

    def __init__(self, folder: Path) -> None:
        mirror = self
        self.folder, self.breaks_after, self.asked, self.ranges = folder, None, 0, True

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                mirror.asked += 1
                path = mirror.folder / self.path.lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                content, first = path.read_bytes(), 0
                if mirror.ranges and (wanted := self.headers.get("Range")):
                    first = int(wanted.removeprefix("bytes=").rstrip("-"))
                    if first >= len(content):
                        self.send_error(416)
                        return
                self.send_response(206 if first else 200)
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                end = len(content) if mirror.breaks_after is None else first + mirror.breaks_after
                self.wfile.write(content[first:end])

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = False  # closing waits for answers under way
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    folder.mkdir()
    serving = Mirror(folder)
    yield serving
    serving.close()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


def tar(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def jpeg(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "JPEG", quality=95)
    return stream.getvalue()


GENERATOR = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def every_class(classes: int, each: int = 2) -> np.ndarray:
    return np.tile(np.arange(classes), each)


def idx_files(classes=10):
    train, test = every_class(classes), every_class(classes, 1)
    images = pixels(len(train), 28, 28), pixels(len(test), 28, 28)
    parts = [idx(images[0]), idx(train), idx(images[1]), idx(test)]
    return (
        {f"{name}-ubyte.gz": part for name, part in zip(public_datasets.IDX_PARTS, parts, strict=True)},
        images[0],
        train,
    )


def cifar_files(data):
    classes, labels_first = (10, 1) if isinstance(data, Cifar10) else (100, 2)
    labels = every_class(classes)
    images = pixels(len(labels), 3, 32, 32)
    coarse = np.zeros((len(labels), labels_first - 1), np.uint8)
    records = np.concatenate([coarse, labels[:, None].astype(np.uint8), images.reshape(len(labels), -1)], axis=1)
    half = len(records) // 2
    if classes == 10:
        files = {f"c/data_batch_{i}.bin": part.tobytes() for i, part in ((1, records[:half]), (2, records[half:]))}
        files["c/test_batch.bin"] = records[:classes].tobytes()
    else:
        files = {"c/train.bin": records.tobytes(), "c/test.bin": records[:classes].tobytes()}
    files["c/readme.txt"] = b"not data"
    return {public_datasets.CIFAR[data.name].name: tar(files)}, images.transpose(0, 2, 3, 1), labels


def svhn_files():
    labels, files = every_class(10), {}
    images = pixels(len(labels), 32, 32, 3)
    for split in ("train", "test"):
        stream = io.BytesIO()
        savemat(stream, {"X": images.transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]})
        files[f"{split}_32x32.mat"] = stream.getvalue()
    return files, images, labels


def stl_files():
    labels = every_class(10, 1)
    images = pixels(10, 96, 96, 3)
    stored = images.transpose(0, 3, 2, 1).tobytes()
    files = {
        f"s/{split}_{kind}.bin": content
        for split in ("test", "train")
        for kind, content in (("X", stored), ("y", (labels + 1).astype(np.uint8).tobytes()))
    }
    return {datasets.STL10.filename: tar({**files, "s/unlabeled_X.bin": bytes(1000)})}, images, labels


def emnist_files():
    labels, files = every_class(26), {}
    images = pixels(len(labels), 28, 28)
    for split in ("train", "test"):
        files[f"gzip/emnist-letters-{split}-images-idx3-ubyte.gz"] = idx(images.swapaxes(1, 2))
        files[f"gzip/emnist-letters-{split}-labels-idx1-ubyte.gz"] = idx(labels + 1)
    return {"gzip.zip": zipped(files)}, images, labels


def tiny_files():
    labels = every_class(200, 1)
    wnids = [f"n{label:08d}" for label in range(200)]
    images = np.broadcast_to(pixels(200, 1, 1, 3), (200, 64, 64, 3)).copy()
    files = {"tiny-imagenet-200/wnids.txt": "\n".join(wnids).encode()}
    for label in labels:
        files[f"tiny-imagenet-200/train/{wnids[label]}/images/{wnids[label]}_0.JPEG"] = jpeg(images[label])
        files[f"tiny-imagenet-200/val/images/val_{label}.JPEG"] = jpeg(images[label])
    rows = "\n".join(f"val_{label}.JPEG\t{wnids[label]}\t0\t0\t1\t1" for label in labels)
    files["tiny-imagenet-200/val/val_annotations.txt"] = rows.encode()
    return {public_datasets.TINY_IMAGENET.name: zipped(files)}, images, labels


PUBLISHED = {
    "mnist": (Mnist, idx_files),
    "fashion-mnist": (FashionMnist, idx_files),
    "kmnist": (Kmnist, idx_files),
    "cifar10": (Cifar10, lambda: cifar_files(Cifar10())),
    "cifar100": (Cifar100, lambda: cifar_files(Cifar100())),
    "svhn": (Svhn, svhn_files),
    "stl10": (Stl10, stl_files),
    "emnist": (functools.partial(Emnist, part="letters"), emnist_files),
    "tiny-imagenet": (TinyImageNet, tiny_files),
}


def test_every_published_set_is_tested():
    assert set(PUBLISHED) == {name for name, data in DATASETS.items() if issubclass(data, DownloadedConfig)}


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_a_published_set_is_fetched_once_checked_and_read(name, mirror, tmp_path, monkeypatch):
    make, files = PUBLISHED[name]
    content, images, labels = files()
    for file, body in content.items():
        (mirror.folder / file).write_bytes(body)
    monkeypatch.setattr(public_datasets, "SYSTEM", {})
    monkeypatch.setattr(
        public_datasets,
        "RemoteFile",
        lambda name, urls, _md5: RemoteFile(name, urls, md5(content[name])),
    )
    for key in public_datasets.CIFAR:
        held = public_datasets.CIFAR[key]
        if held.name in content:
            monkeypatch.setitem(public_datasets.CIFAR, key, public_datasets.RemoteFile(held.name, held.urls, ""))
    if name == "tiny-imagenet":
        monkeypatch.setattr(
            public_datasets, "TINY_IMAGENET", public_datasets.RemoteFile(public_datasets.TINY_IMAGENET.name, (), "")
        )
    data_paths = DataPaths(directory=tmp_path / "datasets", mirror=mirror.url)
    with pytest.raises(FileNotFoundError, match=r"set data\.download=true"):
        drained(make().load(0, data_paths))
    assert mirror.asked == 0, "nothing is asked of anybody unless the user said so"
    said, raw = drained(make(download=True).load(0, data_paths))
    assert mirror.asked == len(content)
    assert {event.unit for event in said} >= {"bytes"}
    assert said[0].what.startswith("downloading ")
    np.testing.assert_array_equal(raw.train_labels, labels)
    # JPEG keeps a plain colour up to a few levels.
    np.testing.assert_allclose(raw.train.astype(int), images.astype(int), atol=4 if name == "tiny-imagenet" else 0)
    drained(make().load(0, data_paths))
    assert mirror.asked == len(content), "what is here is not fetched again"
    if name == "tiny-imagenet":
        assert (data_paths.directory / name / "tiny-imagenet-200-decoded.npz").exists()


def test_a_broken_download_goes_on_where_it_ended(mirror, tmp_path):
    content = pixels(1_000_000).tobytes()
    (mirror.folder / "big").write_bytes(content)
    remote = RemoteFile("big", (f"{mirror.url}/big",), md5(content))
    mirror.breaks_after = 200_000
    with pytest.raises(OSError, match=r"800,000 bytes are kept"):
        drained(fetch(remote, tmp_path / "here", DataPaths()))
    assert (tmp_path / "here" / "big.partial").stat().st_size == 800_000
    mirror.breaks_after = None
    said, path = drained(fetch(remote, tmp_path / "here", DataPaths()))
    assert path.read_bytes() == content
    assert said[0].done > 800_000, "it was not begun anew"
    assert not (tmp_path / "here" / "big.partial").exists()


def test_a_server_without_ranges_sends_it_from_the_start(mirror, tmp_path):
    content = pixels(50_000).tobytes()
    (mirror.folder / "file").write_bytes(content)
    (tmp_path / "file.partial").write_bytes(content[:1000])
    mirror.ranges = False
    remote = RemoteFile("file", (f"{mirror.url}/file",), md5(content))
    _, path = drained(fetch(remote, tmp_path, DataPaths()))
    assert path.read_bytes() == content


def test_a_wrong_file_is_refused_and_removed(mirror, tmp_path):
    (mirror.folder / "file").write_bytes(b"something else")
    with pytest.raises(ValueError, match=r"MD5 .* expected, got .*; it was removed"):
        drained(fetch(RemoteFile("file", (f"{mirror.url}/file",), "0" * 32), tmp_path, DataPaths()))
    assert list(tmp_path.glob("file*")) == []
    with pytest.raises(OSError, match="could not be fetched"):
        drained(fetch(RemoteFile("missing", (f"{mirror.url}/missing",), "0" * 32), tmp_path, DataPaths()))
    assert mirror.asked == 2, "what is not there is not asked for again and again"
    with pytest.raises(ValueError, match="https or http"):
        drained(fetch(RemoteFile("file", ("file:///etc/passwd",), "0" * 32), tmp_path, DataPaths()))


def test_progress_comes_with_an_estimate(mirror, tmp_path):
    content = pixels(3_000_000).tobytes()
    (mirror.folder / "file").write_bytes(content)
    ticks = iter(range(10_000))
    data_paths = DataPaths(clock=lambda: float(next(ticks)))
    remote = RemoteFile("file", (f"{mirror.url}/file",), md5(content))
    said, _ = drained(fetch(remote, tmp_path, data_paths))
    assert said[-1].done == said[-1].total == 3_000_000
    assert said[-1].remaining_s == 0
    assert said[1].remaining_s > said[-2].remaining_s > 0


@pytest.mark.parametrize("damage", ["cut short", "another format"])
def test_a_damaged_file_says_so(damage, tmp_path):
    files, _, _ = idx_files()
    folder = tmp_path / "mnist"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    target = folder / "train-images-idx3-ubyte.gz"
    target.write_bytes(target.read_bytes()[:-200] if damage == "cut short" else gzip.compress(b"\x89PNG" * 100))
    with pytest.raises(ValueError, match=r"train-images.*(fetch it again)"):
        drained(Mnist().load(0, DataPaths(directory=tmp_path)))


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_every_file_that_is_cut_short_says_so(name, tmp_path, monkeypatch):
    """Files that somebody put there by hand have no checksum to fail; reading them does."""
    make, files = PUBLISHED[name]
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setattr(public_datasets, "SYSTEM", {})
    for file, content in files()[0].items():
        (folder / file).write_bytes(content)
    for share in (0.2, 0.6, 0.95):
        for file in sorted(folder.iterdir()):
            whole = file.read_bytes()
            file.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(ValueError, match=rf"{file.name} is damaged or cut short .*fetch it again"):
                drained(make().load(0, DataPaths(directory=tmp_path)))
            file.write_bytes(whole)
    drained(make().load(0, DataPaths(directory=tmp_path)))


@pytest.mark.skipif(not SYSTEM["fashion-mnist"].is_dir(), reason="Debian's dataset-fashion-mnist is not installed")
def test_all_of_fashion_mnist_as_debian_ships_it():
    config = RunConfig(data=FashionMnist())
    _, (train, test) = loaded(config)
    assert (len(train), len(test)) == (60_000, 10_000)
    assert torch.bincount(train.labels).tolist() == list(config.dataset_info.train_per_class)
    mean = train.source.samples.double().mean() / 255
    assert float(mean) == pytest.approx(config.dataset_info.mean[0], abs=1e-3)


# one's own images


@pytest.fixture
def pictures(tmp_path):
    """Two classes of ten images each, of every kind that a folder may hold."""
    root = tmp_path / "pictures"
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
        for number in range(8):
            Image.fromarray(pixels(20 + number, 30, 3)).save(root / name / f"{number}.png")
        Image.fromarray(pixels(25, 25)).save(root / name / "GREY.JPG")
        Image.fromarray(pixels(40, 25, 3)).convert("P").save(root / name / "palette.gif")
        (root / name / "notes.txt").write_text("no image")
        (root / name / ".hidden").mkdir()
    return root


def folder_config(root, **data):
    return RunConfig(
        data=ImageFolder(path=str(root), image_size=16, **data), backbone=CnnSmall(features=4), batch_size=4, epochs=1
    )


def test_a_folder_of_images_is_looked_at_and_read(pictures):
    config = resolve_config(folder_config(pictures))
    assert config.class_names == ("cats", "dogs")
    assert config.dataset_info.shape == (3, 16, 16)
    assert config.train_per_class == (8, 8)
    assert config.dataset_info.test == 4
    said, (train, test) = loaded(config)
    assert said[-1].unit == "images"
    assert said[-1].done == said[-1].total == 20
    assert train.source.samples.shape == (16, 16, 16, 3)
    assert len(test) == 4
    again = resolve_config(folder_config(pictures))
    assert again == config, "the same files are held out each time"


def test_parts_of_their_own_are_taken_as_they_are(pictures, tmp_path):
    root = tmp_path / "split"
    root.mkdir()
    for part in ("train", "val"):
        (root / part).symlink_to(pictures, target_is_directory=True)
    config = resolve_config(folder_config(root))
    assert config.train_per_class == (10, 10)
    assert config.dataset_info.test == 20


def test_images_become_upright_square_and_opaque(tmp_path):
    from ncengine.data.image_folder import read_image

    array = np.zeros((8, 16, 3), np.uint8)
    array[:, :8] = (255, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    Image.fromarray(array).save(tmp_path / "turned.png", exif=exif)
    turned = read_image(str(tmp_path / "turned.png"), 8, grey=False)
    assert turned.shape == (8, 8, 3)
    assert turned[0, :, 0].min() > 200, "red is above"
    assert turned[-1].max() < 50
    clear = np.zeros((8, 8, 4), np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    assert read_image(str(tmp_path / "clear.png"), 8, grey=False).min() == 255
    Image.fromarray(np.linspace(0, 60_000, 64, dtype=np.uint16).reshape(8, 8)).save(tmp_path / "deep.png")
    deep = read_image(str(tmp_path / "deep.png"), 8, grey=True)
    assert deep.shape == (8, 8, 1)
    assert (deep.min(), deep.max()) == (0, 255)


def test_a_few_unreadable_files_are_named_and_left_out(tmp_path):
    root = tmp_path / "many"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(60):
            Image.fromarray(pixels(6, 6, 3)).save(root / name / f"{number}.bmp")
    (root / "a" / "broken.JPEG").write_bytes(b"no image at all")
    said, (train, test) = loaded(folder_config(root))
    assert len(train) + len(test) == 120
    assert "broken.JPEG" in said[-1].text
    assert said[-1].text.startswith("1 of 121 image files cannot be read")
    for number in range(3):
        (root / "b" / f"worse{number}.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"4 of 124 image files cannot be read, more than 1%.*broken"):
        loaded(folder_config(root))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root / "nowhere", "must be a folder of images"),
        (lambda root: root / "cats", "at least 2 folders with images"),
        (lambda root: root / "cats" / "0.png", "must be a folder of images"),
    ],
)
def test_what_is_no_folder_of_classes_says_so(pictures, make, message):
    with pytest.raises(ValueError, match=message):
        resolve_config(folder_config(make(pictures)))


def test_a_folder_with_one_class_says_which(tmp_path, pictures):
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "cats").symlink_to(pictures / "cats", target_is_directory=True)
    with pytest.raises(ValueError, match=r"has 1 \(cats\)"):
        resolve_config(folder_config(tmp_path / "one"))


def test_a_folder_that_has_changed_since_is_noticed(pictures):
    config = resolve_config(folder_config(pictures))
    (pictures / "birds").mkdir()
    Image.fromarray(pixels(8, 8, 3)).save(pictures / "birds" / "1.png")
    with pytest.raises(ValueError, match="no longer those of this run: 2 then, 3 now"):
        drained(load(config, CPU, DataPaths()))


@pytest.mark.parametrize("grey", [False, True])
def test_reading_by_processes_gives_the_batches_of_memory(pictures, grey):
    """The same samples, crops and flips whether images are kept or read again, by one process or two."""
    found = []
    for settings in ({"storage": "memory"}, {"storage": "workers", "workers": 1}, {"storage": "workers", "workers": 2}):
        config = resolve_config(folder_config(pictures, crop_padding=2, flip=True, grey=grey, **settings))
        _, (train, _) = loaded(config)
        order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
        batches = list(train.training(order, 4, seed=1, epoch=1, first=1, steps=4))
        found.append((torch.cat([b for b, _ in batches]), torch.cat([y for _, y in batches])))
    for other in found[1:]:
        torch.testing.assert_close(other[0], found[0][0], atol=0, rtol=0)
        assert torch.equal(other[1], found[0][1])


def test_a_file_that_breaks_while_training_is_left_out_of_its_batch(pictures):
    config = resolve_config(folder_config(pictures, storage="workers", workers=1))
    _, (train, _) = loaded(config)
    Path(str(train.source._files.paths[0])).write_bytes(b"gone")
    with pytest.raises(ValueError, match="1 of 16 image files cannot be read"):
        list(train.evaluation(train.all_rows(), 4))


def test_images_that_cannot_be_read_leave_no_short_step(tmp_path):
    """Steps are whole batches of what could be read, not of what was found."""
    root = tmp_path / "many"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(128):
            Image.fromarray(pixels(6, 6, 3)).save(root / name / f"{number}.bmp")
    found = resolve_config(folder_config(root))
    listed = [path for path, _ in image_folder.list_images(found.data).train]
    for path in listed[:2]:
        Path(path).write_bytes(b"no image")
    config = RunConfig.model_validate(found.model_dump() | {"batch_size": found.train_size, "device": "cpu"})
    halves = RunConfig.model_validate(config.model_dump() | {"batch_size": found.train_size // 2})
    assert next(event for event in nc.run(halves) if event.type == "RunStarted").steps_per_epoch == 1
    assert list(nc.run(config))[-1].type == "RunFinished"


def test_files_that_break_while_training_are_named_once(tmp_path):
    root = tmp_path / "many"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(128):
            Image.fromarray(pixels(6, 6, 3)).save(root / name / f"{number}.bmp")
    config = resolve_config(folder_config(root, storage="workers", workers=1))
    broken = Path(image_folder.list_images(config.data).train[3][0])
    broken.write_bytes(b"no image")
    config = RunConfig.model_validate(config.model_dump() | {"batch_size": 32, "epochs": 2, "device": "cpu"})
    said = [event.text for event in nc.run(config) if event.type == "LogLine"]
    assert len(said) == 1
    assert said[0].startswith("1 of 204 image files cannot be read and are left out: ")
    assert str(broken) in said[0]


def test_reading_by_processes_leaves_torchs_random_state_alone(pictures):
    _, (train, _) = loaded(folder_config(pictures, storage="workers", workers=1))
    before = torch.get_rng_state()
    list(train.evaluation(train.all_rows(), 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_run_on_ones_own_images(pictures):
    events = list(nc.run(folder_config(pictures, storage="workers", workers=1)))
    kinds = [event.type for event in events]
    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "RunFinished"
    assert events[0].class_names == ("cats", "dogs")


# one's own arrays

IMAGES = {"train_images": pixels(30, 8, 8), "train_labels": np.arange(30) % 3}


def arrays_config(path, **changes):
    settings = {"backbone": Mlp(features=4), "batch_size": 5, "epochs": 1, **changes}
    return RunConfig(data=Arrays(path=str(path)), **settings)


def written(folder: Path, kind: str, **arrays) -> Path:
    if kind == "npz":
        np.savez(folder / "data.npz", **arrays)
        return folder / "data.npz"
    if kind == "safetensors":
        numbers = {name: np.ascontiguousarray(array) for name, array in arrays.items() if array.dtype.kind != "U"}
        save_file(numbers, folder / "data.safetensors")
        return folder / "data.safetensors"
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


@pytest.mark.parametrize("kind", ["npz", "safetensors", "npy"])
def test_arrays_of_every_kind_of_file(kind, tmp_path):
    names = np.array(["red", "green", "blue"])
    path = written(
        tmp_path, kind, test_images=pixels(6, 8, 8), test_labels=np.arange(6) % 3, class_names=names, **IMAGES
    )
    config = resolve_config(arrays_config(path))
    assert config.class_names == (("red", "green", "blue") if kind != "safetensors" else ("0", "1", "2"))
    assert config.dataset_info.shape == (1, 8, 8)
    _, (train, test) = loaded(config)
    np.testing.assert_array_equal(train.source.samples[..., 0].numpy(), IMAGES["train_images"])
    assert len(test) == 6


@pytest.mark.parametrize(
    ("images", "shape"),
    [
        (pixels(30, 8, 9), (1, 8, 9)),
        (pixels(30, 8, 9, 3), (3, 8, 9)),
        (pixels(30, 3, 8, 9), (3, 8, 9)),
        (pixels(30, 8, 9, 3).astype(np.float32) / 255, (3, 8, 9)),
        (pixels(30, 8, 9).astype(np.int64), (1, 8, 9)),
        (GENERATOR.standard_normal((30, 7)), (7,)),
    ],
)
def test_axes_and_types_that_arrays_come_in(images, shape, tmp_path):
    path = written(tmp_path, "npz", images=images, labels=np.arange(30) % 3)
    config = resolve_config(arrays_config(path))
    assert config.dataset_info.shape == shape
    _, (train, test) = loaded(config)
    assert len(train) + len(test) == 30
    assert torch.bincount(test.labels).tolist() == [2, 2, 2], "a fifth of each class is held out"
    batch, _ = next(train.evaluation(train.all_rows(), 4))
    assert batch.dtype == torch.float32
    assert tuple(batch.shape[1:]) == shape


BAD_ARRAYS = {
    "no labels": ({"images": pixels(4, 8, 8)}, "holds images"),
    "unequal": ({"images": pixels(5, 8, 8), "labels": np.arange(4) % 2}, "equally many, got 5 and 4"),
    "a class missing": ({"images": pixels(6, 8, 8), "labels": np.array([0, 0, 2, 2, 3, 3])}, r"\[1\] have no sample"),
    "negative": ({"images": pixels(4, 8, 8), "labels": np.array([0, 1, -1, 1])}, "0 … K−1, got -1"),
    "one class": ({"images": pixels(4, 8, 8), "labels": np.zeros(4, int)}, "at least 2 classes, got 1"),
    "fractions": ({"images": pixels(4, 8, 8), "labels": np.array([0.0, 1, 0, 1])}, "must be integers"),
    "NaN": ({"images": np.full((4, 3), np.nan), "labels": np.arange(4) % 2}, "12 values that are NaN"),
    "range": ({"images": np.full((4, 8, 8), 3.5), "labels": np.arange(4) % 2}, "0 … 1 as floats, got 3.5"),
    "channels": ({"images": pixels(4, 8, 8, 5), "labels": np.arange(4) % 2}, "with 1 or 3 channels"),
    "names": (
        {"images": pixels(4, 8, 8), "labels": np.arange(4) % 2, "class_names": np.array(["a"])},
        "2 classes, got 1",
    ),
    "test labels": (
        {**IMAGES, "test_images": pixels(2, 8, 8), "test_labels": np.array([0, 7])},
        "test_labels must be 0 … 2",
    ),
    "test shape": (
        {**IMAGES, "test_images": pixels(2, 9, 8), "test_labels": np.array([0, 1])},
        r"must be \(8, 8\) as in training",
    ),
}


@pytest.mark.parametrize("case", list(BAD_ARRAYS))
def test_arrays_that_are_no_data_set_say_why(case, tmp_path):
    arrays, message = BAD_ARRAYS[case]
    with pytest.raises(ValueError, match=message):
        loaded(arrays_config(written(tmp_path, "npz", **arrays), batch_size=2))


def test_pickles_damage_and_other_files_are_refused(tmp_path):
    np.savez(tmp_path / "objects.npz", images=np.array([{"a": 1}] * 4, dtype=object), labels=np.arange(4) % 2)
    with pytest.raises(ValueError, match="must be numbers, got object"):
        resolve_config(arrays_config(tmp_path / "objects.npz"))
    path = written(tmp_path, "npz", **IMAGES)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"no \.npz file, or damaged"):
        resolve_config(arrays_config(path))
    (tmp_path / "data.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(ValueError, match=r"no \.safetensors file, or damaged"):
        resolve_config(arrays_config(tmp_path / "data.safetensors"))
    (tmp_path / "data.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"must end in \.npz or \.safetensors"):
        resolve_config(arrays_config(tmp_path / "data.csv"))
    with pytest.raises(ValueError, match=r"must be a \.npz or \.safetensors file"):
        resolve_config(arrays_config(tmp_path / "nothing.npz"))


def test_settings_are_checked_against_what_the_files_hold(tmp_path):
    path = written(tmp_path, "npz", **IMAGES)
    with pytest.raises(ValueError, match="at most the 24 training samples"):
        resolve_config(arrays_config(path, batch_size=100))
    with pytest.raises(ValueError, match=r"set backbone\.features=2"):
        resolve_config(arrays_config(path, backbone=Mlp(features=1)))
    vectors = written(tmp_path, "npz", images=np.zeros((30, 7)), labels=np.arange(30) % 3)
    with pytest.raises(ValueError, match=r"set backbone\.name=mlp"):
        resolve_config(arrays_config(vectors, backbone=CnnSmall()))


def test_only_allowed_folders_are_read(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    path = written(outside, "npz", **IMAGES)
    link = inside / "link.npz"
    link.symlink_to(path)
    for wanted in (path, link, inside / ".." / "outside" / "data.npz"):
        with pytest.raises(ValueError, match="under a folder that the operator allows"):
            resolve_config(arrays_config(wanted), roots=[inside])
    assert resolve_config(arrays_config(path), roots=[inside, outside]).is_resolved
    forged = resolve_config(arrays_config(path))
    with pytest.raises(ValueError, match="under a folder that the operator allows"):
        resolve_config(forged, roots=[inside])


# what is drawn, and what is chosen


def test_the_mixture_of_gaussians_is_what_it_says():
    config = RunConfig(
        data=Synthetic(class_count=4, dimension=50, separation=8.0, per_class=500), backbone=Mlp(), batch_size=32
    )
    _, (train, test) = loaded(config)
    assert (len(train), len(test)) == (2000, 400)
    samples = train.source.samples
    centres = torch.stack([samples[train.labels == c].mean(0) for c in range(4)])
    # Of 500 samples in 50 dimensions: √(50/500) = 0.3 from the centre.
    torch.testing.assert_close(centres.norm(dim=1), torch.full((4,), 8.0), atol=0.4, rtol=0)
    spread = (samples - centres[train.labels]).var(0, correction=0).mean()
    assert float(spread) == pytest.approx(1.0, abs=0.05)
    held = torch.stack([test.source.samples[test.labels == c].mean(0) for c in range(4)])
    assert float((held - centres).norm(dim=1).max()) < 1.5, "both splits are of the same centres"
    other = RunConfig.model_validate(config.model_dump() | {"seed": 1})
    assert not torch.equal(loaded(other)[1][0].source.samples, samples)


def test_counts_of_a_long_tail():
    assert class_counts([500] * 10, imbalance="exponential", factor=0.01)[::9] == (500, 5)
    assert class_counts([100] * 5, imbalance="step", factor=0.1) == (100, 100, 100, 10, 10)
    assert class_counts([100, 3, 100], imbalance="exponential", factor=0.25) == (100, 3, 25)
    assert class_counts([100] * 3, limit=7) == (7, 7, 7)
    assert class_counts([10] * 3, imbalance="exponential", factor=0.001)[-1] == 1, "no class is lost"
    assert class_counts([50, 60]) == (50, 60)


@pytest.mark.parametrize("settings", [{"imbalance": "exponential", "imbalance_factor": 0.1}, {"per_class": 30}])
def test_fewer_samples_are_what_the_config_says(settings):
    config = RunConfig(data=Digits(**settings), batch_size=16)
    _, (train, test) = loaded(config)
    assert tuple(torch.bincount(train.labels).tolist()) == config.train_per_class
    assert len(train) == config.train_size
    assert len(test) == 355, "testing keeps all"


def test_rows_are_drawn_by_the_seed():
    labels = np.repeat(np.arange(3), 100)
    first = draw_rows(labels, (10, 20, 100), np.random.default_rng(0))
    assert np.bincount(labels[first]).tolist() == [10, 20, 100]
    assert (np.diff(first) > 0).all()
    assert not np.array_equal(first, draw_rows(labels, (10, 20, 100), np.random.default_rng(1)))


@pytest.mark.parametrize("kind", ["symmetric", "pairwise"])
def test_noisy_labels_are_wrong_as_often_as_asked(kind):
    labels = np.repeat(np.arange(5), 200)
    found = noisy_labels(labels, 5, kind, 0.3, np.random.default_rng(0))
    wrong = found != labels
    assert wrong.sum() == 300
    if kind == "pairwise":
        np.testing.assert_array_equal(found[wrong], (labels[wrong] + 1) % 5)
    else:
        assert len(set(zip(labels[wrong], found[wrong], strict=True))) == 20, "any other class"


def test_true_labels_are_kept_beside_noisy_ones():
    config = RunConfig(
        data=Digits(label_noise="symmetric", noise_rate=0.25), head=LinearHeadConfig(), batch_size=16, epochs=1
    )
    _, (train, test) = loaded(config)
    assert float((train.labels != train.true_labels).double().mean()) == pytest.approx(0.25, abs=1e-3)
    assert test.true_labels is None, "testing is by the true labels alone"
    measured = next(event for event in nc.run(config) if event.type == "EpochMeasured")
    assert set(measured.scalars) == {"train", "train_true", "test"}
    assert measured.scalars["train_true"]["top1"] != measured.scalars["train"]["top1"]


def test_digits_are_those_of_scikit_learn():
    bunch, (_, raw) = load_digits(), drained(Digits().load(0, DataPaths()))
    images = np.round(bunch.images * (255 / 16)).astype(np.uint8)
    for label in range(10):
        own = images[bunch.target == label]
        np.testing.assert_array_equal(raw.test[raw.test_labels == label], own[4::5])
        np.testing.assert_array_equal(raw.train[raw.train_labels == label], np.delete(own, np.s_[4::5], axis=0))
