"""Neural-collapse metrics. A new metric is one file and one line in `METRICS`; nothing here loads torch."""

from __future__ import annotations

from ncengine.metrics.cdnv import CDNV, CDNV_LOG
from ncengine.metrics.classification import LOSS, TOP1, TOP5
from ncengine.metrics.cosine_margin import COSINE_MARGIN
from ncengine.metrics.etf_distance import ETF_DISTANCE
from ncengine.metrics.frame_drift import FRAME_DRIFT
from ncengine.metrics.gnc2 import GNC2
from ncengine.metrics.long_tail import LONG_TAIL
from ncengine.metrics.nc1 import NC1
from ncengine.metrics.nc1_pinv import NC1_PINV
from ncengine.metrics.nc1_ratio import NC1_RATIO
from ncengine.metrics.nc1_truncated import NC1_TRUNCATED
from ncengine.metrics.nc2_angle_std import NC2_ANGLE_STD
from ncengine.metrics.nc2_equiangular import NC2_EQUIANGULAR
from ncengine.metrics.nc2_equinorm import NC2_EQUINORM
from ncengine.metrics.nc2_etf import NC2_ETF
from ncengine.metrics.nc3 import NC3
from ncengine.metrics.nc3_cosine import NC3_COSINE, NC3_UNIFORM
from ncengine.metrics.nc3_distance import NC3_DISTANCE
from ncengine.metrics.nc4 import NC4_BIAS, NC4_NCC_MISMATCH, NCC_ACCURACY
from ncengine.metrics.nc5 import NC5_OOD, OOD_AUROC_LOGIT, OOD_AUROC_NECO
from ncengine.metrics.norms import FEATURE_NORM_MEAN, FEATURE_NORM_STD, WH_EQUINORM_GAP
from ncengine.metrics.numerical_rank import NUMERICAL_RANK
from ncengine.metrics.spec import MetricSpec, by_key
from ncengine.metrics.vci import VCI

METRICS: dict[str, MetricSpec] = by_key(
    [
        *(LOSS, TOP1, TOP5),
        *(NC1, CDNV, NC1_RATIO, VCI, NUMERICAL_RANK, NC1_PINV, NC1_TRUNCATED, CDNV_LOG),
        *(*NC2_EQUINORM, *NC2_EQUIANGULAR, *NC2_ANGLE_STD, *NC2_ETF, *GNC2, *ETF_DISTANCE, FRAME_DRIFT),
        *(NC3, NC3_DISTANCE, NC3_COSINE, NC3_UNIFORM),
        *(NC4_NCC_MISMATCH, NC4_BIAS, NCC_ACCURACY),
        *(COSINE_MARGIN, WH_EQUINORM_GAP, FEATURE_NORM_MEAN, FEATURE_NORM_STD),
        *(NC5_OOD, OOD_AUROC_NECO, OOD_AUROC_LOGIT),
        *LONG_TAIL,
    ]
)


def catalogue() -> tuple[MetricSpec, ...]:
    """Return every metric that there is, with its formula, direction, ideal, source and how to read it."""
    return tuple(METRICS.values())


__all__ = ["METRICS", "MetricSpec", "catalogue"]
