"""Cosine margin of each sample, averaged (Markou, Ajanthan, Gould 2024, figure P_CM; Zhou et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.lazy_torch import torch
from ncengine.metrics.metric_spec import MetricSpec
from ncengine.metrics.samples import OverSamples, SampleBatch
from ncengine.metrics.vectors import CentredVectors

if TYPE_CHECKING:
    from torch import Tensor

    from ncengine.metrics.vectors import Vectors


def cosine_margins(features_BD: Tensor, rows_B: Tensor, weights: Vectors, products_BK: Tensor | None = None) -> Tensor:
    """Compute cos(h − μ_G, w_y − w̄) − max_{c≠y} cos(h − μ_G, w_c − w̄) of each sample (B,).

    Args:
        features_BD: features minus μ_G, float64.
        rows_B: the row of W that belongs to each sample's class.
        weights: the classifier W (K, D).
        products_BK: W (h − μ_G), if known already.
    """
    vectors = CentredVectors.of_uncentred(weights)
    if products_BK is None:
        products_BK = features_BD @ (vectors.rows_KD + vectors.offset_D).mT
    centred_BK = products_BK - (features_BD @ vectors.offset_D)[:, None]
    norms_B = torch.linalg.vector_norm(features_BD, dim=1)
    inverse_B = torch.where(norms_B > 0, 1 / norms_B, 0.0)
    cosines_BK = centred_BK * vectors.inverse_norms_K * inverse_B[:, None]
    rows_B1 = rows_B[:, None]
    own_B = cosines_BK.gather(1, rows_B1)[:, 0]
    return own_B - cosines_BK.scatter(1, rows_B1, -torch.inf).amax(1)


def batch_margins(batch: SampleBatch) -> Tensor | None:
    """Return the margins of a batch, over the classes that have samples; None without a classifier."""
    statistics, products_BK = batch.statistics, batch.products_BK
    weights = statistics.vectors("weights")
    if weights is None or products_BK is None or statistics.vectors("means") is None:
        return None
    rows_B = torch.searchsorted(statistics.present, batch.labels_B)
    return cosine_margins(batch.centred_BD, rows_B, weights, statistics.of_present(products_BK.mT).mT)


SPECS = (
    MetricSpec(
        key="cosine_margin",
        label="Cosine margin",
        symbol="cos(h, w_y) − max cos(h, w_c)",
        formula="mean over samples of cos(h−μ_G, w_y−w̄) − max_{c≠y} cos(h−μ_G, w_c−w̄)",
        family="Margin",
        direction="high",
        ideal=lambda classes: classes / (classes - 1),
        source="Markou, Ajanthan, Gould 2024",
        reading="How much closer in angle a feature is to its own classifier row than to the next; K/(K−1) at "
        "collapse.",
        computation=OverSamples(batch_margins),
    ),
)
