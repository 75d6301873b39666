"""What a training step takes, by phase and entry: seconds, and the most memory."""

from __future__ import annotations

import math

import numpy as np

from ncfigures.figure_request import FigureRequest
from ncfigures.figure_spec import Axis, Bars, Chart, FigureSpec, LegendEntry, SummaryTable, TableCell
from ncfigures.figures import seed_statistics as seeds
from ncfigures.palette import CLASSES_10

ORDER = ("data", "forward", "head", "backward", "optimiser")


def costs(request: FigureRequest) -> FigureSpec:
    """Return stacked bars of milliseconds by phase, and bars of memory."""
    held = [[member.costs for member in entry.members if member.costs is not None] for entry in request.entries]
    present = dict.fromkeys(phase for costs in held for each in costs for phase in each.seconds)
    phases = sorted(present, key=lambda phase: ORDER.index(phase) if phase in ORDER else len(ORDER))
    labels = [entry.label for entry in request.entries]
    table_ms = {
        phase: np.array([1e3 * float(np.median([each.seconds.get(phase, 0.0) for each in costs])) for costs in held])
        for phase in phases
    }
    memory = np.array([max(max(each.memory_bytes.values(), default=0) for each in costs) / 2**20 for costs in held])
    memory[memory == 0] = math.nan
    on_cpu = all("process" in each.memory_bytes for costs in held for each in costs)
    ratio = 0.24 + 0.1 * len(labels)
    colours = {phase: CLASSES_10[index % len(CLASSES_10)] for index, phase in enumerate(phases)}
    panels = [
        Chart(
            title="Time of a step, ms",
            bars=[Bars(phase, table_ms[phase], [colours[phase]] * len(labels)) for phase in phases],
            row_labels=labels,
            aspect=ratio,
        ),
        Chart(
            title="Memory of the process, MiB" if on_cpu else "Most memory of a phase, MiB",
            x=Axis(),
            bars=[Bars("", memory, seeds.head_colours(request))],
            row_labels=labels,
            aspect=ratio,
        ),
    ]
    reports = sum(each.reports for costs in held for each in costs)
    device = sorted({member.run.config.device for entry in request.entries for member in entry.members})
    rows = []
    for index, label in enumerate(labels):
        cells: list[TableCell | None] = [TableCell(float(table_ms[phase][index])) for phase in phases]
        total = TableCell(float(sum(table_ms[phase][index] for phase in phases)))
        rows.append((label, [*cells, total, None if math.isnan(memory[index]) else TableCell(float(memory[index]))]))
    return FigureSpec(
        panels=panels,
        legend=[LegendEntry(phase, colours[phase], symbol="patch") for phase in phases],
        caption=f"What a training step takes: the median of {reports} reports by phase, and the most memory "
        f"({'of the whole process' if on_cpu else 'allocated on the device'}; device {', '.join(device)}).",
        table=SummaryTable("ms", [*phases, "step", "memory, MiB"], rows),
        columns=2,
    )
