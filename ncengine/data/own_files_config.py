"""Configs of own files: folders of images, and arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ncengine.components import applies_if
from ncengine.data.registry import OwnDataConfig, OwnDataInfo

if TYPE_CHECKING:
    from ncengine.data.paths import DataPaths
    from ncengine.data.raw_dataset import LoadResult


class FolderConfig(OwnDataConfig):
    """Settings of image-folder and imagenet."""

    image_size: int = Field(default=32, ge=4, le=1024, title="Image size")
    """Side in pixels; images are scaled by their shorter side and cropped to the central square."""
    grey: bool = Field(default=False, title="Grey")
    """One channel instead of three."""
    storage: Literal["auto", "memory", "workers"] = Field(default="auto", title="Storage")
    """memory: all images in memory; workers: read again in each epoch; auto: memory up to 4 GiB."""
    workers: int = Field(
        default=2, ge=1, le=64, title="Reading processes", json_schema_extra=applies_if(storage=("auto", "workers"))
    )
    """Processes that read images during training, if they are not in memory."""

    def inspect(self) -> OwnDataInfo:
        """Return classes, counts and shape of the folder, from file names only."""
        from ncengine.data import image_folder

        return image_folder.inspect_folder(self)

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import image_folder

        return (yield from image_folder.load(self, data_paths))


class ImageFolder(FolderConfig):
    """Own images: one folder for each class, or train/ and test/ (or val/) with one folder for each class."""

    name: Literal["image-folder"] = "image-folder"


class ImageNet(FolderConfig):
    """ImageNet from its folders train/ and val/, one folder for each class."""

    serves_as_ood = False

    name: Literal["imagenet"] = "imagenet"
    image_size: int = Field(default=224, ge=4, le=1024, title="Image size")
    """Side in pixels; images are scaled by their shorter side and cropped to the central square."""


class Arrays(OwnDataConfig):
    """Own arrays: .npz, .safetensors or a folder of .npy with images and labels."""

    name: Literal["arrays"] = "arrays"

    def inspect(self) -> OwnDataInfo:
        """Return classes, counts and shape of the arrays; of images only the headers are read."""
        from ncengine.data import arrays

        return arrays.inspect_arrays(self)

    def load(self, seed: int, data_paths: DataPaths) -> LoadResult:
        """Return the images and labels of both splits."""
        from ncengine.data import arrays

        return (yield from arrays.load(self, data_paths))
