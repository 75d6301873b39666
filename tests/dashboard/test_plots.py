"""Figures without data: valid for Plotly, traces where the scripts look for them; colours as designed."""

from __future__ import annotations

import re

import plotly.graph_objects as go
import pytest

from backend.api.routes.catalogue import metrics
from dashboard.plots.charts import GROUP_SIZE, READINGS, angles_figure, chart_figure, family_groups, overview_groups
from dashboard.plots.details import confusion_figure, layers_figure, margins_figure, spectra_figure
from ncengine.metrics import METRICS
from ncfigures import palette

NAMES = [f"class {index}" for index in range(12)]


FIGURES = {
    "angles": angles_figure(NAMES, "r"),
    "chart": chart_figure(40, "r"),
    "confusion": confusion_figure(NAMES),
    "margins": margins_figure(12),
    "spectra": spectra_figure(12),
    "layers": layers_figure("r"),
}


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_plotly_knows_every_setting(figure):
    go.Figure(figure)  # raises ValueError for a name or value that Plotly does not have


def test_margins_and_spectra_say_their_ideals():
    assert FIGURES["margins"]["data"][2]["y"] == [12 / 11] * 2
    assert "at collapse, 11 between classes" in FIGURES["spectra"]["layout"]["xaxis"]["title"]["text"]


def test_names_are_written_up_to_thirty_classes():
    few, many = (angles_figure([str(i) for i in range(k)], "r")["layout"]["xaxis"]["showticklabels"] for k in (30, 31))
    assert (few, many) == (True, False)


def catalogue():
    return metrics(10).items


def test_every_metric_has_a_chart_with_the_catalogue_s_words():
    groups = family_groups(catalogue())
    charts = [chart for group in groups for chart in group["charts"]]
    assert [chart["key"] for chart in charts] == [metric.key for metric in sorted_by_family(catalogue())]
    assert all(1 <= len(group["charts"]) <= GROUP_SIZE for group in groups)
    assert len({group["name"] for group in groups}) == len(groups)
    shown = next(chart for chart in charts if chart["key"] == "nc1")
    assert shown["title"] == METRICS["nc1"].label
    assert METRICS["nc1"].formula in shown["help"]
    assert METRICS["nc1"].reading in shown["help"]
    assert {chart["key"] for chart in charts if chart["percent"]} == {key for key, m in METRICS.items() if m.share}


def sorted_by_family(items):
    order = list(dict.fromkeys(metric.family for metric in items))
    return sorted(items, key=lambda metric: order.index(metric.family))


def test_every_chart_and_reading_is_a_metric_that_there_is():
    charts = [chart for group in overview_groups(catalogue()) for chart in group["charts"]]
    assert len(charts) == 3 * GROUP_SIZE + 2
    assert {*(c["key"] for c in charts if "key" in c), *READINGS} <= set(METRICS)


def test_colours_of_classes():
    assert palette.class_colours(10) == list(palette.CLASSES_10)
    hues = palette.class_colours(30)
    assert len(set(hues)) == 30
    assert all(re.fullmatch(r"#[0-9a-f]{6}", colour) for colour in hues)
    assert len(set(palette.class_colours(100))) == 1


def test_oklch_agrees_with_the_published_values():
    # White, black, and sRGB red, whose OKLCH coordinates are (0.62796, 0.25768, 29.234°).
    assert palette.oklch(1, 0, 0) == "#ffffff"
    assert palette.oklch(0, 0, 0) == "#000000"
    assert palette.oklch(0.627955, 0.257683, 29.2339) == "#ff0000"


def test_even_hues_are_equally_light():
    def luminance_like(colour: str) -> float:
        """OKLab lightness of an sRGB colour."""
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        cones = (
            0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b,
            0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b,
            0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b,
        )
        return sum(w * c ** (1 / 3) for w, c in zip((0.2104542553, 0.7936177850, -0.0040720468), cones, strict=True))

    found = [luminance_like(colour) for colour in palette.class_colours(24)]
    # Eight bits a channel, and no clipping: all hues are inside sRGB.
    assert max(found) - min(found) < 0.01
