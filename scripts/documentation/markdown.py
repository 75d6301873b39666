"""Markdown of generated pages: tables, cells, and docstrings as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or an empty text if it has no rows; cells are Markdown already."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(columns)} |", "|---" * len(columns) + "|", *lines, ""]) if lines else ""


def text(docstring: str | None) -> str:
    """Return a docstring as one paragraph."""
    return " ".join((docstring or "").replace("\f", " ").split()).replace("<", "&lt;")


def cell(docstring: str | None) -> str:
    """Return a docstring as a cell of a table."""
    return text(docstring).replace("|", "\\|")


def code(value: object) -> str:
    """Return a value as code in a cell, or nothing for None and empty values."""
    return "" if value is None or value in ("", (), []) else f"`{cell(str(value))}`"
