"""Names of figures, formats and venues, and descriptions of options, as plain data that is quick to import.

Widths and font sizes are those of the venues' style files (NeurIPS and ICLR 2024: text 5.5 in; ICML 2024: 6.75 in,
column 3.25 in; CVPR 2024: 6.875 in, column 3.25 in; JMLR: 6 in); captions there are of 9 or 10 points, and figures are
set a little smaller.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FigureName = Literal[
    "geometry",
    "angles",
    "histogram",
    "curves",
    "training",
    "margin",
    "margins",
    "equinorm",
    "test",
    "finals",
    "times",
    "costs",
    "implicit",
    "spectra",
    "layers",
    "composed",
]
Format = Literal["pdf", "svg", "eps", "pgf", "png", "csv", "tex", "md", "json"]
MEDIA_TYPES: dict[Format, str] = {
    "pdf": "application/pdf",
    "svg": "image/svg+xml",
    "eps": "application/postscript",
    "pgf": "application/x-tex",
    "png": "image/png",
    "csv": "text/csv; charset=utf-8",
    "tex": "application/x-tex",
    "md": "text/markdown; charset=utf-8",
    "json": "application/json",
}


@dataclass(frozen=True, slots=True)
class Venue:
    """Width of a figure in a venue's papers and its font sizes in points; `wide` spans both columns."""

    title: str
    width_in: float
    text_pt: float = 8.0
    small_pt: float = 7.0
    wide: bool = False


VENUES: dict[str, Venue] = {
    "neurips": Venue("NeurIPS, text width 5.5 in", 5.5),
    "neurips-half": Venue("NeurIPS, half width 2.7 in", 2.7),
    "iclr": Venue("ICLR, text width 5.5 in", 5.5),
    "icml": Venue("ICML, column 3.25 in", 3.25),
    "icml-wide": Venue("ICML, both columns 6.75 in", 6.75, wide=True),
    "cvpr": Venue("CVPR, column 3.25 in", 3.25),
    "cvpr-wide": Venue("CVPR, both columns 6.875 in", 6.875, wide=True),
    "jmlr": Venue("JMLR, text width 6 in", 6.0, text_pt=9.0, small_pt=8.0),
}
MAX_SCENES = 4
"""Scenes side by side in one replay."""
LAYERS = ("features", "classifier", "names")
ColourVision = Literal["colour", "grey", "protanopia", "deuteranopia", "tritanopia"]


@dataclass(frozen=True, slots=True)
class FigureInfo:
    """A figure of the catalogue: its title, the data that it needs, and the options that change it."""

    title: str
    needs: tuple[Literal["series", "captures", "costs"], ...]
    options: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    """The metrics drawn by default."""
    short_title: str = ""
    """The title of its panels in a composed figure, if they have none."""


FIGURES: dict[FigureName, FigureInfo] = {
    "geometry": FigureInfo(
        "Geometry: features, class means, classifier and ETF",
        ("captures",),
        ("epoch", "epochs", "view", "classes", "camera", "layers"),
    ),
    "angles": FigureInfo(
        "Cosines between class means", ("captures",), ("epoch", "epochs", "unit"), short_title="Cosines of class means"
    ),
    "histogram": FigureInfo(
        "Histogram of the angles between class means", ("captures",), ("epoch",), short_title="Angles of class means"
    ),
    "curves": FigureInfo(
        "Metrics over epochs", ("series",), ("keys", "split", "scale"), ("nc1", "etf_distance_means", "nc3", "top1")
    ),
    "training": FigureInfo("Loss and accuracy over epochs", ("series",), ("split", "scale"), ("loss", "top1")),
    "margin": FigureInfo("Average cosine margin over epochs", ("series",), ("split",), ("cosine_margin",)),
    "margins": FigureInfo(
        "Cosine margins of all samples, sorted (P_CM)", ("captures",), ("epoch", "split"), short_title="Sorted margins"
    ),
    "equinorm": FigureInfo(
        "Equal norms: means, classifier, and the gap between them",
        ("series",),
        ("split", "scale"),
        ("nc2_equinorm_means", "nc2_equinorm_weights", "wh_equinorm_gap"),
    ),
    "test": FigureInfo("Test accuracy over epochs", ("series",), (), ("top1",)),
    "finals": FigureInfo(
        "Metrics at the end, median and range",
        ("series",),
        ("keys", "split"),
        ("nc1", "etf_distance_means", "nc3", "nc4_ncc_mismatch", "cosine_margin", "top1"),
    ),
    "times": FigureInfo("Time to collapse", ("series",), ("keys", "split", "threshold"), ("nc1",)),
    "costs": FigureInfo("Time and memory of a training step", ("costs",)),
    "implicit": FigureInfo(
        "With and without the gradient through the ETF",
        ("series",),
        ("keys", "split", "scale"),
        ("loss", "nc1", "nc3", "cosine_margin"),
    ),
    "spectra": FigureInfo(
        "Spectra of the between-class and within-class covariance", ("captures",), ("epoch",), short_title="Spectra"
    ),
    "layers": FigureInfo("Collapse over the layers", ("series",), ("epoch", "split"), ("nc1", "ncc_accuracy")),
    "composed": FigureInfo(
        "Several figures with letters",
        ("series", "captures"),
        ("panels", "epoch", "view", "classes", "camera", "layers", "unit", "keys", "split", "scale"),
    ),
}
COMMON_OPTIONS = ("venue", "width", "serif", "sight", "dpi", "legend", "axes")
"""Options of every figure."""
DEFAULT_THRESHOLDS = {"nc1": 0.1, "etf_distance_means": 0.01, "nc3": 0.1, "nc4_ncc_mismatch": 0.01, "top1": 0.999}
"""Metrics that have a time to collapse, with their default thresholds."""

OPTIONS = {
    "epoch": "Epoch of the capture, or the newest at or before it (default: the newest).",
    "epochs": "Several epochs side by side, comma-separated: 1,5,20",
    "view": "View of the geometry instead of the run's own: pca or tetrahedron.",
    "classes": "Four classes, for the view tetrahedron: 0,3,5,8",
    "camera": "ex,ey,ez,ux,uy,uz,zoom",
    "layers": f"What the geometry shows, of {','.join(LAYERS)} (default: all).",
    "unit": "Cosines or angles in the heatmap.",
    "keys": "Metrics, comma-separated.",
    "split": "train, test, or both (train,test).",
    "scale": "Scale of the metrics' axes; auto is logarithmic where a metric spans a factor of twenty.",
    "until": "Draw curves up to this epoch alone.",
    "threshold": "The value at or beyond which a metric counts as collapsed, for `times`.",
    "panels": "The figures of `composed`, comma-separated: geometry,angles,curves:nc1+nc3,margins",
    "venue": f"Width and type by venue: {', '.join(VENUES)}.",
    "width": "Width in inches instead of the venue's.",
    "serif": "Type as in the text of a paper, or without serifs.",
    "sight": "How the colours are seen: as they are, in grey, or by people with a colour-vision deficiency.",
    "dpi": "Dots an inch, of PNG alone.",
    "legend": "Say what is what above the panels.",
    "axes": "Axes at the left and below, all around, or with a grid.",
}
"""The description of every option; its type and limits are in `options.FigureOptions`."""
FILM_OPTIONS = ("view", "classes", "camera", "layers")
"""Options that a film has too."""
