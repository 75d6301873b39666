"""What a figure shows, as text: CSV of exactly the numbers that are drawn, and tables for LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from ncfigures.figure_spec import F64, Cell, Chart, Heat, Panel, Plate, Scene, Table
from ncfigures.options import latex


def csv_table(plate: Plate) -> str:
    """Return the drawn numbers: one table where all panels fit in one, else one a panel with an empty line between."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    charts = [panel for panel in plate.panels if isinstance(panel, Chart)]
    lines = [panel for panel in charts if panel.lines and not panel.rows]
    if len(lines) == len(plate.panels) and len({panel.x.label for panel in lines}) == 1:
        writer.writerows(_lines(lines))
        return stream.getvalue()
    for place, panel in enumerate(plate.panels):
        if place:
            writer.writerow([])
        if len(plate.panels) > 1 and panel.title:
            writer.writerow([panel.title])
        writer.writerows(_panel(panel))
    return stream.getvalue()


def _panel(panel: Panel) -> list[list[str]]:
    if isinstance(panel, Scene):
        return _scene(panel)
    if isinstance(panel, Heat):
        rows = [[name, *(number(v) for v in row)] for name, row in zip(panel.names, panel.values, strict=True)]
        return [["class", *panel.names], *rows]
    if panel.rows:
        return _rows(panel)
    if panel.steps:
        edges = panel.steps[0].edges
        head = ["from", "to", *(steps.label for steps in panel.steps)]
        counts = np.stack([steps.counts for steps in panel.steps], axis=1)
        return [head, *([number(v) for v in (a, b, *c)] for a, b, c in zip(edges, edges[1:], counts, strict=False))]
    return _lines([panel])


def _lines(charts: Sequence[Chart]) -> list[list[str]]:
    """Return a column for each line (three where it has a range), a row for each place that any of them has."""
    lines = [line for chart in charts for line in chart.lines]
    places = np.unique(np.concatenate([line.x for line in lines]))
    head, columns = [charts[0].x.label or "x"], []
    for line in lines:
        name = line.column or line.label
        for suffix, values in (("", line.y), (" least", line.low), (" largest", line.high)):
            if values is None:
                continue
            column = np.full(len(places), math.nan)
            column[np.searchsorted(places, line.x)] = values
            head.append(name + suffix)
            columns.append(column)
    words = dict(charts[0].x.words or ())
    shown = [words.get(float(place), number(place)) for place in places]
    return [head, *_columns(shown, columns)]


def _columns(names: Sequence[str], columns: Sequence[F64]) -> list[list[str]]:
    return [[name, *map(number, row)] for name, *row in zip(names, *columns, strict=True)]


def _rows(chart: Chart) -> list[list[str]]:
    head, columns = ["entry"], []
    for bars in chart.bars:
        for suffix, values in (("", bars.values), (" least", bars.low), (" largest", bars.high)):
            if values is not None:
                head.append((bars.label or chart.title) + suffix)
                columns.append(values)
    if chart.spans is not None:
        head += [chart.title, f"{chart.title} least", f"{chart.title} largest"]
        columns += [chart.spans.values, chart.spans.low, chart.spans.high]
    return [head, *_columns(chart.rows, columns)]


def _scene(scene: Scene) -> list[list[str]]:
    """Return every drawn point: what it is, its class, its coordinates in the ETF's frame and in the view."""
    rank = next(iter(scene.coordinates.values())).shape[1]
    rows = [["kind", "class", *(f"c{place + 1}" for place in range(rank)), "x", "y", "z"]]
    for points in scene.points:
        whole = scene.coordinates[points.kind]
        for label, own, shown in zip(points.labels, whole, points.at, strict=True):
            rows.append([points.kind, scene.class_names[label], *(number(v) for v in (*own, *shown))])
    return rows


def number(value: float) -> str:
    """Return a number with the digits that single precision has, and none where there is none."""
    return "" if math.isnan(value) else f"{float(value):.7g}"


def words(cell: Cell | None) -> tuple[str, str]:
    """Return a cell's number, and its range in brackets or nothing."""
    if cell is None or math.isnan(cell.value):
        return "", ""

    def three(value: float) -> str:
        return f"{100 * value:.2f}" if cell.percent else f"{value:.3g}"

    ranged = "" if cell.low is None or cell.high is None or cell.of < 2 else f" [{three(cell.low)}, {three(cell.high)}]"
    return three(cell.value), ranged


def _heads(table: Table) -> list[str]:
    """Return the columns' names, per cent said in them."""
    shares = [
        any(cell.percent for _, cells in table.rows if (cell := cells[index]) is not None)
        for index in range(len(table.columns))
    ]
    return [f"{name} (%)" if share else name for name, share in zip(table.columns, shares, strict=True)]


def of(table: Table) -> str:
    """Return what the brackets mean, or nothing."""
    runs = {cell.of for _, cells in table.rows for cell in cells if cell is not None and cell.of > 1}
    if not runs:
        return ""
    seeds = f"{min(runs)}" if len(runs) == 1 else f"{min(runs)} to {max(runs)}"
    return f"Median [least, largest] over {seeds} seeds; the best median in bold."


def markdown(plate: Plate) -> str:
    """Return the figure's table for Markdown, with its caption."""
    return f"{table_markdown(plate)}\n\n{plate.caption}\n"


def table_markdown(plate: Plate) -> str:
    """Return the table alone, with what its brackets mean."""
    table = plate.table
    lines = [
        "| " + " | ".join([table.corner or "entry", *_heads(table)]) + " |",
        "|---" * (1 + len(table.columns)) + "|",
    ]
    for name, cells in table.rows:
        shown = [(*words(cell), cell is not None and cell.best) for cell in cells]
        marked = [f"**{value}**{ranged}" if best else value + ranged for value, ranged, best in shown]
        lines.append("| " + " | ".join([name.replace("|", "\\|"), *marked]) + " |")
    note = of(table)
    return "\n".join([*lines, *(["", note] if note else [])])


def tex(plate: Plate) -> str:
    """Return the figure's table for LaTeX, with booktabs."""
    table = plate.table
    heads = " & ".join(latex(head) for head in [table.corner, *_heads(table)])
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{latex(' '.join(filter(None, [plate.caption, of(table)])))}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"    \toprule",
        rf"    {heads} \\",
        r"    \midrule",
    ]
    for name, cells in table.rows:
        shown = [(*words(cell), cell is not None and cell.best) for cell in cells]
        marked = [rf"\textbf{{{latex(v)}}}{latex(r)}" if best else latex(v + r) for v, r, best in shown]
        lines.append(rf"    {' & '.join([latex(name), *marked])} \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])
