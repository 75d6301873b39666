"""A pydantic model whose fields are described by the docstrings below them.

pydantic's own `use_attribute_docstrings` reads the source of each class when it is defined, which takes a sixth of the
time in which a command starts. Here the source of a module is read once, when a JSON schema asks for descriptions.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema


class DocumentedModel(BaseModel):
    """Base class of models whose JSON schema has the docstring below each field as its description."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in _field_docstrings(cls).items():
            field = cls.model_fields.get(name)
            if field is not None and field.description is None:
                for key in {name, field.validation_alias, field.serialization_alias} & set(properties):
                    properties[key].setdefault("description", text)
        return schema


def _field_docstrings(cls: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings below the fields of a class and of those that it inherits from."""
    docstrings: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        docstrings |= _module_docstrings(base.__module__).get(base.__qualname__, {})
    return docstrings


@functools.cache
def _module_docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return the docstrings below the attributes of a module's classes, by qualified name; none without source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return {}
    return dict(_class_docstrings(tree, ""))


def _class_docstrings(node: Any, prefix: str) -> Iterator[tuple[str, dict[str, str]]]:
    for child in node.body:
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name, _attribute_docstrings(child)
            yield from _class_docstrings(child, f"{prefix}{child.name}.")


def _attribute_docstrings(node: ast.ClassDef) -> dict[str, str]:
    docstrings = {}
    for statement, below in zip(node.body, node.body[1:], strict=False):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docstrings[name] = inspect.cleandoc(text)
    return docstrings
