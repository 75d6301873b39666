"""Inspect own files before a run: their classes, counts and shapes become part of its config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ncengine.config.training import OWN_OOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ncengine.config import RunConfig
    from ncengine.config.data import DataConfig, OwnData, OwnDataInfo


def resolve_config(config: RunConfig, *, roots: Sequence[Path] | None = None) -> RunConfig:
    """Fill in what a config's own files contain, and validate the result; configs without own files are not changed.

    `roots` are the folders in which files may lie; None allows all. Raises ValueError for a path outside of them, for
    files that are not a data set, and for settings that do not fit its content.
    """
    return _resolve_ood(_resolve_data(config, roots), roots)


def _resolve_data(config: RunConfig, roots: Sequence[Path] | None) -> RunConfig:
    data = _as_own_data(config.data)
    if data is None or (data.found is not None and roots is None):
        return config
    if roots is not None:  # a confined client may not declare the content either
        require_inside(data.path, roots)
    tree = config.model_dump(mode="json")
    # The worker may have another working directory.
    tree["data"] |= {"found": _inspect(data).model_dump(mode="json"), "path": _absolute(data.path)}
    return type(config).model_validate(tree)


def _resolve_ood(config: RunConfig, roots: Sequence[Path] | None) -> RunConfig:
    measure = config.measure
    if measure.outside not in OWN_OOD:
        return config
    if roots is not None:
        require_inside(measure.outside_path, roots, "measure.outside_path")
    other = ood_dataset(config)
    if other is not None and (own := _as_own_data(other)) is not None:
        try:
            _inspect(own)
        except (ValueError, OSError) as error:
            said = str(error).replace("data.path", "measure.outside_path")
            named = said if said.startswith("measure.outside_path") else f"measure.outside_path: {said}"
            raise ValueError(named) from error
    tree = config.model_dump(mode="json")
    tree["measure"]["outside_path"] = _absolute(measure.outside_path)
    return type(config).model_validate(tree)


def ood_dataset(config: RunConfig) -> DataConfig | None:
    """Return the out-of-distribution data set of a resolved config, or None if it has none.

    It is the run's own data set if classes of that are left out.
    """
    from pydantic import TypeAdapter

    from ncengine.config.data import DataConfig

    measure, shape = config.measure, config.dataset_info.shape
    if measure.outside == "none":
        return None
    if measure.outside == config.data.name and measure.outside not in OWN_OOD:
        return config.data
    data: dict[str, object] = {"name": measure.outside}
    if measure.outside in OWN_OOD:
        data["path"] = measure.outside_path
    if measure.outside == "image-folder":
        data |= {"image_size": shape[-1], "grey": shape[0] == 1}
    if measure.outside_download:
        data["download"] = True
    chosen: DataConfig = TypeAdapter(DataConfig).validate_python(data)
    return chosen


def _as_own_data(data: DataConfig) -> OwnData | None:
    from ncengine.config.data import Arrays, ImageFolder, ImageNet

    return data if isinstance(data, ImageFolder | ImageNet | Arrays) else None


def _inspect(data: OwnData) -> OwnDataInfo:
    if data.name == "arrays":
        from ncengine.data.arrays import inspect_arrays

        return inspect_arrays(data)
    from ncengine.data.image_folder import inspect_folder

    return inspect_folder(data)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def require_inside(path: str, roots: Sequence[Path], field: str = "data.path") -> None:
    """Raise ValueError if a path, with links resolved, is not under one of the allowed roots."""
    if not path:
        raise ValueError(f"{field} must say where the data lies, got nothing")
    resolved = Path(path).expanduser().resolve()
    if any(resolved.is_relative_to(Path(root).expanduser().resolve()) for root in roots):
        return
    allowed = ", ".join(str(root) for root in roots) or "none is allowed yet"
    raise ValueError(
        f"{field} must lie under a folder that the operator allows ({allowed}), got {path!r}; "
        "start the server with --data-root FOLDER"
    )


def require_paths_inside(config: RunConfig, roots: Sequence[Path]) -> None:
    """Raise ValueError if a path of a config is not under one of the allowed roots."""
    if (data := _as_own_data(config.data)) is not None:
        require_inside(data.path, roots)
    if config.measure.outside in OWN_OOD:
        require_inside(config.measure.outside_path, roots, "measure.outside_path")
