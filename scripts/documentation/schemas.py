"""Reference pages from JSON schemas: the settings of a run from RunConfig's, the HTTP API from the OpenAPI document."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from documentation.markdown import cell, code, table, text
from ncengine.config import RunConfig
from ncengine.preset_configs import PRESET_GROUPS

Node = Mapping[str, Any]
"""A JSON schema."""

SETTINGS_INTRODUCTION = """# Settings

Every setting of a run, by the path that `--set` takes. A part with several kinds (data set, backbone, head, …) is
chosen by its `name`, and has the settings of that kind.
"""
HTTP_INTRODUCTION = """# HTTP API

Every operation, with the scope of the token that it needs. A running server has the same at `/api/docs`, to be tried
out. A token is sent as `Authorization: Bearer TOKEN`; errors are problem details (RFC 9457).
"""


def settings_page() -> str:
    """Return the page of all settings and all presets."""
    schema = RunConfig.model_json_schema()
    plain = {name: node for name, node in schema["properties"].items() if not _kinds(schema, node)}
    lines = [SETTINGS_INTRODUCTION, "## Run\n", _settings("", plain)]
    for name, node in schema["properties"].items():
        kinds = _kinds(schema, node)
        lines += [f"## {name}\n"] if kinds else []
        for kind, part in kinds.items():
            lines += [f"### {name}.name={kind}\n"] if kind else []
            own = {key: inner for key, inner in part["properties"].items() if key != "name"}
            lines += [f"{text(part.get('description'))}\n", _settings(f"{name}.", own)]
    lines.append("## Presets\n")
    for group, presets in PRESET_GROUPS.items():
        rows = [(code(name), cell((preset.__doc__ or "").strip().splitlines()[0])) for name, preset in presets.items()]
        lines += [f"### {group.capitalize()}\n", table(("preset", "content"), rows)]
    return "\n".join(lines)


def _kinds(schema: Node, node: Node) -> dict[str, Node]:
    """Return the kinds of a part by name, under an empty name if it has only one; a plain setting has none."""
    references = node["discriminator"]["mapping"] if "oneOf" in node else {}
    if "$ref" in node:
        references = {"": node["$ref"]}
    return {name: schema["$defs"][_name(reference)] for name, reference in references.items()}


def _settings(prefix: str, properties: Node) -> str:
    rows = [
        (
            code(prefix + name),
            _type(node),
            code(node.get("default")),
            cell(node.get("description", node.get("title"))),
        )
        for name, node in properties.items()
        if not node.get("hidden")
    ]
    return table(("setting", "type", "default", "meaning"), rows)


def http_page() -> str:
    """Return the page of all HTTP operations and models."""
    document = _openapi()
    by_tag: dict[str, list[str]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            section = by_tag.setdefault(operation.get("tags", ["other"])[0], [])
            section += _operation(f"{method.upper()} {path}", operation)
    lines = [HTTP_INTRODUCTION]
    for tag in sorted(by_tag):
        lines += [f"## {tag.capitalize()}\n", *by_tag[tag]]
    lines.append("## Models\n")
    for name, model in sorted(document["components"]["schemas"].items()):
        lines += _model(name, model)
    return "\n".join(lines)


def _openapi() -> Any:
    from backend.api.app import Application
    from backend.settings import Settings
    from backend.store.database import open_store

    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder))
        document = Application(Settings(Path(folder), token=secrets.token_hex(), warm=False), store).api.openapi()
        store.close()
    return document


def _operation(title: str, operation: Node) -> Iterable[str]:
    from backend.api.security.permissions import REQUIREMENTS

    yield f"### {title}\n"
    yield f"{text(operation.get('description', operation.get('summary')))} Scope: {REQUIREMENTS[title]}.\n"
    rows = []
    for each in operation.get("parameters", []):
        needed = "required" if each.get("required") and each["in"] != "path" else ""
        meaning = "; ".join(filter(None, (cell(each.get("description")), needed)))
        rows.append((code(each["name"]), each["in"], _type(each["schema"]), meaning))
    yield table(("parameter", "in", "type", "meaning"), rows)
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        yield f"Body: {_content(body)}.\n"
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield f"Response {status}: {_content(answer.get('content', {})) or 'no content'}.\n"


def _content(content: Node) -> str:
    parts = [f"{code(media)} {_type(each['schema']) if each.get('schema') else ''}" for media, each in content.items()]
    return ", ".join(part.strip() for part in parts)


def _model(name: str, model: Node) -> Iterable[str]:
    yield f"### {name}\n"
    yield f"{text(model.get('description'))}\n"
    if "properties" not in model:
        yield f"{_type(model)}\n"
        return
    required = set(model.get("required", ()))
    rows = [
        (code(field) + ("" if field in required else " (optional)"), _type(node), cell(node.get("description")))
        for field, node in model["properties"].items()
    ]
    yield table(("field", "type", "meaning"), rows)


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


def _type(node: Node) -> str:
    """Return a JSON schema's type in short, with links to models."""
    if "$ref" in node:
        return f"[{code(_name(node['$ref']))}](#{_name(node['$ref']).lower()})"
    choices = node.get("anyOf", node.get("oneOf"))
    if choices:
        return " or ".join(dict.fromkeys(_type(each) for each in choices))
    if "enum" in node or "const" in node:
        return ", ".join(code(value) for value in node.get("enum", [node.get("const")]))
    kind = node.get("type", "any")
    if kind == "array":
        return f"list of {_type(node['items'])}" if node.get("items") else "list"
    values = node.get("additionalProperties")
    if kind == "object" and isinstance(values, Mapping) and values:
        return f"map to {_type(values)}"
    bounds = [f"{sign} {node[key]}" for key, sign in (("minimum", "≥"), ("maximum", "≤")) if key in node]
    return f"{kind} {', '.join(bounds)}".strip()
