"""The numbers of a figure as text: CSV of exactly what is drawn, and tables for LaTeX and Markdown."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from ncfigures.figure_spec import F64, ChartSpec, FigureSpec, HeatmapSpec, Panel, SceneSpec, SummaryTable, TableCell
from ncfigures.latex import escape_latex


def format_csv(spec: FigureSpec) -> str:
    """Return the drawn numbers as CSV: one table if all panels share an axis, else a table for each panel."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    charts = [panel for panel in spec.panels if isinstance(panel, ChartSpec)]
    lines = [panel for panel in charts if panel.lines and not panel.row_labels]
    if len(lines) == len(spec.panels) and len({panel.x.label for panel in lines}) == 1:
        writer.writerows(_lines(lines))
        return stream.getvalue()
    for place, panel in enumerate(spec.panels):
        if place:
            writer.writerow([])
        if len(spec.panels) > 1 and panel.title:
            writer.writerow([panel.title])
        writer.writerows(_panel(panel))
    return stream.getvalue()


def _panel(panel: Panel) -> list[list[str]]:
    if isinstance(panel, SceneSpec):
        return _scene(panel)
    if isinstance(panel, HeatmapSpec):
        rows = [[name, *(format_number(v) for v in row)] for name, row in zip(panel.labels, panel.values, strict=True)]
        return [["class", *panel.labels], *rows]
    if panel.row_labels:
        return _rows(panel)
    if panel.histograms:
        edges = panel.histograms[0].edges
        head = ["from", "to", *(steps.label for steps in panel.histograms)]
        counts = np.stack([steps.counts for steps in panel.histograms], axis=1)
        return [
            head,
            *([format_number(v) for v in (a, b, *c)] for a, b, c in zip(edges, edges[1:], counts, strict=False)),
        ]
    return _lines([panel])


def _lines(charts: Sequence[ChartSpec]) -> list[list[str]]:
    """Return a column for each line (three if it has a range) and a row for each x of any line."""
    lines = [line for chart in charts for line in chart.lines]
    places = np.unique(np.concatenate([line.x for line in lines]))
    head, columns = [charts[0].x.label or "x"], []
    for line in lines:
        name = line.column_name or line.label
        for suffix, values in (("", line.y), (" least", line.low), (" largest", line.high)):
            if values is None:
                continue
            column = np.full(len(places), math.nan)
            column[np.searchsorted(places, line.x)] = values
            head.append(name + suffix)
            columns.append(column)
    tick_labels = dict(charts[0].x.tick_labels or ())
    shown = [tick_labels.get(float(place), format_number(place)) for place in places]
    return [head, *_columns(shown, columns)]


def _columns(names: Sequence[str], columns: Sequence[F64]) -> list[list[str]]:
    return [[name, *map(format_number, row)] for name, *row in zip(names, *columns, strict=True)]


def _rows(chart: ChartSpec) -> list[list[str]]:
    head, columns = ["entry"], []
    for bars in chart.bars:
        for suffix, values in (("", bars.values), (" least", bars.low), (" largest", bars.high)):
            if values is not None:
                head.append((bars.label or chart.title) + suffix)
                columns.append(values)
    if chart.intervals is not None:
        head += [chart.title, f"{chart.title} least", f"{chart.title} largest"]
        columns += [chart.intervals.values, chart.intervals.low, chart.intervals.high]
    return [head, *_columns(chart.row_labels, columns)]


def _scene(scene: SceneSpec) -> list[list[str]]:
    """Return every drawn point: kind, class, coordinates in the ETF's frame and in the view."""
    rank = next(iter(scene.coordinates.values())).shape[1]
    rows = [["kind", "class", *(f"c{place + 1}" for place in range(rank)), "x", "y", "z"]]
    for points in scene.points:
        whole = scene.coordinates[points.kind]
        for label, own, shown in zip(points.labels, whole, points.positions_N3, strict=True):
            rows.append([points.kind, scene.class_names[label], *(format_number(v) for v in (*own, *shown))])
    return rows


def format_number(value: float) -> str:
    """Return a number with the digits of single precision; nothing for NaN."""
    return "" if math.isnan(value) else f"{float(value):.7g}"


def format_cell(cell: TableCell | None) -> tuple[str, str]:
    """Return a cell's number, and its range in brackets if it has one."""
    if cell is None or math.isnan(cell.value):
        return "", ""

    def three(value: float) -> str:
        return f"{100 * value:.2f}" if cell.percent else f"{value:.3g}"

    ranged = (
        "" if cell.low is None or cell.high is None or cell.count < 2 else f" [{three(cell.low)}, {three(cell.high)}]"
    )
    return three(cell.value), ranged


def _column_heads(table: SummaryTable) -> list[str]:
    """Return the names of the columns, with (%) where they are in per cent."""
    shares = [
        any(cell.percent for _, cells in table.rows if (cell := cells[index]) is not None)
        for index in range(len(table.columns))
    ]
    return [f"{name} (%)" if share else name for name, share in zip(table.columns, shares, strict=True)]


def format_range_note(table: SummaryTable) -> str:
    """Return the explanation of the brackets, if the table has any."""
    runs = {cell.count for _, cells in table.rows for cell in cells if cell is not None and cell.count > 1}
    if not runs:
        return ""
    seeds = f"{min(runs)}" if len(runs) == 1 else f"{min(runs)} to {max(runs)}"
    return f"Median [least, largest] over {seeds} seeds; the best median in bold."


def format_markdown(spec: FigureSpec) -> str:
    """Return the figure's table for Markdown, with its caption."""
    return f"{format_markdown_table(spec)}\n\n{spec.caption}\n"


def format_markdown_table(spec: FigureSpec) -> str:
    """Return the table and the explanation of its brackets, without the caption."""
    table = spec.table
    lines = [
        "| " + " | ".join([table.corner or "entry", *_column_heads(table)]) + " |",
        "|---" * (1 + len(table.columns)) + "|",
    ]
    for name, cells in table.rows:
        shown = [(*format_cell(cell), cell is not None and cell.best) for cell in cells]
        marked = [f"**{value}**{ranged}" if best else value + ranged for value, ranged, best in shown]
        lines.append("| " + " | ".join([name.replace("|", "\\|"), *marked]) + " |")
    note = format_range_note(table)
    return "\n".join([*lines, *(["", note] if note else [])])


def format_latex_table(spec: FigureSpec) -> str:
    """Return the figure's table for LaTeX, with booktabs."""
    table = spec.table
    heads = " & ".join(escape_latex(head) for head in [table.corner, *_column_heads(table)])
    lines = [
        r"% \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{escape_latex(' '.join(filter(None, [spec.caption, format_range_note(table)])))}}}",
        rf"  \begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"    \toprule",
        rf"    {heads} \\",
        r"    \midrule",
    ]
    for name, cells in table.rows:
        shown = [(*format_cell(cell), cell is not None and cell.best) for cell in cells]
        marked = [
            rf"\textbf{{{escape_latex(v)}}}{escape_latex(r)}" if best else escape_latex(v + r) for v, r, best in shown
        ]
        # LaTeX would read a bracket or a star at the beginning of a row as an argument of the line break before it.
        first = "{}" + escape_latex(name) if name.startswith(("[", "*")) else escape_latex(name)
        lines.append(rf"    {' & '.join([first, *marked])} \\")
    return "\n".join([*lines, r"    \bottomrule", r"  \end{tabular}", r"\end{table}", ""])
