"""Generated data: a mixture of Gaussians, and the indices of the unconstrained-features model's features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.data.registry import DatasetConfig, DatasetInfo

if TYPE_CHECKING:
    from ncengine.data.paths import DataPaths
    from ncengine.data.raw_dataset import LoadResult


class Synthetic(DatasetConfig):
    """A mixture of Gaussians: K random centres and unit variance around each."""

    name: Literal["synthetic"] = "synthetic"
    class_count: int = Field(default=10, ge=2, le=10_000, title="Classes K")
    """Number of Gaussians."""
    dimension: int = Field(default=32, ge=1, le=100_000, title="Dimension")
    """Dimension of a sample."""
    separation: float = Field(default=6.0, ge=0, le=1000, title="Separation")
    """Norm of each centre, in standard deviations of the noise."""
    per_class: int = Field(default=200, ge=2, le=1_000_000, title="Samples per class")
    """Training samples of each class; a fifth as many for testing."""

    def info(self) -> DatasetInfo:
        """Return sizes and shape."""
        test_each = max(1, self.per_class // 5)
        return _generated("A mixture of Gaussians", self.class_count, self.per_class, test_each, (self.dimension,))

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return s u_c + ε, u_c uniform on the unit sphere of R^d and ε ~ N(0, I), from the seed."""
        import numpy as np

        from ncengine.data.raw_dataset import RawDataset

        yield from ()
        generator = np.random.default_rng(seed)
        centres_KD = generator.standard_normal((self.class_count, self.dimension))
        centres_KD *= self.separation / np.linalg.norm(centres_KD, axis=1, keepdims=True)
        parts = []
        for each in (self.per_class, max(1, self.per_class // 5)):
            labels = np.repeat(np.arange(self.class_count, dtype=np.int64), each)
            noise = generator.standard_normal((len(labels), self.dimension))
            parts.append(((centres_KD[labels] + noise).astype(np.float32), labels))
        return RawDataset(*parts[0], *parts[1])


class Ufm(DatasetConfig):
    """The unconstrained-features model: features are free parameters (needs the backbone free-features)."""

    has_indices = True

    name: Literal["ufm"] = "ufm"
    class_count: int = Field(default=10, ge=2, le=10_000, title="Classes K")
    """Number of classes."""
    per_class: int = Field(default=50, ge=1, le=100_000, title="Features per class")
    """Free features in each class; there is no test split."""

    def info(self) -> DatasetInfo:
        """Return sizes."""
        return _generated("Unconstrained features", self.class_count, self.per_class, 0, ())

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the indices 0 … N−1 of the free features, class by class, without a test split."""
        import numpy as np

        from ncengine.data.raw_dataset import RawDataset

        yield from ()
        labels = np.repeat(np.arange(self.class_count, dtype=np.int64), self.per_class)
        nothing = np.zeros(0, dtype=np.int64)
        return RawDataset(np.arange(len(labels), dtype=np.int64), labels, nothing, nothing)


def _generated(title: str, classes: int, each: int, test_each: int, shape: tuple[int, ...]) -> DatasetInfo:
    return DatasetInfo(
        title=title,
        train=each * classes,
        test=test_each * classes,
        shape=shape,
        class_names=tuple(str(label + 1) for label in range(classes)),
        train_per_class=(each,) * classes,
        mean=(),
        std=(),
        source="drawn by the seed",
    )
