"""Eigenvalues of the between-class and within-class covariance: collapse leaves K − 1 of the first, no others."""

from __future__ import annotations

import math

import numpy as np

from backend.api import wire
from ncfigures.figure_request import FigureRequest
from ncfigures.figure_spec import Axis, Chart, FigureSpec, LegendEntry, Line, ReferenceLine, SummaryTable
from ncfigures.figures import seed_statistics as seeds
from ncfigures.palette import CLASSES_10

KINDS = {"between classes": ("spectrum_between", CLASSES_10[0]), "within classes": ("spectrum_within", CLASSES_10[6])}


def spectra(request: FigureRequest) -> FigureSpec:
    """Return a panel for each entry, both spectra in descending order on a logarithmic axis."""
    panels, rows = [], []
    for entry in request.entries:
        lines, cells = [], []
        for label, (name, colour) in KINDS.items():
            held = [wire.from_typed(c.arrays[name]).astype(np.float64) for m in entry.members for c in m.captures[-1:]]
            positive = [np.where(each > 0, each, math.nan) for each in held]
            found = seeds.seed_statistics([(np.arange(1, len(each) + 1), each) for each in positive])
            low, high = found.range()
            lines.append(
                Line(
                    label=label,
                    x=found.x,
                    y=found.median,
                    colour=colour,
                    low=low,
                    high=high,
                    column_name=f"{entry.label} {label}",
                    markers=len(found.x) <= 40,
                )
            )
            sums = [float(np.nansum(each)) for each in held]
            largest = [float(each.max(initial=0.0)) for each in held]
            cells += [seeds.runs_cell(sums), seeds.runs_cell(largest)]
        panels.append(
            Chart(
                title=entry.label if len(request.entries) > 1 else "",
                x=Axis("number"),
                y=Axis("eigenvalue", log=True),
                lines=lines,
                reference_lines=[ReferenceLine(request.first().run.classes - 1.0, "x")],
            )
        )
        rows.append((entry.label, cells))
    epoch = request.first().captures[-1].epoch
    classes = request.first().run.classes
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(label, colour, "solid") for label, (_, colour) in KINDS.items()],
        caption=f"Eigenvalues of Σ_B (between classes) and Σ_W (within classes) of the training features at epoch "
        f"{epoch:g}, in descending order; at perfect collapse Σ_W vanishes and Σ_B has K − 1 = {classes - 1} equal "
        f"eigenvalues (vertical line).{seeds.caption_note(request)}",
        table=SummaryTable("", ["tr Σ_B", "largest of Σ_B", "tr Σ_W", "largest of Σ_W"], rows),
        columns=min(len(panels), 2),
    )
