"""Distributions at one capture: the cosine margins of all samples, sorted, and the spectra of the covariances."""

from __future__ import annotations

import math

import numpy as np

from ncfigures.figure_data import FigureRequest, SeedGroup
from ncfigures.figure_spec import (
    F64,
    Axis,
    ChartSpec,
    FigureSpec,
    LegendEntry,
    LineSpec,
    ReferenceLine,
    SummaryTable,
    TableCell,
)
from ncfigures.figures import seed_statistics as seeds
from ncfigures.palette import CLASSES_10

ARRAYS = {"train": "margins", "test": "margins_test"}
SHARES = 401
"""Points at which the order statistics of several seeds are compared."""


def build_margins(request: FigureRequest) -> FigureSpec:
    """Return sorted margins over the share of samples: every kept order statistic, or median and range over seeds."""
    several, splits = len(request.groups) > 1, seeds.choose_splits(request)
    classes = request.first_run().classes
    ideal = classes / (classes - 1)
    panels, rows = [], []
    for shown in [[split] for split in splits] if several else [splits]:
        lines = []
        for group in request.groups:
            for split in shown:
                margins = _sorted(group, split)
                if not margins:
                    continue
                statistics = _over_seeds(margins)
                lines.append(seeds.make_line(statistics, request, group, split))
                rows.append((f"{group.label}, {split}", _quantiles(margins)))
        panels.append(
            ChartSpec(
                title=f"Cosine margin, {shown[0]}" if several and len(splits) > 1 else "",
                x=Axis("share of samples", percent=True, limits=(0.0, 1.0)),
                y=Axis("cosine margin"),
                lines=lines,
                reference_lines=[ReferenceLine(ideal, label="ideal"), ReferenceLine(0.0)],
            )
        )
    epoch = request.first_run().captures[-1].epoch
    return FigureSpec(
        panels=panels,
        legend=[*seeds.make_legend(request, splits), seeds.IDEAL],
        caption=f"P_CM at epoch {epoch:g}: cosine margins cos(h − μ_G, w_y − w̄) − max over c ≠ y of "
        f"cos(h − μ_G, w_c − w̄) of all samples in rising order; K/(K−1) = {ideal:.4g} at perfect collapse."
        f"{seeds.format_seed_note(request)}",
        table=SummaryTable("cosine margin", ["least", "5 %", "median", "mean", "largest", "share ≤ 0"], rows),
        columns=min(len(panels), 2),
    )


def _sorted(group: SeedGroup, split: str) -> list[F64]:
    arrays = [capture.arrays for run in group.runs for capture in run.captures[-1:]]
    return [of_capture[ARRAYS[split]].astype(np.float64) for of_capture in arrays if ARRAYS[split] in of_capture]


def _over_seeds(margins: list[F64]) -> seeds.SeedStatistics:
    if len(margins) == 1:
        shares = np.linspace(0, 1, len(margins[0]))
        return seeds.SeedStatistics(shares, margins[0], margins[0], margins[0], 1)
    shares = np.linspace(0, 1, SHARES)
    return seeds.summarise_seeds([(shares, np.interp(shares, np.linspace(0, 1, len(each)), each)) for each in margins])


def _quantiles(margins: list[F64]) -> list[TableCell | None]:
    numbers = [
        (each[0], np.quantile(each, 0.05), np.median(each), each.mean(), each[-1], (each <= 0).mean())
        for each in margins
    ]
    return [seeds.make_runs_cell([float(row[index]) for row in numbers], percent=index == 5) for index in range(6)]


KINDS = {"between classes": ("spectrum_between", CLASSES_10[0]), "within classes": ("spectrum_within", CLASSES_10[6])}


def build_spectra(request: FigureRequest) -> FigureSpec:
    """Return a panel for each group, both spectra in descending order on a logarithmic axis."""
    panels, rows = [], []
    for group in request.groups:
        lines, cells = [], []
        for label, (name, colour) in KINDS.items():
            spectra = [c.arrays[name].astype(np.float64) for m in group.runs for c in m.captures[-1:]]
            positive = [np.where(each > 0, each, math.nan) for each in spectra]
            statistics = seeds.summarise_seeds([(np.arange(1, len(each) + 1), each) for each in positive])
            low, high = statistics.range()
            lines.append(
                LineSpec(
                    label=label,
                    x=statistics.x,
                    y=statistics.median,
                    colour=colour,
                    low=low,
                    high=high,
                    column_name=f"{group.label} {label}",
                    markers=len(statistics.x) <= 40,
                )
            )
            sums = [float(np.nansum(each)) for each in spectra]
            largest = [float(each.max(initial=0.0)) for each in spectra]
            cells += [seeds.make_runs_cell(sums), seeds.make_runs_cell(largest)]
        panels.append(
            ChartSpec(
                title=group.label if len(request.groups) > 1 else "",
                x=Axis("number"),
                y=Axis("eigenvalue", log=True),
                lines=lines,
                reference_lines=[ReferenceLine(request.first_run().classes - 1.0, "x")],
            )
        )
        rows.append((group.label, cells))
    epoch = request.first_run().captures[-1].epoch
    classes = request.first_run().classes
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(label, colour, "solid") for label, (_, colour) in KINDS.items()],
        caption=f"Eigenvalues of Σ_B (between classes) and Σ_W (within classes) of the training features at epoch "
        f"{epoch:g}, in descending order; at perfect collapse Σ_W vanishes and Σ_B has K − 1 = {classes - 1} equal "
        f"eigenvalues (vertical line).{seeds.format_seed_note(request)}",
        table=SummaryTable("", ["tr Σ_B", "largest of Σ_B", "tr Σ_W", "largest of Σ_W"], rows),
        columns=min(len(panels), 2),
    )
