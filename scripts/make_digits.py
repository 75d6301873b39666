"""Repack the digits that scikit-learn distributes as ncengine/data/digits.npz, which the engine ships."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).resolve().parents[1] / "ncengine" / "data" / "digits.npz"

if __name__ == "__main__":
    digits = load_digits()
    np.savez_compressed(TARGET, images=digits.images.astype(np.uint8), labels=digits.target.astype(np.uint8))
    print(f"{TARGET}: {TARGET.stat().st_size / 1000:.1f} kB")
