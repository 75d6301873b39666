"""What am I seeing? A few sentences for every picture, in one place, opened beside its title."""

from __future__ import annotations

from typing import Any

from dash import html

WORDS: dict[str, tuple[str, ...]] = {
    "scene": (
        "Each open ring is a vertex of the simplex ETF nearest to the class means; each filled dot is the mean of a "
        "class's penultimate features, in the frame of that ETF. Small dots are training samples, diamonds the "
        "classifier's rows. Neural collapse is when dots, rings and diamonds of a class become one.",
        "Spherical: an orthogonal projection chosen so that all vertices lie on a sphere, spread as evenly as they can "
        "be. It shows every class, and flattens K − 1 dimensions to three: what looks near may be far apart.",
        "4 classes: the tetrahedron of four classes; between these four nothing is lost. PCA: the three directions in "
        "which the class means spread most. Tour: a slow rotation through all dimensions; what stays together there "
        "is together.",
        "Above 128 classes no class is drawn by itself but those that are searched for, pointed at or nearest to each "
        "other: samples are shown by their density, class means as fine dots.",
        "mistakes: training samples that the classifier takes for another class, with their picture where they are "
        "images. turn: where the vertices of the nearest ETF were in the captures before, in the coordinates of this "
        "one; what has left its frame is cut off.",
        "Everything is divided by the mean norm of the centred class means (the classifier's rows by theirs), so the "
        "vertices stay at radius one while the features shrink or grow.",
    ),
    "angles": (
        "The cosine between every two centred class means. At collapse all of them are −1/(K − 1): the scale is "
        "centred there, so a collapsed run fades to the colour of the page. Red pairs are nearer to each other than "
        "they should be, blue ones further apart.",
        "Source: Papyan, Han, Donoho 2020, NC2 (equal angles).",
    ),
    "readings": (
        "The newest epoch, or the one that is pointed at: the large number is of the training split.",
        "NC1 is the variability within classes, NC2 how far the angles are from equal, NC3 how far the classifier is "
        "from the class means. All three go to zero at collapse (Papyan, Han, Donoho 2020).",
    ),
    "classes": (
        "One row a class, the class whose mean is nearest to another one first. The within-class variance is the "
        "mean squared distance of a class's features from their mean (Galanti, György, Hutter 2021).",
    ),
    "confusion": ("How many training samples of each class were taken for which other. Rows are the labels.",),
    "margins": (
        "P_CM: for every sample the cosine with its own class's row minus the largest with another one, in rising "
        "order. At collapse all of them are K/(K − 1).",
    ),
    "spectra": (
        "Eigenvalues of the covariance between and within classes. At collapse K − 1 equal ones are left of the first, "
        "and nothing of the second.",
    ),
    "compare-scenes": (
        "One scene for each entry: a run, or the first of several seeds. Cameras and the place on the axis are linked.",
    ),
    "compare-curves": (
        "The median over an entry's runs, and the range between the least and the greatest of them as a band.",
    ),
    "time": (
        "The first measured epoch from which on the metric stays at or beyond the threshold: one mark for each run, a "
        "bar for the median. A run that never stays there has none, and is counted beside the bar.",
    ),
    "difference": (
        "Cosines between class means of the first entry minus those of the second, each the mean over its seeds, at "
        "the place shown. Where both have collapsed, nothing is left.",
    ),
}


def why(name: str, *more: Any) -> Any:
    """Return the explanation of a picture, closed; `more` stands below its sentences."""
    return html.Details(
        [
            html.Summary("?", title="What am I seeing?", **{"aria-label": "What am I seeing?"}),
            html.Div([html.B("What am I seeing?"), *(html.P(words) for words in WORDS.get(name, ())), *more]),
        ],
        className="why",
    )
