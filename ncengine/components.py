"""Components of a run (data sets, backbones, heads, losses, metrics) in registries that other packages can extend.

A data set, backbone, head or loss is a config: a pydantic model with a constant `name` and a method that builds what it
describes; a metric is a `MetricSpec`. They are declared in modules that load no torch: processes that never train read,
validate and show configs. A registry names the modules, and is the only list of components that training needs.

The JSON schema of a config contains what a form needs besides types: `applies_if` names the settings of the same part,
and their values, for which a field is used; `late` marks fields that many components share, shown after a component's
own; `hidden` marks fields that no person fills in.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar, Union

from pydantic import ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ncengine.documented_model import DocumentedModel


class ConfigModel(DocumentedModel):
    """A part of a config: frozen, documented by attribute docstrings; unknown keys are errors."""

    # A part is validated inside of a RunConfig; a validator of its own is built at its first use.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ComponentConfig(ConfigModel):
    """Config of a component; `name`, a constant of the subclass, says which one it is."""

    # Every subclass declares the field `name`. Declared here as a field, it would come first in each table of settings.
    if TYPE_CHECKING:

        @property
        def name(self) -> str: ...


class UnknownComponent(ComponentConfig):
    """Stored settings of a component that is not in its registry, such as one of a plugin that is not loaded.

    Runs with it can be listed and shown, and not trained.
    """

    model_config = ConfigDict(extra="allow")
    name: str


LATE: dict[str, Any] = {"late": True}
"""Schema entry for a field that is shown after a component's own settings."""


def applies_if(**settings: object) -> dict[str, Any]:
    """Return the schema entry for a field that is used only if each setting has one of the given values."""
    return {"applies_if": {name: list(v) if isinstance(v, tuple) else [v] for name, v in settings.items()}}


Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Components of one kind by name, in the order of their references.

    A reference is `"module:attribute"`, where the attribute is a component or a tuple of them. Modules are imported
    when the registry is first read. Other packages add components by entry points of the group `entry_point_group`.
    """

    def __init__(self, entry_point_group: str, references: tuple[str, ...], name_of: Callable[[Entry], str]) -> None:
        self.entry_point_group = entry_point_group
        self._references, self._name_of = references, name_of
        self._entries: dict[str, Entry] = {}
        self._is_loaded = False
        self._loading = threading.RLock()

    def _loaded(self) -> dict[str, Entry]:
        if not self._is_loaded:
            with self._loading:
                if not self._is_loaded:
                    self._entries = {}
                    for reference in self._references:
                        self._insert(resolve_reference(reference))
                    self._is_loaded = True
        return self._entries

    def _insert(self, components: Entry | tuple[Entry, ...]) -> list[str]:
        entries = {}
        for component in components if isinstance(components, tuple) else (components,):
            name = self._name_of(component)
            if name in self._entries or name in entries:
                raise ValueError(f"{self.entry_point_group}: two components have the name {name!r}; rename one of them")
            entries[name] = component
        self._entries |= entries
        return list(entries)

    def add(self, components: Entry | tuple[Entry, ...]) -> list[str]:
        """Add a component, or several, and return their names; raises ValueError if a name is taken."""
        self._loaded()
        return self._insert(components)

    def __getitem__(self, name: str) -> Entry:
        return self._loaded()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())


def resolve_reference(reference: str) -> Any:
    """Import `"module:attribute"`."""
    module, attribute = reference.split(":")
    return getattr(import_module(module), attribute)


Config = TypeVar("Config", bound=ComponentConfig)


class ConfigRegistry(Registry[type[Config]]):
    """Config classes of one kind by their constant `name`."""

    def __init__(self, entry_point_group: str, base: type[Config], *references: str) -> None:
        super().__init__(entry_point_group, references, self._name)
        self._base = base
        self._unknown_class: type[ComponentConfig] = type(
            f"Unknown{base.__name__}",
            (UnknownComponent, base),
            {"__module__": base.__module__, "model_config": UnknownComponent.model_config},
        )

    def _name(self, config: type[Config]) -> str:
        if not (isinstance(config, type) and issubclass(config, self._base)):
            raise TypeError(f"{self.entry_point_group}: expected a subclass of {self._base.__name__}, got {config!r}")
        return str(config.model_fields["name"].default)

    def union(self) -> Any:
        """Return the type of a config of any component, told apart by `name`."""
        return Annotated[Union[tuple(self.values())], Field(discriminator="name")]  # noqa: UP007

    def parse_unknown(self, value: object) -> ComponentConfig | None:
        """Return the config of a component that this registry lacks, or None if the value names none or a known one."""
        name = value.get("name") if isinstance(value, Mapping) else None
        return self._unknown_class.model_validate(value) if isinstance(name, str) and name not in self else None


ALLOW_UNKNOWN = {"allow_unknown_components": True}
"""Validation context for configs that are read from a store or a server: unknown components are kept as they are."""


class FieldType:
    """Annotation of a field whose type follows from a registry, components that were added later included."""

    def __init__(
        self,
        registry: Registry[Any],
        build: Callable[[], Any],
        parse_unknown: Callable[[object], object | None] = lambda _value: None,
    ) -> None:
        self._registry, self._parse_unknown = registry, parse_unknown
        # The number of components is the key: the adapter is built again after one was added.
        self._adapters = functools.lru_cache(maxsize=1)(lambda _size: TypeAdapter(build()))

    def _adapter(self) -> TypeAdapter[Any]:
        return self._adapters(len(self._registry))

    def _validate(self, value: object, info: core_schema.ValidationInfo[Any]) -> object:
        if info.context is not None and info.context.get("allow_unknown_components"):
            unknown = self._parse_unknown(value)
            if unknown is not None:
                return unknown
        return self._adapter().validate_python(value, context=info.context)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self._adapter().core_schema)


def one_of(registry: ConfigRegistry[Any]) -> FieldType:
    """Return the annotation of a field that takes the config of any component of a registry."""
    return FieldType(registry, registry.union, registry.parse_unknown)
