"""Inspect own files before a run: their classes, counts and shapes become part of its config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ncengine.data.own_files_config import FolderConfig
from ncengine.data.registry import DATASETS, DatasetConfig, OwnDataConfig, is_own_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ncengine.config import RunConfig


def resolve_config(config: RunConfig, *, roots: Sequence[Path] | None = None) -> RunConfig:
    """Fill in what a config's own files contain, and validate the result; configs without own files are not changed.

    `roots` are the folders in which files may lie; None allows all. Raises ValueError for a path outside of them, for
    files that are not a data set, and for settings that do not fit its content.
    """
    return _resolve_ood(_resolve_data(config, roots), roots)


def _resolve_data(config: RunConfig, roots: Sequence[Path] | None) -> RunConfig:
    data = config.data
    if not isinstance(data, OwnDataConfig) or (data.is_resolved and roots is None):
        return config
    if roots is not None:  # a confined client may not declare the content either
        require_inside(data.path, roots)
    tree = config.model_dump(mode="json")
    # The worker may have another working directory.
    tree["data"] |= {"found": data.inspect().model_dump(mode="json"), "path": _absolute(data.path)}
    return type(config).model_validate(tree)


def _resolve_ood(config: RunConfig, roots: Sequence[Path] | None) -> RunConfig:
    measure = config.measure
    if not is_own_data(measure.outside):
        return config
    if roots is not None:
        require_inside(measure.outside_path, roots, "measure.outside_path")
    other = ood_dataset(config)
    if isinstance(other, OwnDataConfig):
        try:
            other.inspect()
        except (ValueError, OSError) as error:
            said = str(error).replace("data.path", "measure.outside_path")
            named = said if said.startswith("measure.outside_path") else f"measure.outside_path: {said}"
            raise ValueError(named) from error
    tree = config.model_dump(mode="json")
    tree["measure"]["outside_path"] = _absolute(measure.outside_path)
    return type(config).model_validate(tree)


def ood_dataset(config: RunConfig) -> DatasetConfig | None:
    """Return the out-of-distribution data set of a resolved config, or None if it has none.

    It is the run's own data set if classes of that are left out.
    """
    measure, shape = config.measure, config.dataset_info.shape
    if measure.outside == "none":
        return None
    if measure.outside == config.data.name and not is_own_data(measure.outside):
        return config.data
    data: dict[str, object] = {"name": measure.outside}
    if is_own_data(measure.outside):
        data["path"] = measure.outside_path
    kind = DATASETS[measure.outside]
    if issubclass(kind, FolderConfig):
        data |= {"image_size": shape[-1], "grey": shape[0] == 1}
    if measure.outside_download:
        data["download"] = True
    return kind.model_validate(data)


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
    if isinstance(config.data, OwnDataConfig):
        require_inside(config.data.path, roots)
    if is_own_data(config.measure.outside):
        require_inside(config.measure.outside_path, roots, "measure.outside_path")
