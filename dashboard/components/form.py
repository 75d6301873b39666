"""A form from RunConfig's JSON schema: sections, fields that apply, units and help; nothing here names a setting twice.

The schema's unions (data set, backbone, classifier, optimiser, schedule, batches) become a choice of kind followed by
that kind's own fields. A new setting or kind in the engine appears by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import dash_mantine_components as dmc
from dash import html

from dashboard import ids

SECTIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Data", ("data", "batch_size", "sampler")),
    ("Head", ("head", "loss")),
    ("Backbone and optimiser", ("backbone", "optimiser", "schedule")),
    ("Run", ("epochs", "seed", "device", "precision", "deterministic", "channels_last", "compile")),
    ("Measurement", ("measure",)),
)
RARE = ("device", "precision", "deterministic", "channels_last", "compile", "measure")
"""Settings, or whole parts, that few change, beside those that the schema calls late."""
SHORT_CHOICE = 4
"""Up to this many kinds are shown side by side, more as a list."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form, as the schema describes it."""

    path: str
    title: str
    help: str
    kind: str
    value: Any
    options: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    whole: bool = False
    rare: bool = False
    """Few change it: it is shown folded away, unless it was changed."""
    usual: bool = True
    """It has its default."""
    chooses_part: bool = False
    """Another value brings other fields: of another kind of part, or of those that apply beside it."""


def fields(schema: Mapping[str, Any], config: Mapping[str, Any], path: str) -> list[Field]:
    """Return the fields of one property of RunConfig, for the values in `config`; a part gives several."""
    node = schema["properties"][path]
    if "$ref" in node or "oneOf" in node:
        value = config[path]
        part = _part(schema, node, value)
        kinds = _kinds(schema, node)
        found = []
        if kinds:
            help_text = str(part.get("description", ""))
            title = node.get("title", path)
            found.append(Field(f"{path}.name", title, help_text, "choice", value["name"], kinds, chooses_part=True))
        governing = {name for inner in part["properties"].values() for name in inner.get("applies_if", {})}
        return found + [
            replace(
                _field(f"{path}.{name}", inner, value.get(name)),
                chooses_part=name in governing,
                rare=path in RARE or inner.get("late", False),
                usual=value.get(name) == inner.get("default"),
            )
            for name, inner in sorted(part["properties"].items(), key=lambda item: item[1].get("late", False))
            if name != "name" and not inner.get("hidden") and _applies(inner, value)
        ]
    return [
        replace(_field(path, node, config.get(path)), rare=path in RARE, usual=config.get(path) == node.get("default"))
    ]


