"""Explanations of charts: a few sentences about each, which open beside its title."""

from __future__ import annotations

from typing import Any

from dash import html

from backend.api.page_constants import MAX_FRAME_CLASSES

TITLE = "About this chart"
EXPLANATIONS: dict[str, tuple[str, ...]] = {
    "scene": (
        "Open rings are the vertices of the simplex ETF nearest to the class means, filled dots the means of the "
        "classes' penultimate features, both in the coordinates of that ETF's frame. Small dots are training samples, "
        "diamonds the rows of the classifier. At neural collapse the dot, the ring and the diamond of each class "
        "coincide.",
        "Spherical: an orthogonal projection in which all vertices lie on a sphere, as evenly as possible. It shows "
        "every class, but projects K − 1 dimensions to three: points that look close may be far apart.",
        "Tetrahedron: four classes, between which nothing is distorted. PCA: the three directions of largest variance "
        "of the class means. Grand tour: a slow rotation through all dimensions; points that stay together are close.",
        f"Above {MAX_FRAME_CLASSES} classes, samples are shown as a density and class means as small dots; classes are "
        "drawn individually if they are searched for, hovered, or the pair with the smallest angle.",
        "Misclassified: training samples that the classifier predicts as another class, with their image if there is "
        "one. ETF rotation: the vertices of the nearest ETF at previous captures, projected to the frame of this one.",
        "Coordinates are divided by the mean norm of the centred class means (those of the classifier by the mean "
        "norm of its rows), so the vertices stay at radius one while features shrink or grow.",
    ),
    "angles": (
        "The cosine between every two centred class means. At collapse all are −1/(K − 1). The colour scale is centred "
        "there: red pairs are closer to each other than at collapse, blue ones further apart.",
        "Source: Papyan, Han, Donoho 2020, NC2 (equal angles).",
    ),
    "readings": (
        "The latest epoch, or the one that is hovered. The large number is of the training split.",
        "NC1 is the variability within classes, NC2 the deviation from equal angles, NC3 the distance between the "
        "classifier and the class means. All three are zero at collapse (Papyan, Han, Donoho 2020).",
    ),
    "classes": (
        "One row for each class; classes with the smallest angle to another one are first. The within-class variance "
        "is the mean squared distance of a class's features from their mean (Galanti, György, Hutter 2021).",
    ),
    "confusion": ("The number of training samples of each class (rows) that are predicted as each class (columns).",),
    "margins": (
        "P_CM: for every sample the cosine with the classifier's row of its class minus the largest cosine with "
        "another row, in ascending order. At collapse all are K/(K − 1).",
    ),
    "spectra": (
        "Eigenvalues of the covariance between and within classes. At collapse, the first has K − 1 equal eigenvalues, "
        "and the second is zero.",
    ),
    "compare-scenes": (
        "One scene for each configuration, of its first seed. All scenes share the camera and the position on the "
        "axis.",
    ),
    "compare-curves": ("The median over a configuration's runs, with a band from their minimum to their maximum.",),
    "time": (
        "The first measured epoch from which on a metric stays at or beyond the threshold: the bar is the median, each "
        "mark a run. Runs that do not reach the threshold are counted beside the bar.",
    ),
    "difference": (
        "Cosines between class means of the first configuration minus those of the second, each the mean over its "
        "runs, at the position on the axis. The difference is zero where both have collapsed.",
    ),
}


def explanation(name: str, *more: Any) -> Any:
    """Return the explanation of a chart, closed; `more` is appended to its sentences."""
    sentences = [html.P(text) for text in EXPLANATIONS.get(name, ())]
    return html.Details(
        [
            html.Summary("?", title=TITLE, **{"aria-label": TITLE}),
            html.Div([html.B(TITLE), *sentences, *more]),
        ],
        className="explanation",
    )
