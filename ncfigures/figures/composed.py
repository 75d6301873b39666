"""Several figures as the panels of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ncfigures.catalogue import FIGURES, FigureName
from ncfigures.figure_data import FigureRequest
from ncfigures.figure_spec import FigureSpec, LegendEntry, Panel, SummaryTable, TableCell
from ncfigures.options import parse_panels


def build_composed(
    request: FigureRequest, builders: Mapping[FigureName, Callable[[FigureRequest], FigureSpec]]
) -> FigureSpec:
    """Return the panels of several figures, lettered a, b, c in reading order."""
    panels: list[Panel] = []
    keys: dict[LegendEntry, None] = {}
    captions: list[str] = []
    notices: list[str] = []
    rows: list[tuple[str, list[TableCell | None]]] = []
    for name, options in parse_panels(request.options):
        spec = builders[name](replace(request, figure=name, options=options))
        letters = [chr(ord("a") + len(panels) + place) for place in range(len(spec.panels))]
        captions.append(f"({letters[0]}{'–' + letters[-1] if len(letters) > 1 else ''}) {spec.caption}")
        for panel in spec.panels:
            panels.append(panel if panel.title else replace(panel, title=FIGURES[name].short_title))
        keys |= dict.fromkeys(spec.legend)
        notices += spec.notices
        for row, cells in spec.table.rows:
            rows += [
                (f"({letters[0]}) {row}, {column}", [each])
                for column, each in zip(spec.table.columns, cells, strict=True)
            ]
    return FigureSpec(
        panels=panels,
        legend=list(keys),
        caption=" ".join(captions),
        table=SummaryTable("", ["value"], rows),
        columns=2 if len(panels) in (2, 4) else 3 if len(panels) > 2 else 1,
        notices=notices,
        letters=True,
    )