def _applies(node: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Whether a setting means anything beside the others of its part, as the schema's `applies_if` says."""
    return all(part.get(name) in allowed for name, allowed in node.get("applies_if", {}).items())


def _resolve(schema: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return found


def _part(schema: Mapping[str, Any], node: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    if "oneOf" in node:
        return _resolve(schema, node["discriminator"]["mapping"][value["name"]])
    return _resolve(schema, node["$ref"])


def _kinds(schema: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in node.get("discriminator", {}).get("mapping", {}))


def _field(path: str, node: Mapping[str, Any], value: Any) -> Field:
    title, help_text = node.get("title", path), node.get("description", "")
    # What may be left empty: the schema says "this or null".
    node = {**node, **next((inner for inner in node.get("anyOf", []) if inner.get("type") != "null"), {})}
    if "enum" in node:
        return Field(path, title, help_text, "choice", value, tuple((str(v), str(v)) for v in node["enum"]))
    kind = node.get("type")
    if kind == "boolean":
        return Field(path, title, help_text, "switch", value)
    if kind in ("integer", "number"):
        return Field(path, title, help_text, "number", value, minimum=node.get("minimum"), whole=kind == "integer")
    if path == "data.classes":
        return Field(path, title, help_text, "classes", [str(label) for label in value or []])
    if kind == "array":
        return Field(path, title, help_text, "text", ", ".join(map(str, value or [])))
    return Field(path, title, help_text, "text", value)


def settings(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return every dotted setting of the schema with its help, kinds of parts included."""
    found: dict[str, str] = {}
    for path, node in schema["properties"].items():
        if "oneOf" in node:
            found[f"{path}.name"] = node.get("title", path)
            parts = [_resolve(schema, reference) for reference in node["discriminator"]["mapping"].values()]
        elif "$ref" in node:
            parts = [_resolve(schema, node["$ref"])]
        else:
            found[path] = node.get("description", node.get("title", path))
            continue
        for part in parts:
            for name, inner in part["properties"].items():
                if name != "name" and not inner.get("hidden"):
                    found.setdefault(f"{path}.{name}", inner.get("description", inner.get("title", name)))
    return found


def changed(schema: Mapping[str, Any], config: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the config with what was chosen in fields that bring others, or None where all of it is so already.

    Another kind of a part starts from that kind's defaults; its other fields, drawn for the old kind, are left out.
    """
    tree = {key: dict(inner) if isinstance(inner, Mapping) else inner for key, inner in config.items()}
    kinds = {path.removesuffix(".name"): kind for path, kind in chosen.items() if path.endswith(".name")}
    renamed = {part: kind for part, kind in kinds.items() if tree[part]["name"] != kind}
    tree |= {part: defaults_of(schema, part, kind) for part, kind in renamed.items()}
    for path, value in chosen.items():
        part, _, leaf = path.partition(".")
        if part not in renamed and leaf in tree[part]:
            tree[part][leaf] = value
    return None if tree == config else tree


def defaults_of(schema: Mapping[str, Any], path: str, name: str) -> dict[str, Any]:
    """Return a part of kind `name` with the schema's defaults."""
    part = _resolve(schema, schema["properties"][path]["discriminator"]["mapping"][name])
    return {key: inner.get("default") for key, inner in part["properties"].items()} | {"name": name}


def typed(field_path: str, value: Any, before: Any) -> Any:
    """Return what a component holds as the config means it: labels as numbers, lists from text, nothing as none.

    `before` is the value that the field had, which tells a list from a text.
    """
    if field_path == "data.classes":
        labels = value.split(",") if isinstance(value, str) else value or []
        return [int(label) for label in labels if str(label).strip().isdigit()] or None
    if isinstance(before, list | tuple):
        items = value if isinstance(value, list) else str(value or "").split(",")
        return [str(item).strip() for item in items if str(item).strip()]
    if value == "":
        return "" if isinstance(before, str) else None
    return value


def assembled(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config `base` with dotted values put in; values of parts that are not there are left out."""
    tree = {key: dict(inner) if isinstance(inner, Mapping) else inner for key, inner in base.items()}
    for path, value in values.items():
        part, dot, leaf = path.partition(".")
        if not dot:
            tree[part] = typed(path, value, tree[part])
        elif leaf in tree[part]:
            tree[part][leaf] = typed(path, value, tree[part][leaf])
    return tree


def render(
    schema: Mapping[str, Any], config: Mapping[str, Any], class_names: list[str], devices: list[str]
) -> list[Any]:
    """Return the form's sections for a config."""
    sections = []
    for title, paths in SECTIONS:
        found = [item for path in paths for item in fields(schema, config, path)]
        usual, rare = (
            [_component(item, class_names, devices) for item in found if item.rare is which] for which in (False, True)
        )
        parts: list[Any] = [html.Div(usual, className="fields")] if usual else []
        if rare:
            changed = any(item.rare and not item.usual for item in found)
            words = f"{len(rare)} more settings, rarely changed"
            parts.append(
                html.Details([html.Summary(words), html.Div(rare, className="fields")], className="rare", open=changed)
            )
        sections.append(html.Section([html.H2(title), *parts], className="panel form-section"))
    return sections


def _component(field: Field, class_names: list[str], devices: list[str]) -> Any:
    identity = ids.field(field.path, "part" if field.chooses_part else "value")
    data = [{"value": value, "label": label} for value, label in field.options]
    control: Any
    named = {"label": field.title, "labelProps": {"className": "field-title"}}
    if field.path == "device":
        choices = ["auto", *devices]
        control = dmc.Select(id=identity, data=choices, value=field.value, allowDeselect=False, **named)
    elif field.kind == "classes" and not class_names:
        control = dmc.TextInput(id=identity, value=", ".join(field.value), placeholder="all", **named)
    elif field.kind == "classes":
        names = [{"value": str(label), "label": name} for label, name in enumerate(class_names)]
        control = dmc.MultiSelect(
            id=identity, data=names, value=field.value, placeholder="all", clearable=True, **named
        )
    elif field.kind == "choice" and len(data) <= SHORT_CHOICE:
        control = html.Div(
            [
                html.Span(field.title, className="field-title"),
                dmc.SegmentedControl(id=identity, data=data, value=field.value, size="sm"),
            ],
            role="group",
            **{"aria-label": field.title},
        )
    elif field.kind == "choice":
        control = dmc.Select(id=identity, data=data, value=field.value, allowDeselect=False, **named)
    elif field.kind == "switch":
        control = html.Div(
            [
                html.Span(field.title, className="field-title"),
                dmc.Switch(id=identity, checked=field.value, **{"aria-label": field.title}),
            ]
        )
    elif field.kind == "number":
        control = dmc.NumberInput(
            id=identity, value=field.value, allowDecimal=not field.whole, step=_step(field), **named
        )
    else:
        control = dmc.TextInput(id=identity, value=field.value, **named)
    return html.Div(
        [
            control,
            html.P("", id=ids.problem(field.path), className="field-problem", role="alert"),
            html.P(field.help, className="field-help"),
        ],
        className="field",
        **{"data-field": field.path},
    )


def _step(field: Field) -> float:
    if field.whole or not isinstance(field.value, int | float) or field.value == 0:
        return 1
    return float(f"{abs(field.value) / 10:.0e}")
