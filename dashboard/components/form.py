"""The form of a run's config, generated from RunConfig's JSON schema: sections, fields that apply, units and help.

Each union of the schema (data set, backbone, classifier, optimiser, schedule, sampler) is a choice of kind followed by
the fields of that kind. New settings and kinds of the engine need no change here.
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
ADVANCED = ("device", "precision", "deterministic", "channels_last", "compile", "measure")
"""Settings and parts that are folded away, beside those that the schema marks as `late`."""
MAX_SEGMENTS = 4
"""Options up to which a choice is shown as segments, above as a list."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form."""

    path: str
    title: str
    help: str
    kind: str
    value: Any
    options: tuple[tuple[str, str], ...] = ()
    minimum: float | None = None
    is_integer: bool = False
    is_advanced: bool = False
    """It is folded away, unless its value is not the default."""
    is_default: bool = True
    changes_fields: bool = False
    """Its value decides which other fields apply."""


def list_fields(schema: Mapping[str, Any], config: Mapping[str, Any], path: str) -> list[Field]:
    """Return the fields of one property of RunConfig for the values in `config`; a part has several."""
    node = schema["properties"][path]
    if "$ref" in node or "oneOf" in node:
        value = config[path]
        part = _part(schema, node, value)
        kinds = _kinds(schema, node)
        kind_fields = []
        if kinds:
            help_text = str(part.get("description", ""))
            title = node.get("title", path)
            kind_fields.append(
                Field(f"{path}.name", title, help_text, "choice", value["name"], kinds, changes_fields=True)
            )
        governing = {name for inner in part["properties"].values() for name in inner.get("applies_if", {})}
        return kind_fields + [
            replace(
                _field(f"{path}.{name}", inner, value.get(name)),
                changes_fields=name in governing,
                is_advanced=path in ADVANCED or inner.get("late", False),
                is_default=value.get(name) == inner.get("default"),
            )
            for name, inner in sorted(part["properties"].items(), key=lambda item: item[1].get("late", False))
            if name != "name" and not inner.get("hidden") and _applies(inner, value)
        ]
    return [
        replace(
            _field(path, node, config.get(path)),
            is_advanced=path in ADVANCED,
            is_default=config.get(path) == node.get("default"),
        )
    ]


def _applies(node: Mapping[str, Any], part: Mapping[str, Any]) -> bool:
    """Return whether a setting applies with the other values of its part, by the schema's `applies_if`."""
    return all(part.get(name) in allowed for name, allowed in node.get("applies_if", {}).items())


def _resolve(schema: Mapping[str, Any], reference: str) -> Mapping[str, Any]:
    definition: Mapping[str, Any] = schema["$defs"][reference.rpartition("/")[2]]
    return definition


