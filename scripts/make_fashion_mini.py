"""Make ncengine/data/fashion_mnist_mini.npz from the four .gz files of Fashion-MNIST.

Debian's package `dataset-fashion-mnist` ships them in /usr/share/datasets/fashion-mnist; another folder with the same
files may be named as the only argument. The subset is the first 500 training and 100 test images of each class in the
order of the files, so that anybody gets the same bytes. Checksums of sources and result go into the .json beside it.
"""

import gzip
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

SOURCE = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")
TARGET = Path(__file__).resolve().parents[1] / "ncengine" / "data" / "fashion_mnist_mini.npz"
FILES = {
    "train_images": "train-images-idx3-ubyte.gz",
    "train_labels": "train-labels-idx1-ubyte.gz",
    "test_images": "t10k-images-idx3-ubyte.gz",
    "test_labels": "t10k-labels-idx1-ubyte.gz",
}


def read_idx(path: Path) -> np.ndarray:
    raw = gzip.decompress(path.read_bytes())
    rank = raw[3]
    shape = np.frombuffer(raw, ">i4", rank, 4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape)


def first_of_each(labels: np.ndarray, count: int) -> np.ndarray:
    chosen = np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(10)])
    return np.sort(chosen)


raw = {key: read_idx(SOURCE / name) for key, name in FILES.items()}
train, test = first_of_each(raw["train_labels"], 500), first_of_each(raw["test_labels"], 100)
np.savez_compressed(
    TARGET,
    train_images=raw["train_images"][train],
    train_labels=raw["train_labels"][train],
    test_images=raw["test_images"][test],
    test_labels=raw["test_labels"][test],
)
facts = {
    "source": "Fashion-MNIST, https://github.com/zalandoresearch/fashion-mnist, MIT licence (LICENSE.fashion-mnist)",
    "subset": "first 500 training and first 100 test images of each class, in file order",
    "sha256": {
        **{name: hashlib.sha256((SOURCE / name).read_bytes()).hexdigest() for name in FILES.values()},
        TARGET.name: hashlib.sha256(TARGET.read_bytes()).hexdigest(),
    },
}
TARGET.with_suffix(".json").write_text(json.dumps(facts, indent=2) + "\n")
print(f"{TARGET.name}: {TARGET.stat().st_size / 1e6:.2f} MB")
