"""Errors of figures. The message says what was expected, what was given and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class FigureError(ValueError):
    """A figure cannot be drawn with these options or this data."""


class UnknownNameError(FigureError):
    """A name is none of those that exist; `name` is the one that was given, `candidates` those that exist."""

    def __init__(self, message: str, name: str, candidates: Iterable[str]) -> None:
        super().__init__(message)
        self.name, self.candidates = name, tuple(candidates)


class MissingPackageError(FigureError):
    """A package that only some formats need is not installed; the message names the extra."""


@contextmanager
def requires_extra(extra: str) -> Iterator[None]:
    """Raise MissingPackageError where an import inside lacks a package that `extra` installs."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "ncfigures":
            raise
        package = error.name.partition(".")[0]
        raise MissingPackageError(
            f"{package} is not installed, and figures are drawn with it; pip install 'collapse-lab[{extra}]'"
        ) from error
