"""One drawing a metric: what the number is read off, at one moment of a run. Used by make_metric_pictures.py.

Importing it loads neither torch nor matplotlib, because the documentation's build needs the descriptions only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import ncengine as nc
from ncfigures.palette import CLASSES_10, HIGH, LOW, TOKENS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ncengine.measurement.result import Measurement

INK = TOKENS["light"]
FAINT, DARK, ACCENT = INK["ink-3"], INK["ink"], INK["accent"]


@dataclass
class Moment:
    """Features of both splits and of other data, the classifier, and what was measured, after one epoch."""

    epoch: int
    features_ND: np.ndarray
    labels_N: np.ndarray
    ood_ND: np.ndarray
    weight_KD: np.ndarray
    bias_K: np.ndarray
    train: Measurement
    test: Measurement
    frame_DR: np.ndarray
    previous_DR: np.ndarray | None
    counts_K: np.ndarray

    @cached_property
    def means_KD(self) -> np.ndarray:
        return self.train.arrays["means"].T

    @cached_property
    def centred_KD(self) -> np.ndarray:
        return self.means_KD - self.train.arrays["global_mean"]

    @cached_property
    def rows_KD(self) -> np.ndarray:
        return self.weight_KD - self.weight_KD.mean(axis=0)

    @cached_property
    def logits_NK(self) -> np.ndarray:
        return self.features_ND @ self.weight_KD.T + self.bias_K

    @cached_property
    def nearest_N(self) -> np.ndarray:
        squared = (self.means_KD**2).sum(axis=1) - 2 * self.features_ND @ self.means_KD.T
        return squared.argmin(axis=1)

    @cached_property
    def within_DD(self) -> np.ndarray:
        around = self.features_ND - self.means_KD[self.labels_N]
        return around.T @ around / len(around)

    def vectors(self, which: str) -> np.ndarray:
        return self.centred_KD if which == "means" else self.rows_KD


Drawing: TypeAlias = "Callable[[Axes, Moment], None]"


def _bars(axes: Axes, values: np.ndarray, ideal: float | None = None) -> None:
    colours = CLASSES_10 if len(values) == len(CLASSES_10) else ACCENT
    axes.bar(np.arange(len(values)), values, color=colours, width=0.75)
    if ideal is not None:
        axes.axhline(ideal, color=FAINT, lw=0.9, ls=(0, (5, 3)))
    axes.set_xticks([])


def _matrix(axes: Axes, values: np.ndarray, spread: float, centre: float = 0.0) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("low-high", [LOW, INK["neutral"], HIGH])
    image = axes.imshow(values, cmap=colours, vmin=centre - spread, vmax=centre + spread)
    ticks = [centre - spread, centre, centre + spread]
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, ticks=ticks, format="%.2f")
    bar.ax.tick_params(labelsize=6, colors=INK["ink-2"], width=0.5)
    bar.outline.set_visible(False)
    axes.set(xticks=[], yticks=[])


def cloud(axes: Axes, moment: Moment) -> None:
    """Features along the two leading principal directions of the class means."""
    directions = np.linalg.svd(moment.centred_KD, full_matrices=False)[2][:2].T
    shown = (moment.features_ND - moment.train.arrays["global_mean"]) @ directions
    scale = np.abs(moment.centred_KD @ directions).max()
    axes.scatter(*(shown / scale).T, s=2, c=np.array(CLASSES_10)[moment.labels_N], alpha=0.35, linewidths=0)
    axes.scatter(*(moment.centred_KD @ directions / scale).T, s=26, c=CLASSES_10, edgecolors=DARK, linewidths=0.6)
    axes.set(xlim=(-1.7, 1.7), ylim=(-1.7, 1.7), aspect="equal", xticks=[], yticks=[])


def along_directions(axes: Axes, moment: Moment) -> None:
    """Of each principal direction of Σ_B: the variance of the class means (line) and within classes (bars)."""
    _, singular, directions = np.linalg.svd(moment.centred_KD, full_matrices=False)
    between = singular[:-1] ** 2 / len(moment.centred_KD)
    within = np.einsum("rd,de,re->r", directions[:-1], moment.within_DD, directions[:-1])
    axes.bar(np.arange(len(within)), within / between[0], color=ACCENT, width=0.7)
    axes.plot(np.arange(len(between)), between / between[0], "o-", color=DARK, ms=3, lw=0.9)
    axes.set(yscale="log", ylim=(1e-4, 2), xticks=[])


def pairs(axes: Axes, moment: Moment) -> None:
    """log₁₀ V_ij of all pairs of classes."""
    variances = moment.train.arrays["within_variance"]
    squared = ((moment.means_KD[:, None] - moment.means_KD) ** 2).sum(axis=2)
    values = (variances[:, None] + variances) / (2 * np.where(squared > 0, squared, np.nan))
    _matrix(axes, np.log10(values), 2.0, -2.0)


def spectra(axes: Axes, moment: Moment) -> None:
    """Eigenvalues of Σ_B (dots) and Σ_W (line), over the largest of Σ_B."""
    between, within = moment.train.arrays["spectrum_between"], moment.train.arrays["spectrum_within"]
    axes.plot(np.arange(len(within)), within / between[0], color=ACCENT, lw=1.1)
    axes.plot(np.arange(len(between)), between / between[0], "o", color=DARK, ms=3)
    axes.set(yscale="log", ylim=(1e-6, 2), xlim=(-1, 32))


def singular_values(axes: Axes, moment: Moment) -> None:
    """Singular values of each class's samples, over the largest."""
    for label, colour in enumerate(CLASSES_10):
        values = np.linalg.svd(moment.features_ND[moment.labels_N == label], compute_uv=False)
        axes.plot(values / values[0], color=colour, lw=0.9)
    axes.set(yscale="log", ylim=(1e-4, 1.5), xlim=(-1, 32))


