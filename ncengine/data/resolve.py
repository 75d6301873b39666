"""Looking at one's own files before a run: what they hold becomes part of its config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ncengine.config.training import OWN_OOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ncengine.config import RunConfig
    from ncengine.config.data import DataConfig, OwnData, OwnDataInfo


def resolve_config(config: RunConfig, *, roots: Sequence[Path] | None = None) -> RunConfig:
    """Return the config with what its own files hold filled in, checked as a whole; others are returned as they are.

    `roots` are the folders below which files may lie; None allows all. Raises ValueError for a path outside of them,
    for files that are no data set, and for settings that do not fit what was found.
    """
    return _settled_outside(_settled_data(config, roots), roots)


def _settled_data(config: RunConfig, roots: Sequence[Path] | None) -> RunConfig:
    data = _own(config.data)
    if data is None or (data.found is not None and roots is None):
        return config
    if roots is not None:  # whoever is confined may not say what was found either
        require_inside(data.path, roots)
    tree = config.model_dump(mode="json")
    # Whoever trains may stand in another folder.
    tree["data"] |= {"found": _look(data).model_dump(mode="json"), "path": _absolute(data.path)}
    return type(config).model_validate(tree)


def _settled_outside(config: RunConfig, roots: Sequence[Path] | None) -> RunConfig:
    measure = config.measure
    if measure.outside not in OWN_OOD:
        return config
    if roots is not None:
        require_inside(measure.outside_path, roots, "measure.outside_path")
    other = ood_dataset(config)
    if other is not None and (own := _own(other)) is not None:
        try:
            _look(own)
        except (ValueError, OSError) as error:
            said = str(error).replace("data.path", "measure.outside_path")
            named = said if said.startswith("measure.outside_path") else f"measure.outside_path: {said}"
            raise ValueError(named) from error
    tree = config.model_dump(mode="json")
    tree["measure"]["outside_path"] = _absolute(measure.outside_path)
    return type(config).model_validate(tree)


def ood_dataset(config: RunConfig) -> DataConfig | None:
    """Return the other data set of a settled config, of which its own is told apart, or None where none is asked for.

    It is the run's own data set where that has classes that are left out.
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


def _own(data: DataConfig) -> OwnData | None:
    from ncengine.config.data import Arrays, ImageFolder, ImageNet

    return data if isinstance(data, ImageFolder | ImageNet | Arrays) else None


def _look(data: OwnData) -> OwnDataInfo:
    if data.name == "arrays":
        from ncengine.data.arrays import look as look_at_arrays

        return look_at_arrays(data)
    from ncengine.data.image_folder import look

    return look(data)


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def require_inside(path: str, roots: Sequence[Path], field: str = "data.path") -> None:
    """Raise ValueError where a path, followed through links, lies under none of the allowed roots."""
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
    """Raise ValueError where any path of a config lies under none of the allowed roots."""
    if (data := _own(config.data)) is not None:
        require_inside(data.path, roots)
    if config.measure.outside in OWN_OOD:
        require_inside(config.measure.outside_path, roots, "measure.outside_path")
