"""Errors of figures. The message says what was expected, what was given and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Name = TypeVar("Name", bound=str)


class FigureError(ValueError):
    """A figure cannot be drawn with these options or this data."""


class UnknownNameError(FigureError):
    """A name is none of those that exist; `name` is the one that was given, `candidates` those that exist.

    `problem` is the message without the remedy, so that a suggestion can be inserted between them.
    """

    def __init__(self, problem: str, name: str, candidates: Iterable[str], remedy: str = "") -> None:
        super().__init__(problem + remedy)
        self.problem, self.name, self.candidates, self.remedy = problem, name, tuple(candidates), remedy


def require_known(what: str, name: str, candidates: Iterable[Name]) -> Name:
    """Return the candidate with this name; raises UnknownNameError, which lists them, where there is none."""
    known = list(candidates)
    for candidate in known:
        if candidate == name:
            return candidate
    raise UnknownNameError(f"{what} must be one of {', '.join(known)}, got {name!r}", name, known)


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
