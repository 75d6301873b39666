"""Errors of `ncfigures` as errors of the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.store.errors import Invalid, Unusable
from backend.store.suggestions import did_you_mean
from ncfigures.errors import FigureError, MissingPackageError, UnknownNameError


@contextmanager
def figure_errors() -> Iterator[None]:
    """Raise Invalid for a FigureError inside, Unusable for a missing package. Also works as a decorator."""
    try:
        yield
    except MissingPackageError as error:
        raise Unusable(str(error)) from error
    except UnknownNameError as error:
        raise Invalid(f"{error}{did_you_mean(error.name, error.candidates)}") from error
    except FigureError as error:
        raise Invalid(str(error)) from error