def _part(schema: Mapping[str, Any], node: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    if "oneOf" in node:
        return _resolve(schema, node["discriminator"]["mapping"][value["name"]])
    return _resolve(schema, node["$ref"])


def _kinds(schema: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in node.get("discriminator", {}).get("mapping", {}))


def _field(path: str, node: Mapping[str, Any], value: Any) -> Field:
    title, help_text = node.get("title", path), node.get("description", "")
    # An optional setting: its schema is "this or null".
    node = {**node, **next((inner for inner in node.get("anyOf", []) if inner.get("type") != "null"), {})}
    if "enum" in node:
        return Field(path, title, help_text, "choice", value, tuple((str(v), str(v)) for v in node["enum"]))
    kind = node.get("type")
    if kind == "boolean":
        return Field(path, title, help_text, "switch", value)
    if kind in ("integer", "number"):
        return Field(path, title, help_text, "number", value, minimum=node.get("minimum"), is_integer=kind == "integer")
    if path == "data.classes":
        return Field(path, title, help_text, "classes", [str(label) for label in value or []])
    if kind == "array":
        return Field(path, title, help_text, "text", ", ".join(map(str, value or [])))
    return Field(path, title, help_text, "text", value)


def list_settings(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the help of every setting by its dotted path, including kinds of parts."""
    help_texts: dict[str, str] = {}
    for path, node in schema["properties"].items():
        if "oneOf" in node:
            help_texts[f"{path}.name"] = node.get("title", path)
            parts = [_resolve(schema, reference) for reference in node["discriminator"]["mapping"].values()]
        elif "$ref" in node:
            parts = [_resolve(schema, node["$ref"])]
        else:
            help_texts[path] = node.get("description", node.get("title", path))
            continue
        for part in parts:
            for name, inner in part["properties"].items():
                if name != "name" and not inner.get("hidden"):
                    help_texts.setdefault(f"{path}.{name}", inner.get("description", inner.get("title", name)))
    return help_texts


def apply_choices(
    schema: Mapping[str, Any], config: Mapping[str, Any], chosen: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Return the config with values of fields that change which fields apply, or None if the config has them already.

    A part of another kind starts from that kind's defaults; values of its other fields belong to the old kind.
    """
    tree = {key: dict(inner) if isinstance(inner, Mapping) else inner for key, inner in config.items()}
    kinds = {path.removesuffix(".name"): kind for path, kind in chosen.items() if path.endswith(".name")}
    renamed = {part: kind for part, kind in kinds.items() if tree[part]["name"] != kind}
    tree |= {part: get_defaults(schema, part, kind) for part, kind in renamed.items()}
    for path, value in chosen.items():
        part, _, leaf = path.partition(".")
        if part not in renamed and leaf in tree[part]:
            tree[part][leaf] = value
    return None if tree == config else tree


def get_defaults(schema: Mapping[str, Any], path: str, name: str) -> dict[str, Any]:
    """Return a part of kind `name` with the schema's defaults."""
    part = _resolve(schema, schema["properties"][path]["discriminator"]["mapping"][name])
    return {key: inner.get("default") for key, inner in part["properties"].items()} | {"name": name}


def parse_value(field_path: str, value: Any, before: Any) -> Any:
    """Convert a component's value to the config's type: labels to numbers, text to lists, empty to None.

    `before` is the config's value, whose type tells a list from a text.
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


def assemble(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config `base` with values by dotted path; values that its parts do not have are ignored."""
    tree = {key: dict(inner) if isinstance(inner, Mapping) else inner for key, inner in base.items()}
    for path, value in values.items():
        part, dot, leaf = path.partition(".")
        if not dot:
            tree[part] = parse_value(path, value, tree[part])
        elif leaf in tree[part]:
            tree[part][leaf] = parse_value(path, value, tree[part][leaf])
    return tree


def render(
    schema: Mapping[str, Any], config: Mapping[str, Any], class_names: list[str], devices: list[str]
) -> list[Any]:
    """Return the form's sections for a config."""
    sections = []
    for title, paths in SECTIONS:
        shown_fields = [item for path in paths for item in list_fields(schema, config, path)]
        basic, advanced = (
            [_component(item, class_names, devices) for item in shown_fields if item.is_advanced is which]
            for which in (False, True)
        )
        parts: list[Any] = [html.Div(basic, className="fields")] if basic else []
        if advanced:
            is_open = any(item.is_advanced and not item.is_default for item in shown_fields)
            content = [html.Summary(f"Advanced ({len(advanced)})"), html.Div(advanced, className="fields")]
            parts.append(html.Details(content, className="advanced", open=is_open))
        sections.append(html.Section([html.H2(title), *parts], className="panel form-section"))
    return sections


def _component(field: Field, class_names: list[str], devices: list[str]) -> Any:
    return html.Div(
        [
            _control(field, class_names, devices),
            html.P("", id=ids.problem(field.path), className="field-problem", role="alert"),
            html.P(field.help, className="field-help"),
        ],
        className="field",
        **{"data-field": field.path},
    )


def _control(field: Field, class_names: list[str], devices: list[str]) -> Any:
    """Return the input of a field."""
    identity = ids.field(field.path, "part" if field.changes_fields else "value")
    common = {"id": identity, "label": field.title, "labelProps": {"className": "field-title"}}
    if field.path == "device":
        return dmc.Select(data=["auto", *devices], value=field.value, allowDeselect=False, **common)
    if field.kind == "classes":
        return _class_select(field, class_names, common)
    if field.kind == "choice":
        return _choice(field, common)
    if field.kind == "switch":
        switch = dmc.Switch(id=identity, checked=field.value, **{"aria-label": field.title})
        return html.Div([html.Span(field.title, className="field-title"), switch])
    if field.kind == "number":
        return dmc.NumberInput(value=field.value, allowDecimal=not field.is_integer, step=_step(field), **common)
    return dmc.TextInput(value=field.value, **common)


def _class_select(field: Field, class_names: list[str], common: dict[str, Any]) -> Any:
    if not class_names:
        return dmc.TextInput(value=", ".join(field.value), placeholder="All", **common)
    options = [{"value": str(label), "label": name} for label, name in enumerate(class_names)]
    return dmc.MultiSelect(data=options, value=field.value, placeholder="All", clearable=True, **common)


def _choice(field: Field, common: dict[str, Any]) -> Any:
    options = [{"value": value, "label": label} for value, label in field.options]
    if len(options) > MAX_SEGMENTS:
        return dmc.Select(data=options, value=field.value, allowDeselect=False, **common)
    title = html.Span(field.title, className="field-title")
    segments = dmc.SegmentedControl(id=common["id"], data=options, value=field.value, size="sm")
    return html.Div([title, segments], role="group", **{"aria-label": field.title})


def _step(field: Field) -> float:
    """Return the step of a number field's buttons: one, or a tenth of the value."""
    if field.is_integer or not isinstance(field.value, int | float) or field.value == 0:
        return 1
    return float(f"{abs(field.value) / 10:.0e}")
