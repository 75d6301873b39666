"""The angles between all pairs of class means against arccos(−1/(K−1)), where all of them are at collapse."""

from __future__ import annotations

import math

import numpy as np

from backend.api import wire
from ncfigures.figure_request import DrawnEntry, FigureRequest
from ncfigures.figure_spec import (
    F64,
    Axis,
    Chart,
    FigureSpec,
    HistogramSteps,
    Line,
    ReferenceLine,
    SummaryTable,
    TableCell,
)
from ncfigures.figures import seed_statistics as seeds

BINS = 36


def histogram(request: FigureRequest) -> FigureSpec:
    """Return the histogram of the angles of an entry's captures, or above 128 classes their quantiles."""
    classes = request.first().run.classes
    ideal = math.degrees(math.acos(-1 / (classes - 1)))
    colours = seeds.head_colours(request)
    legend = seeds.legend_entries(request, ["train"])
    epoch = request.first().captures[-1].epoch
    told = f"at epoch {epoch:g}; vertical line: arccos(−1/(K−1)) = {ideal:.1f}°, where all are at perfect collapse"
    whole = all(_angles(entry) is not None for entry in request.entries)
    held = [_angles(entry) if whole else _quantiles(entry)[1] for entry in request.entries]
    rows: list[tuple[str, list[TableCell | None]]] = []
    for entry, found in zip(request.entries, held, strict=True):
        values = np.zeros(0) if found is None else found
        numbers = (values.min(), np.median(values), values.max(), values.std(), np.abs(values - ideal).mean())
        rows.append((entry.label, [TableCell(float(each)) for each in numbers]))
    table = SummaryTable("degrees", ["smallest", "median", "largest", "std", "mean distance from the ETF's"], rows)
    if not whole:
        lines = [
            Line(entry.label, _quantiles(entry)[1], _quantiles(entry)[0], colour, entry.dash, markers=True)
            for entry, colour in zip(request.entries, colours, strict=True)
        ]
        chart = Chart(
            x=Axis("angle, degrees"),
            y=Axis("share of pairs", percent=True),
            lines=lines,
            reference_lines=[ReferenceLine(ideal, "x", "ideal")],
        )
        return FigureSpec(
            [chart],
            legend,
            f"Quantiles of the angles between class means {told}.",
            table,
            notices=[f"of {classes} classes captures hold quantiles of the angles, not every pair: those are drawn"],
        )
    known = np.concatenate([each for each in held if each is not None])
    low, high = min(known.min(), ideal) - 0.5, max(known.max(), ideal) + 0.5
    edges = np.linspace(low, high, BINS + 1)
    steps = [
        HistogramSteps(
            entry.label,
            edges,
            np.histogram(values, edges)[0].astype(np.float64) / len(entry.members),
            colour,
            entry.dash,
        )
        for entry, values, colour in zip(request.entries, held, colours, strict=True)
        if values is not None
    ]
    chart = Chart(
        x=Axis("angle, degrees", limits=(float(low), float(high))),
        y=Axis("pairs"),
        histograms=steps,
        reference_lines=[ReferenceLine(ideal, "x", "ideal")],
    )
    return FigureSpec([chart], legend, f"Angles between all pairs of class means {told}.", table)


def _angles(entry: DrawnEntry) -> F64 | None:
    """Return the angles of all pairs i < j of all seeds; None where captures hold blocks of classes."""
    found = []
    for member in entry.members:
        capture = member.captures[-1]
        cosines = wire.from_typed(capture.arrays["cosines_means"]).astype(np.float64)
        if len(cosines) < len(capture.class_names):
            return None
        upper = cosines[np.triu_indices(len(cosines), 1)]
        found.append(np.degrees(np.arccos(np.clip(upper, -1, 1))))
    return np.concatenate(found)


def _quantiles(entry: DrawnEntry) -> tuple[F64, F64]:
    """Return shares of pairs, and the angle that so many are at most, rising."""
    known = entry.members[0].captures[-1].facts["cosine_quantiles"]
    shares = np.array([1 - float(share) for share in known])
    angles = np.degrees(np.arccos(np.clip([float(value) for value in known.values()], -1, 1)))
    order = shares.argsort()
    return shares[order], angles[order]
