"""Components of other packages, added to the registries by entry points.

A package declares, in its pyproject.toml,

    [project.entry-points."collapse_lab.heads"]
    cosine = "my_package.cosine_config:CosineHeadConfig"

in a group of `REGISTRIES`. Nothing is loaded unless it is named: code of an installed package runs when it is imported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
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
        installed = _find_package(package)
        if installed.name not in _LOADED:
            _LOADED[installed.name] = Plugin(installed.name, installed.version, tuple(_add_components(installed)))
    return loaded_plugins()


def _find_package(name: str) -> Distribution:
    """Return an installed package with components; raises PluginError if there is none of that name."""
    with contextlib.suppress(PackageNotFoundError):
        if _component_entry_points(installed := distribution(name)):
            return installed
    others = sorted({each.name for each in distributions() if _component_entry_points(each)})
    raise PluginError(
        f"no installed package {name!r} has entry points in {', '.join(REGISTRIES)}; "
        f"packages with components: {', '.join(others) or 'none'}"
    )


def _add_components(installed: Distribution) -> list[str]:
    """Add the components of a package to the registries, and return their names."""
    names: list[str] = []
    for entry_point in _component_entry_points(installed):
        try:
            names += REGISTRIES[entry_point.group].add(entry_point.load())
        except Exception as error:  # whatever a package raises while it is imported
            raise PluginError(
                f"the plugin {installed.name} cannot be loaded: {entry_point.value}: {type(error).__name__}: {error}"
            ) from error
    return names


def _component_entry_points(installed: Distribution) -> list[EntryPoint]:
    return [each for each in installed.entry_points if each.group in REGISTRIES]
