"""Looking at one's own files before a run: what they hold becomes part of its config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ncengine.config import RunConfig


def settle(config: RunConfig, *, roots: Sequence[Path] | None = None) -> RunConfig:
    """Return the config with what its own files hold filled in, checked as a whole; others are returned as they are.

    `roots` are the folders below which files may lie; None allows all. Raises ValueError for a path outside of them,
    for files that are no data set, and for settings that do not fit what was found.
    """
    data = config.data
    if data.name not in ("image-folder", "imagenet", "arrays") or (data.found is not None and roots is None):
        return config
    if roots is not None:  # whoever is confined may not say what was found either
        require_inside(data.path, roots)
    if data.name == "arrays":
        from ncengine.data.arrays import look as look_at_arrays

        found = look_at_arrays(data)
    else:
        from ncengine.data.folders import look

        found = look(data)
    tree = config.model_dump(mode="json")
    # Whoever trains may stand in another folder.
    tree["data"] |= {"found": found.model_dump(mode="json"), "path": str(Path(data.path).expanduser().absolute())}
    return type(config).model_validate(tree)


def require_inside(path: str, roots: Sequence[Path]) -> None:
    """Raise ValueError where a path, followed through links, lies under none of the allowed roots."""
    if not path:
        raise ValueError("data.path must say where the data lies, got nothing")
    resolved = Path(path).expanduser().resolve()
    if any(resolved.is_relative_to(Path(root).expanduser().resolve()) for root in roots):
        return
    allowed = ", ".join(str(root) for root in roots) or "none is allowed yet"
    raise ValueError(
        f"data.path must lie under a folder that the operator allows ({allowed}), got {path!r}; "
        "start the server with --data-root FOLDER"
    )
