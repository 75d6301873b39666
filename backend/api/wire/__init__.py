"""Wire models: the typed requests and responses of the API, shared by pages, scripts and the command line.

Numbers that JSON lacks are "NaN", "Infinity" and "-Infinity" (see `store.event_log.encode_numbers`). Arrays are in
Plotly's typed form, so that a browser draws them without conversion.

A module loads at the first use of one of its models, so that a command builds only the models that it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backend.api.wire.access import AuditEntry, CallerWire, CreatedToken, TokenRequest, TokenWire
    from backend.api.wire.base import (
        Item,
        ItemList,
        Number,
        Problem,
        Status,
        Summary,
        TypedArray,
        WireModel,
        from_typed,
        typed_array,
    )
    from backend.api.wire.catalogue import (
        ConfigCheck,
        LaunchEstimate,
        LaunchPlan,
        MetricWire,
        PresetWire,
        Readiness,
        SystemStatus,
    )
    from backend.api.wire.gc import (
        EmptyTrashRequest,
        EmptyTrashResult,
        GcItem,
        GcPlan,
        GcRequest,
        GcResult,
        GcSkipped,
        RestoreTrashRequest,
        Trash,
        TrashEntry,
    )
    from backend.api.wire.measurements import (
        ArtifactWire,
        EventPage,
        FigureProvenance,
        GeometryWire,
        MetricSeries,
        Milestones,
        ResourceSampleWire,
        RunOverview,
        SampleImages,
        Sparkline,
    )
    from backend.api.wire.runs import (
        AttemptWire,
        BulkAction,
        BulkRequest,
        BulkResult,
        CloneRequest,
        GroupSummary,
        LaunchOptions,
        LaunchRequest,
        MetricRangeWire,
        Priority,
        QueueMove,
        RunGroupPage,
        RunGroupWire,
        RunId,
        RunPage,
        RunUpdate,
        RunWire,
        Seconds,
        Sweep,
        SweepRequest,
    )
    from backend.jobs.doctor import CheckResult
    from backend.store.validation import FieldError

__all__ = [
    "ArtifactWire",
    "AttemptWire",
    "AuditEntry",
    "BulkAction",
    "BulkRequest",
    "BulkResult",
    "CallerWire",
    "CheckResult",
    "CloneRequest",
    "ConfigCheck",
    "CreatedToken",
    "EmptyTrashRequest",
    "EmptyTrashResult",
    "EventPage",
    "FieldError",
    "FigureProvenance",
    "GcItem",
    "GcPlan",
    "GcRequest",
    "GcResult",
    "GcSkipped",
    "GeometryWire",
    "GroupSummary",
    "Item",
    "ItemList",
    "LaunchEstimate",
    "LaunchOptions",
    "LaunchPlan",
    "LaunchRequest",
    "MetricRangeWire",
    "MetricSeries",
    "MetricWire",
    "Milestones",
    "Number",
    "PresetWire",
    "Priority",
    "Problem",
    "QueueMove",
    "Readiness",
    "ResourceSampleWire",
    "RestoreTrashRequest",
    "RunGroupPage",
    "RunGroupWire",
    "RunId",
    "RunOverview",
    "RunPage",
    "RunUpdate",
    "RunWire",
    "SampleImages",
    "Seconds",
    "Sparkline",
    "Status",
    "Summary",
    "Sweep",
    "SweepRequest",
    "SystemStatus",
    "TokenRequest",
    "TokenWire",
    "Trash",
    "TrashEntry",
    "TypedArray",
    "WireModel",
    "from_typed",
    "typed_array",
]
MODULES = ("base", "runs", "measurements", "catalogue", "access", "gc")


def __getattr__(name: str) -> Any:
    if name in __all__:
        for module in MODULES:
            found = vars(import_module(f"{__name__}.{module}")).get(name)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