def norms(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """Norms of the class means (or rows), over their mean."""
        lengths = np.linalg.norm(moment.vectors(which), axis=1)
        _bars(axes, lengths / lengths.mean(), 1.0)
        axes.set_ylim(0, 1.6)

    return draw


def cosines(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """Cosines between class means (or rows), centred at −1/(K−1)."""
        values = moment.train.arrays[f"cosines_{which}"].copy()
        np.fill_diagonal(values, np.nan)
        _matrix(axes, values, 0.7, -1 / (len(values) - 1))

    return draw


def _off_diagonal(values: np.ndarray) -> np.ndarray:
    return values[~np.eye(len(values), dtype=bool)]


def angles(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """How often each cosine occurs, and the simplex's."""
        values = moment.train.arrays[f"cosines_{which}"]
        axes.hist(_off_diagonal(values), np.linspace(-0.9, 0.9, 46), color=ACCENT)
        axes.axvline(-1 / (len(values) - 1), color=DARK, lw=0.9, ls=(0, (5, 3)))

    return draw


def gram(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """The normalised Gram matrix less that of the simplex ETF."""
        rows = moment.centred_KD if which == "means" else moment.weight_KD
        _matrix(axes, _normalised(rows @ rows.T) - _simplex(len(rows)), 0.2)

    return draw


def _normalised(matrix: np.ndarray) -> np.ndarray:
    return matrix / np.linalg.norm(matrix)


def _simplex(classes: int) -> np.ndarray:
    return (np.eye(classes) - 1 / classes) / math.sqrt(classes - 1)


def distances(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """Distances between unit vectors, and the simplex's √(2K/(K−1))."""
        rows = moment.vectors(which)
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        apart = _off_diagonal(np.linalg.norm(units[:, None] - units, axis=2))
        axes.hist(apart, np.linspace(0.4, 2, 46), color=ACCENT)
        axes.axvline(math.sqrt(2 * len(rows) / (len(rows) - 1)), color=DARK, lw=0.9, ls=(0, (5, 3)))

    return draw


def stretch(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """Singular values of the normalised matrix, all 1/√(K−1) at a simplex ETF."""
        values = np.linalg.svd(_normalised(moment.vectors(which)), compute_uv=False)[:-1]
        axes.bar(np.arange(len(values)), values, color=ACCENT, width=0.7)
        axes.axhline(len(values) ** -0.5, color=DARK, lw=0.9, ls=(0, (5, 3)))
        axes.set(ylim=(0, 0.75), xticks=[])

    return draw


def drift(axes: Axes, moment: Moment) -> None:
    """How far each vertex of the nearest ETF has moved since the epoch before."""
    import torch

    classes = len(moment.means_KD)
    vertices = nc.simplex_etf(classes, dtype=torch.float64).numpy()
    before = moment.frame_DR if moment.previous_DR is None else moment.previous_DR
    _bars(axes, np.linalg.norm(vertices @ (moment.frame_DR - before).T, axis=1), 0.0)
    axes.set_ylim(0, 0.1)
    if moment.previous_DR is None:
        axes.text(0.5, 0.5, "no epoch before", transform=axes.transAxes, ha="center", fontsize=7, color=FAINT)


def duality(axes: Axes, moment: Moment) -> None:
    """WH, normalised, less the simplex's T."""
    _matrix(axes, _normalised(moment.weight_KD @ moment.centred_KD.T) - _simplex(len(moment.weight_KD)), 0.2)


def entries(axes: Axes, moment: Moment) -> None:
    """Each entry of W over that of Hᵀ, both normalised: on the diagonal where they are the same."""
    rows, means = _normalised(moment.weight_KD), _normalised(moment.centred_KD)
    reach = 0.3
    axes.plot([-reach, reach], [-reach, reach], color=FAINT, lw=0.8)
    axes.scatter(means.ravel(), rows.ravel(), s=3, color=ACCENT, alpha=0.5, linewidths=0)
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def own_cosines(axes: Axes, moment: Moment) -> None:
    """The cosine of each classifier row with its own class mean."""
    _bars(axes, np.diag(moment.train.arrays["cosines_between"]), 1.0)
    axes.set_ylim(0, 1.1)


def decisions(axes: Axes, moment: Moment) -> None:
    """Training samples by what the classifier (row) and the nearest class mean (column) take them for, log₁₀(1+n)."""
    classes = len(moment.means_KD)
    table = np.zeros((classes, classes))
    np.add.at(table, (moment.logits_NK.argmax(axis=1), moment.nearest_N), 1)
    np.fill_diagonal(table, 0)
    _matrix(axes, np.log10(1 + table), 1.5)


def center_logits(axes: Axes, moment: Moment) -> None:
    """The logits at the global mean."""
    _bars(axes, moment.weight_KD @ moment.train.arrays["global_mean"] + moment.bias_K, 0.0)
    axes.set_ylim(-1, 1)


def nearest_by_class(axes: Axes, moment: Moment) -> None:
    """Share of each class's samples that lie nearest to their own class mean."""
    right = moment.nearest_N == moment.labels_N
    _bars(axes, np.array([right[moment.labels_N == label].mean() for label in range(len(moment.means_KD))]), 1.0)
    axes.set_ylim(0.5, 1.02)


def margins(axes: Axes, moment: Moment) -> None:
    """Cosine margins, sorted: train solid, test dotted, ideal dashed."""
    for found, dash in ((moment.train, "-"), (moment.test, ":")):
        values = found.arrays["margins"]
        axes.plot(np.linspace(0, 1, len(values)), values, dash, color=ACCENT, lw=1.2)
    classes = len(moment.means_KD)
    axes.axhline(classes / (classes - 1), color=DARK, lw=0.9, ls=(0, (5, 3)))
    axes.set_ylim(-1, 1.2)


def lengths(axes: Axes, moment: Moment) -> None:
    """How often each length of a feature occurs."""
    axes.hist(np.linalg.norm(moment.features_ND, axis=1), 40, color=ACCENT)
    axes.set_yticks([])


def both_norms(axes: Axes, moment: Moment) -> None:
    """Norms of class means (bars) and classifier rows (dots), each over their mean."""
    norms("means")(axes, moment)
    rows = np.linalg.norm(moment.rows_KD, axis=1)
    axes.plot(np.arange(len(rows)), rows / rows.mean(), "D", color=DARK, ms=3)


def ood_cosines(axes: Axes, moment: Moment) -> None:
    """|cos| of each class mean with the mean of the other data."""
    other = moment.ood_ND.mean(axis=0)
    lengths_K = np.linalg.norm(moment.means_KD, axis=1) * np.linalg.norm(other)
    _bars(axes, np.abs(moment.means_KD @ other) / lengths_K, 0.0)
    axes.set_ylim(0, 1)


def _two_histograms(axes: Axes, positive: np.ndarray, negative: np.ndarray) -> None:
    edges = np.linspace(min(positive.min(), negative.min()), max(positive.max(), negative.max()), 40)
    axes.hist(positive, edges, density=True, color=ACCENT, alpha=0.75)
    axes.hist(negative, edges, density=True, color=HIGH, alpha=0.6)
    axes.set_yticks([])


def neco(axes: Axes, moment: Moment) -> None:
    """NECO scores of the run's own data (blue) and of other data (red)."""
    centre = moment.train.arrays["global_mean"]
    around = moment.features_ND - centre
    directions = np.linalg.eigh(around.T @ around)[1][:, -(len(moment.means_KD) - 1) :]
    scores = [
        np.linalg.norm((h - centre) @ directions, axis=1) / np.linalg.norm(h - centre, axis=1)
        for h in (moment.features_ND, moment.ood_ND)
    ]
    _two_histograms(axes, *scores)


def largest_logits(axes: Axes, moment: Moment) -> None:
    """Largest logits of the run's own data (blue) and of other data (red)."""
    other = moment.ood_ND @ moment.weight_KD.T + moment.bias_K
    _two_histograms(axes, moment.logits_NK.max(axis=1), other.max(axis=1))


def losses(axes: Axes, moment: Moment) -> None:
    """How often each loss of a sample occurs, log₁₀."""
    logits = moment.logits_NK - moment.logits_NK.max(axis=1, keepdims=True)
    own = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), moment.labels_N]
    axes.hist(np.log10(np.maximum(own, 1e-6)), np.linspace(-6, 1.5, 46), color=ACCENT)
    axes.set_yticks([])


def confusion(axes: Axes, moment: Moment) -> None:
    """Samples by class (row) and decision (column), those decided right left out, log₁₀(1+n)."""
    table = moment.train.arrays["confusion"].astype(float)
    np.fill_diagonal(table, 0)
    _matrix(axes, np.log10(1 + table), 1.5)


def ranks(axes: Axes, moment: Moment) -> None:
    """At which place among the logits a sample's own class stands, log₁₀(1+n)."""
    place = (moment.logits_NK > moment.logits_NK[np.arange(len(moment.logits_NK)), moment.labels_N][:, None]).sum(1)
    counts = np.bincount(place, minlength=10)[:10]
    axes.bar(np.arange(1, 11), np.log10(1 + counts), color=ACCENT, width=0.7)


def tail_cosines(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """Cosines, classes by their number of training samples; lines part head and tail."""
        order = np.argsort(-moment.counts_K)
        values = moment.train.arrays[f"cosines_{which}"][np.ix_(order, order)].copy()
        np.fill_diagonal(values, np.nan)
        _matrix(axes, values, 0.7, -1 / (len(values) - 1))
        border = _heads(moment) - 0.5
        axes.axhline(border, color=DARK, lw=0.8)
        axes.axvline(border, color=DARK, lw=0.8)

    return draw


def _heads(moment: Moment) -> int:
    return int((moment.counts_K >= math.sqrt(float(moment.counts_K.max() * moment.counts_K.min()))).sum())


def tail_norms(which: str) -> Drawing:
    def draw(axes: Axes, moment: Moment) -> None:
        """Norms, classes by their number of training samples; a line parts head and tail."""
        order = np.argsort(-moment.counts_K)
        lengths_K = np.linalg.norm(moment.vectors(which), axis=1)[order]
        axes.bar(np.arange(len(order)), lengths_K / lengths_K.mean(), color=np.array(CLASSES_10)[order], width=0.75)
        axes.axvline(_heads(moment) - 0.5, color=DARK, lw=0.8)
        axes.set(ylim=(0, 2), xticks=[])

    return draw


def tail_accuracy(axes: Axes, moment: Moment) -> None:
    """Accuracy by class, training (bars) and test (diamonds), by number of samples; a line parts head and tail."""
    order = np.argsort(-moment.counts_K)
    place, colours = np.arange(len(order)), np.array(CLASSES_10)[order]
    axes.bar(place, moment.train.arrays["accuracy"][order], color=colours, width=0.75)
    axes.plot(place, moment.test.arrays["accuracy"][order], "D", color=DARK, ms=3)
    axes.axvline(_heads(moment) - 0.5, color=DARK, lw=0.8)
    axes.set(ylim=(0, 1.05), xticks=[])


def _both(key: str, build: Callable[[str], Drawing]) -> dict[str, Drawing]:
    return {f"{key}_{which}": build(which) for which in ("means", "weights")}


DRAWINGS: dict[str, Drawing] = {
    "loss": losses,
    "top1": confusion,
    "top5": ranks,
    "nc1": along_directions,
    "nc1_pinv": along_directions,
    "nc1_truncated": along_directions,
    "nc1_ratio": cloud,
    "cdnv": pairs,
    "cdnv_log": pairs,
    "vci": spectra,
    "numerical_rank": singular_values,
    **_both("nc2_equinorm", norms),
    **_both("nc2_equiangular", cosines),
    **_both("nc2_angle_std", angles),
    **_both("nc2_etf", gram),
    **_both("gnc2", distances),
    **_both("etf_distance", stretch),
    "frame_drift": drift,
    "nc3": duality,
    "nc3_distance": entries,
    "nc3_cosine": own_cosines,
    "nc3_uniform": own_cosines,
    "nc4_ncc_mismatch": decisions,
    "nc4_bias": center_logits,
    "ncc_accuracy": nearest_by_class,
    "cosine_margin": margins,
    "wh_equinorm_gap": both_norms,
    "feature_norm_mean": lengths,
    "feature_norm_std": lengths,
    "nc5_ood": ood_cosines,
    "ood_auroc_neco": neco,
    "ood_auroc_logit": largest_logits,
    **_both("head_cosine", tail_cosines),
    **_both("tail_cosine", tail_cosines),
    **_both("head_tail_norm_ratio", tail_norms),
    "head_top1": tail_accuracy,
    "tail_top1": tail_accuracy,
}
"""What is drawn of each metric of the catalogue."""


def words(drawing: Drawing, key: str) -> str:
    """Return what a drawing shows, in a sentence."""
    text = (drawing.__doc__ or "").strip()
    return (
        text.replace("class means (or rows)", "classifier rows")
        if key.endswith("_weights")
        else text.replace(" (or rows)", "")
    )
