"""Run mutmut over the modules that pyproject.toml names; `make mutate`, or with mutmut's own arguments as a command.

mutmut leaves out every decorated function. Here that would be most derivatives (`once_differentiable`), all properties
and the cached constants, so its two functions that decide this are replaced before it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import libcst as cst
import libcst.matchers as m
from mutmut.__main__ import cli
from mutmut.mutation import file_mutation

BINDING = {"staticmethod", "classmethod", "property"}
"""Decorators that say how a function is called; they stay on the function that selects the mutant."""

_skip = file_mutation.MutationVisitor._skip_node_and_children
_arrange = file_mutation.function_trampoline_arrangement


def skip_node_and_children(visitor: file_mutation.MutationVisitor, node: cst.CSTNode) -> bool:
    """Decide as mutmut does, but as if functions had no decorators."""
    if isinstance(node, cst.FunctionDef) and node.decorators:
        return node.name.value in file_mutation.NEVER_MUTATE_FUNCTION_NAMES
    return bool(_skip(visitor, node))


def arrange(
    function: cst.FunctionDef, mutants: Iterable[file_mutation.Mutation], class_name: str | None
) -> tuple[
    Sequence[file_mutation.MODULE_STATEMENT],
    Sequence[file_mutation.MODULE_STATEMENT],
    Sequence[file_mutation.MODULE_STATEMENT],
    Sequence[str],
]:
    """Arrange as mutmut does, for decorated functions too.

    The function that selects the mutant keeps the decorators that say how it is called; the original and the mutants
    keep the others, such as a cache of their own. A property would not be callable, so mutants are plain functions.
    """
    declarations, functions, assignments, names = _arrange(function, mutants, class_name)
    selecting, *copies = (cst.ensure_type(each, cst.FunctionDef) for each in functions)
    arranged = [selecting.with_changes(decorators=[d for d in selecting.decorators if _binds(d) or _selects(d)])]
    arranged += [copy.with_changes(decorators=[d for d in copy.decorators if not _is_property(d)]) for copy in copies]
    return declarations, arranged, assignments, names


def _binds(decorator: cst.Decorator) -> bool:
    return isinstance(decorator.decorator, cst.Name) and decorator.decorator.value in BINDING


def _is_property(decorator: cst.Decorator) -> bool:
    return m.matches(decorator.decorator, m.Name("property"))


def _selects(decorator: cst.Decorator) -> bool:
    return m.matches(decorator.decorator, m.Call(func=m.Name("_mutmut_mutated")))


if __name__ == "__main__":
    file_mutation.MutationVisitor._skip_node_and_children = skip_node_and_children  # type: ignore[method-assign]
    file_mutation.function_trampoline_arrangement = arrange
    cli()
