"""P_CM: the cosine margins of all samples, sorted, at one capture."""

from __future__ import annotations

import numpy as np

from backend.api import wire
from ncfigures.figure_request import DrawnEntry, FigureRequest
from ncfigures.figure_spec import F64, Axis, Chart, FigureSpec, ReferenceLine, SummaryTable, TableCell
from ncfigures.figures import seed_statistics as seeds

ARRAYS = {"train": "margins", "test": "margins_test"}
SHARES = 401
"""DataPaths at which several seeds' order statistics are put beside each other."""


def margins(request: FigureRequest) -> FigureSpec:
    """Return sorted margins over the share of samples: every kept order statistic, or median and range over seeds."""
    asked = None if request.options.split is None else request.options.split.split(",")
    several = len(request.entries) > 1
    splits = asked or (["train"] if several else ["train", "test"])
    classes = request.first().run.classes
    ideal = classes / (classes - 1)
    panels, rows = [], []
    for shown in [[split] for split in splits] if several else [splits]:
        lines = []
        for entry in request.entries:
            for split in shown:
                held = _sorted(entry, split)
                if not held:
                    continue
                found = _over_seeds(held)
                lines.append(seeds.line(found, request, entry, split))
                rows.append((f"{entry.label}, {split}", _quantiles(held)))
        panels.append(
            Chart(
                title=f"Cosine margin, {shown[0]}" if several and len(splits) > 1 else "",
                x=Axis("share of samples", percent=True, limits=(0.0, 1.0)),
                y=Axis("cosine margin"),
                lines=lines,
                reference_lines=[ReferenceLine(ideal, label="ideal"), ReferenceLine(0.0)],
            )
        )
    epoch = request.first().captures[-1].epoch
    return FigureSpec(
        panels=panels,
        legend=[*seeds.legend_entries(request, splits), seeds.IDEAL],
        caption=f"P_CM at epoch {epoch:g}: cosine margins cos(h − μ_G, w_y − w̄) − max over c ≠ y of "
        f"cos(h − μ_G, w_c − w̄) of all samples in rising order; K/(K−1) = {ideal:.4g} at perfect collapse."
        f"{seeds.caption_note(request)}",
        table=SummaryTable("cosine margin", ["least", "5 %", "median", "mean", "largest", "share ≤ 0"], rows),
        columns=min(len(panels), 2),
    )


def _sorted(entry: DrawnEntry, split: str) -> list[F64]:
    arrays = [capture.arrays for member in entry.members for capture in member.captures[-1:]]
    return [wire.from_typed(held[ARRAYS[split]]).astype(np.float64) for held in arrays if ARRAYS[split] in held]


def _over_seeds(held: list[F64]) -> seeds.SeedStatistics:
    if len(held) == 1:
        shares = np.linspace(0, 1, len(held[0]))
        return seeds.SeedStatistics(shares, held[0], held[0], held[0], 1)
    shares = np.linspace(0, 1, SHARES)
    return seeds.seed_statistics([(shares, np.interp(shares, np.linspace(0, 1, len(each)), each)) for each in held])


def _quantiles(held: list[F64]) -> list[TableCell | None]:
    numbers = [
        (each[0], np.quantile(each, 0.05), np.median(each), each.mean(), each[-1], (each <= 0).mean()) for each in held
    ]
    return [seeds.runs_cell([float(row[index]) for row in numbers], percent=index == 5) for index in range(6)]
