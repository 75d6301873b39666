"""Components of other packages, added to the registries by entry points.

A package declares, in its pyproject.toml,

    [project.entry-points."collapse_lab.heads"]
    cosine = "my_package.cosine_config:CosineHeadConfig"

in a group of `REGISTRIES`. Nothing is loaded unless it is named: code of an installed package runs when it is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions
from typing import Any

from ncengine.backbones.registry import BACKBONES
from ncengine.components import Registry
from ncengine.data.registry import DATASETS
from ncengine.heads.registry import HEADS
from ncengine.losses.registry import LOSSES
from ncengine.metrics import METRICS

_ALL: tuple[Registry[Any], ...] = (DATASETS, BACKBONES, HEADS, LOSSES, METRICS)
REGISTRIES = {registry.entry_point_group: registry for registry in _ALL}
"""All registries by their group of entry points."""


class PluginError(ValueError):
    """A plugin that is not installed, has no components, or cannot be imported."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """A loaded package: its name, version, and the names of its components."""

    package: str
    version: str
    components: tuple[str, ...]


_LOADED: dict[str, Plugin] = {}


def loaded_plugins() -> tuple[Plugin, ...]:
    """Return the plugins that this process has loaded."""
    return tuple(_LOADED.values())


def load_plugins(packages: Iterable[str]) -> tuple[Plugin, ...]:
    """Add the components of installed packages to the registries, each package once; return all loaded plugins.

    Raises PluginError for a package that is not installed, has no components, or cannot be imported, and for a
    component whose name is taken.
    """
    for package in packages:
        if _normalised(package) not in _LOADED:
            _LOADED[_normalised(package)] = _load(package)
    return loaded_plugins()


def _load(package: str) -> Plugin:
    installed = {_normalised(each.name): each for each in distributions() if _entry_points(each)}
    distribution = installed.get(_normalised(package))
    if distribution is None:
        raise PluginError(
            f"no installed package {package!r} has entry points in {', '.join(REGISTRIES)}; "
            f"packages with components: {', '.join(each.name for each in installed.values()) or 'none'}"
        )
    names: list[str] = []
    for entry_point in _entry_points(distribution):
        try:
            names += REGISTRIES[entry_point.group].add(entry_point.load())
        except Exception as error:  # whatever a package raises while it is imported
            raise PluginError(
                f"the plugin {package} cannot be loaded: {entry_point.value}: {type(error).__name__}: {error}"
            ) from error
    return Plugin(distribution.name, distribution.version, tuple(names))


def _entry_points(distribution: Distribution) -> list[EntryPoint]:
    return [each for each in distribution.entry_points if each.group in REGISTRIES]


def _normalised(name: str) -> str:
    """Return a package's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
