"""Wire models: the typed requests and responses of the API, shared by pages, scripts and the command line.

Numbers that JSON lacks are "NaN", "Infinity" and "-Infinity" (see `store.event_log.encode_numbers`). Arrays are in
Plotly's typed form, so that a browser draws them without conversion.

A module loads at the first use of one of its models, so that a command builds only the models that it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.api.wire.access import *  # noqa: F403
    from backend.api.wire.base import *  # noqa: F403
    from backend.api.wire.catalogue import *  # noqa: F403
    from backend.api.wire.gc import *  # noqa: F403
    from backend.api.wire.measurements import *  # noqa: F403
    from backend.api.wire.runs import *  # noqa: F403

MODULES = ("base", "runs", "measurements", "catalogue", "access", "gc")


def __getattr__(name: str) -> Any:
    if not name.startswith("_"):
        for module in MODULES:
            value = vars(import_module(f"{__name__}.{module}")).get(name)
            if value is not None:
                globals()[name] = value
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
