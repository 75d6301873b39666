"""NC5, features of other data become orthogonal to the class means (Ammar et al. 2024), and how well they are told.

    nc5_ood = mean over c of |cos(μ_c, μ_OOD)|
    NECO(h) = ‖Pᵀ(h − μ_G)‖/‖h − μ_G‖,   P the K − 1 leading principal directions of the training features

AUROC is the share of pairs of an in- and an out-of-distribution sample whose scores are in the right order, ties half.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ncengine.metrics.spec import Classwise, MetricSpec, Moments, one, zero

if TYPE_CHECKING:
    from ncengine.metrics.snapshot import Snapshot

SOURCE = "Ammar et al. 2024"


def orthogonality(snapshot: Snapshot) -> float | None:
    """Return the mean of |cos(μ_c, μ_OOD)|, in [0, 1], with means as they are, not centred."""
    if snapshot.outside is None or not snapshot.classes:
        return None
    means_KD, outside_D = snapshot.of_present(snapshot.means_KD), snapshot.outside.mean_D
    norms_K = (means_KD**2).sum(1).sqrt() * (outside_D**2).sum().sqrt()
    known = norms_K > 0
    if not bool(known.any()):
        return None
    return float(((means_KD @ outside_D)[known] / norms_K[known]).abs().mean())


def _auroc(score: str) -> Classwise:
    def value(snapshot: Snapshot) -> tuple[float, float | None, int] | None:
        from ncengine.metrics import outside

        return outside.auroc(snapshot, outside.SCORES[score])

    return Classwise(value)


NC5_OOD = MetricSpec(
    key="nc5_ood",
    label="NC5 orthogonality to other data",
    symbol="mean |cos(μ_c, μ_OOD)|",
    formula="mean_c |cos(μ_c, μ_OOD)|",
    family="NC5",
    direction="low",
    ideal=zero,
    source=SOURCE,
    reading="How far the mean of data of another kind lies along the class means; 0 when it is orthogonal to all.",
    how=Moments(orthogonality),
)
OOD_AUROC_NECO = MetricSpec(
    key="ood_auroc_neco",
    label="AUROC of the NECO score",
    symbol="AUROC ‖P(h−μ_G)‖/‖h−μ_G‖",
    formula="AUROC of ‖Pᵀ(h−μ_G)‖/‖h−μ_G‖, P: K−1 principal directions of the training features",
    family="NC5",
    direction="high",
    ideal=one,
    source=SOURCE,
    reading="How often a sample of this data lies closer to the class means' subspace than one of another kind; 0.5 is "
    "chance.",
    how=_auroc("neco"),
    share=True,
)
OOD_AUROC_LOGIT = MetricSpec(
    key="ood_auroc_logit",
    label="AUROC of the largest logit",
    symbol="AUROC max(Wh+b)",
    formula="AUROC of max_c (Wh + b)_c",
    family="NC5",
    direction="high",
    ideal=one,
    source="Hendrycks et al. 2022",
    reading="How often the largest logit of a sample of this data is above that of one of another kind; 0.5 is chance.",
    how=_auroc("logit"),
    share=True,
)
