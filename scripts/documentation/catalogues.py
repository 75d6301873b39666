"""The pages of metrics and of figures, from the catalogues of the engine and of ncfigures."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from metric_drawings import DRAWINGS, words

import ncengine as nc
from documentation.markdown import cell, code, table
from ncfigures.catalogue import COMMON_OPTIONS, FIGURES, MEDIA_TYPES, OPTIONS, VENUES, FigureName
from ncfigures.options import format_export_command, parse_options

ROOT = Path(__file__).resolve().parents[2]
METRIC_PICTURES = ROOT / "docs/pictures/metrics"
VALUES = METRIC_PICTURES / "values.json"
"""What the two runs of the metrics' pictures measured, written by make_metric_pictures.py."""
EPOCHS = 150
MOMENTS = ("start", "terminal phase", "collapse")
LONG_TAIL_FAMILIES = ("Long tail", "Norms")
"""Families of metrics that are shown of the run with a long tail, whose features have free norms."""

STRIP = {"epochs": "0,1,3,20", "venue": "iclr"}
SHEET: list[tuple[FigureName, str, dict[str, str]]] = [
    ("geometry", "one", {"venue": "icml"}),
    ("geometry", "one", STRIP),
    ("angles", "heads", {"venue": "iclr"}),
    *((name, "heads", {}) for name in ("histogram", "curves", "training", "margin", "margins", "equinorm", "test")),
    *((name, "heads", {}) for name in ("finals", "times", "costs", "spectra")),
    ("implicit", "implicit", {}),
    ("layers", "layered", {}),
    ("composed", "one", {"venue": "iclr"}),
]
"""Figures that make_figure_pictures.py draws: name, runs, options."""
RUN_ARGUMENTS = {"one": "RUN", "heads": "RUN,…", "implicit": "RUN,RUN", "layered": "RUN"}

METRICS_INTRODUCTION = f"""# Metrics

Every metric that a run measures and that `nc.measure` and `nc.Meter` give, with what it is read off at three
moments: after the first epoch, when the terminal phase begins (training accuracy 99.9 %), and at the end.

Symbols: class mean μ_c, their mean μ_G, m_c = μ_c − μ_G, H = [m_1 … m_K], classifier rows w_c, mean row w̄,
Σ_W and Σ_B the covariances within and between classes, T = (I − 11ᵀ/K)/√(K−1).

Numbers are of the training split. *Exact* metrics count every sample; the others those that the meter kept,
all up to 256 MiB, and `Measurement.samples`, `.of` and `.errors` say how many and how far off they may be.

Both runs: handwritten digits, small CNN, learned linear classifier, {EPOCHS} epochs. The balanced one has
its features on a sphere, and is told apart from clothes (Fashion-MNIST). Long tail and norms are shown of
the other: its features are as the network makes them, and its rarest class has a fiftieth of the samples of
the most frequent one.
"""


def run_of(key: str) -> str:
    """Return which of the two runs a metric is shown of."""
    family = {spec.key: spec.family for spec in nc.catalogue()}[key]
    return "long tail" if family in LONG_TAIL_FAMILIES else "balanced"


def ideal_text(spec: Any) -> str:
    """Return a metric's ideal in words, by its values for two numbers of classes."""
    if spec.ideal is None:
        return "none"
    few, many = spec.ideal(10), spec.ideal(100)
    if few == many:
        return f"{few:g}"
    for formula, value in (("K/(K−1)", lambda k: k / (k - 1)), ("−1/(K−1)", lambda k: -1 / (k - 1))):
        if math.isclose(few, value(10)) and math.isclose(many, value(100)):
            return formula
    return f"{few:g} at K = 10, {many:g} at K = 100"


def metrics_page() -> str:
    """Return the page of all metrics: texts of the catalogue, numbers and pictures of the runs."""
    runs = json.loads(VALUES.read_text())["runs"]
    lines = [METRICS_INTRODUCTION]
    for family in dict.fromkeys(spec.family for spec in nc.catalogue()):
        lines.append(f"## {family}\n")
        lines += [
            _metric(spec, [moment["scalars"].get(spec.key) for moment in runs[run_of(spec.key)]])
            for spec in nc.catalogue()
            if spec.family == family
        ]
    return "\n".join(lines)


def _metric(spec: Any, shown: list[float | None]) -> str:
    better = "low is better" if spec.direction == "low" else "high is better"
    return (
        f"### {spec.label}\n\n"
        f"`{spec.key}` = `{spec.formula}`\n\n"
        f"{spec.reading} Ideal: {ideal_text(spec)}; {better}; {'exact' if spec.exact else 'of kept samples'}. "
        f"Source: {spec.source}.\n\n" + _picture(spec, shown)
    )


def _picture(spec: Any, shown: list[float | None]) -> str:
    """Return a metric's picture with its words and numbers; nothing for a metric that has no drawing."""
    if spec.key not in DRAWINGS:
        return ""
    numbers = ", ".join(
        f"{name} {'absent' if value is None else format(value, '.3g')}"
        for name, value in zip(MOMENTS, shown, strict=True)
    )
    return (
        f"![{spec.label} at three moments](../pictures/metrics/{spec.key}.png)\n\n"
        f"{words(DRAWINGS[spec.key], spec.key)} Here: {numbers}.\n"
    )


def picture_name(number: int) -> str:
    """Return the file of a figure of the sheet."""
    return f"{number:02d}-{SHEET[number][0]}.svg"


def figures_page() -> str:
    """Return the page of all figures: titles, options and commands of the catalogue, pictures of real runs."""
    common = ", ".join(f"`{name}`" for name in COMMON_OPTIONS)
    formats = ", ".join(f"`{name}`" for name in MEDIA_TYPES)
    lines = [
        "# Figures\n",
        "Every figure, drawn from runs on handwritten digits. `collapse export`, the export dialog of a page and "
        "`GET /api/v1/runs/{run_id}/figures/{figure}.{format}` have the same names and options.\n",
        f"Formats: {formats}. Options of every figure: {common}.\n",
        table(("venue", "width"), [(code(name), venue.title) for name, venue in VENUES.items()]),
        table(("option", "meaning"), [(code(name), cell(meaning)) for name, meaning in OPTIONS.items()]),
    ]
    for name, info in FIGURES.items():
        lines.append(f"## {info.title}\n")
        options = ", ".join(f"`{option}`" for option in info.options)
        metrics = f" Metrics by default: {', '.join(f'`{key}`' for key in info.metrics)}." if info.metrics else ""
        lines.append(f"`{name}`. {f'Options: {options}.' if options else 'No options of its own.'}{metrics}\n")
        for number, (figure, of, chosen) in enumerate(SHEET):
            if figure == name:
                command = format_export_command(
                    [RUN_ARGUMENTS[of]], figure, "pdf", parse_options(dict(chosen)), f"{figure}.pdf"
                )
                lines.append(f"```sh\n{command}\n```\n\n![{info.title}](../pictures/figures/{picture_name(number)})\n")
    return "\n".join(lines)
