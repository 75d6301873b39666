"""Errors of figures. The message says what was expected, what was given and what to do."""

from __future__ import annotations


class FigureError(ValueError):
    """A figure cannot be drawn with these options or this data."""


class MissingPackageError(FigureError):
    """A package that only some formats need is not installed; the message names the extra."""
