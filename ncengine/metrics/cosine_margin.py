"""Cosine margin of each sample, averaged (Markou, Ajanthan, Gould 2024, figure P_CM; Zhou et al. 2022)."""

from __future__ import annotations

from ncengine.metrics.spec import MetricSpec, Samples

COSINE_MARGIN = MetricSpec(
    key="cosine_margin",
    label="Cosine margin",
    symbol="cos(h, w_y) − max cos(h, w_c)",
    formula="mean over samples of cos(h−μ_G, w_y−w̄) − max_{c≠y} cos(h−μ_G, w_c−w̄)",
    family="Margin",
    direction="high",
    ideal=lambda classes: classes / (classes - 1),
    source="Markou, Ajanthan, Gould 2024",
    reading="How much closer in angle a feature is to its own classifier row than to the next; K/(K−1) at collapse.",
    how=Samples(lambda block: block.margins_B),
)
