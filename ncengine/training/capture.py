"""Geometry captures: the picture's data, in the frame of the nearest ETF, in which the vertices never move.

c = Rᵀ(h − μ_G)/m̄,   R = the frame of the ETF nearest to the measured class means,   m̄ = mean_c ‖μ_c − μ_G‖
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.events import EIGENVALUES, MARGINS, PICTURE_BYTES, GeometryCaptured
from ncengine.geometry.nearest_etf import nearest_etf
from ncengine.geometry.views import aligned_pca, blocks, stream_projection
from ncengine.measurement.meter import Measurement, Meter

CAPTURE_BYTES = 64 * 1024
HOLD = 1e-6
"""Proximal weight between captures: it chooses among equals where class means are rank-deficient, and no more."""
PICTURE_SIDE = 48
Array = npt.NDArray[Any]


def sample_budget(classes: int, wanted: int) -> int:
    """Return how many features a capture holds: `wanted`, or what 64 KiB leave beside means, rows and cosines."""
    dimensions = classes - 1 if stream_projection(classes) is None else 3
    fixed = 4 * (2 * classes * dimensions + 2 * math.ceil(classes / blocks(classes)) ** 2)
    return max(classes, min(wanted, (CAPTURE_BYTES - fixed) // (4 * (dimensions + 2))))


def measured_frame(meter: Meter, previous_DR: Tensor | None) -> Tensor:
    """Return the frame R (d, K−1), float64 on the CPU, of the ETF nearest to the meter's class means.

    Needs d ≥ K − 1; with fewer features the frame spans what there is, padded with zero columns.
    """
    means_DK = meter.means_DK.cpu()
    present_K = ~torch.isnan(means_DK[0])
    means_DK = means_DK.nan_to_num()
    centred_DK = (means_DK - means_DK[:, present_K].mean(1, keepdim=True)) * present_K
    missing = meter.classes - 1 - meter.features
    if missing > 0:
        padded = torch.nn.functional.pad(centred_DK, (0, 0, 0, missing))
        return nearest_etf(padded, None)[: meter.features]
    return nearest_etf(centred_DK, previous_DR, delta=HOLD)


def thumbnails(images_NHWC: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, C) no larger than 48 pixels a side and 1 MiB together, each pixel a mean."""
    count, height, width, channels = images_NHWC.shape
    most = min(PICTURE_SIDE, math.isqrt(PICTURE_BYTES // max(1, count * channels)))
    if max(height, width) <= most:
        return images_NHWC
    size = [max(1, round(side * most / max(height, width))) for side in (height, width)]
    small_NCHW = torch.nn.functional.interpolate(images_NHWC.permute(0, 3, 1, 2).float(), size, mode="area")
    return small_NCHW.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous()


def in_blocks(matrix_KK: Array, size: int) -> Array:
    """Return the sums over blocks of `size` neighbouring classes."""
    starts = np.arange(0, len(matrix_KK), size)
    found: Array = np.add.reduceat(np.add.reduceat(matrix_KK, starts, axis=0), starts, axis=1)
    return found


def order_statistics(sorted_N: Array, most: int) -> Array:
    """Return all of sorted values, or `most` of them at evenly spaced ranks, both ends included."""
    if len(sorted_N) <= most:
        return sorted_N
    return sorted_N[np.linspace(0, len(sorted_N) - 1, most).round().astype(np.int64)]


def _whole(values: Array, counts: Array) -> Array:
    """Spread values of the classes present over all classes, zero rows elsewhere."""
    if len(values) == len(counts):
        return values
    found = np.zeros((len(counts), *values.shape[1:]), values.dtype)
    found[counts > 0] = values
    return found


def capture(
    *,
    epoch: float,
    step: int,
    measurement: Measurement,
    frame_DR: Tensor,
    previous_pca: Array | None,
    features_ND: Tensor,
    labels_N: Tensor,
    test: Measurement | None = None,
) -> GeometryCaptured:
    """Return the capture of a measurement that was taken with `frame_DR`, and a cloud from `features_ND`.

    Of the test split's measurement, where there is one, only the margins are taken.
    """
    found = measurement.arrays
    counts = found["counts"]
    classes = len(counts)
    frame = frame_DR.numpy()
    features = features_ND.cpu().to(torch.float64).numpy()
    centred_ND = features - found["global_mean"]
    inside_NR = centred_ND @ frame
    outside = math.sqrt(max(0.0, float((centred_ND**2).sum() - (inside_NR**2).sum())) / max(1, len(centred_ND)))
    mean_norm = float(np.linalg.norm(found["means"][:, counts > 0].T - found["global_mean"], axis=1).mean())
    weight = found["weight"][counts > 0]
    weight_norm = float(np.linalg.norm(weight - weight.mean(axis=0), axis=1).mean())
    coordinates = {
        "means": _whole(found["coordinates_means"], counts) / (mean_norm or 1.0),
        "weights": _whole(found["coordinates_weights"], counts) / (weight_norm or 1.0),
        "features": inside_NR / (mean_norm or 1.0),
    }
    pca = aligned_pca(coordinates["means"], previous_pca)
    arrays: dict[str, Array] = {**coordinates, "frame": frame, "pca": pca}
    logits_NK = features @ found["weight"].T + found.get("bias", 0.0)
    size = blocks(classes)
    for name in ("cosines_means", "cosines_weights", "cosines_between"):
        arrays[name] = found[f"block_{name}"] if size > 1 else _whole(_whole(found[name], counts).T, counts).T
    arrays |= _of_classes(measurement, size)
    if test is not None and "margins" in test.arrays:
        arrays["margins_test"] = order_statistics(test.arrays["margins"], MARGINS)
    reduced = stream_projection(classes)
    if reduced is not None:
        arrays |= {f"{name}_whole": arrays[name] for name in ("means", "weights")}
        arrays["features_pca"] = coordinates["features"] @ pca
        arrays |= {name: array @ reduced for name, array in coordinates.items()}
    pairs = None if "means-equal" in measurement.flags else measurement.pairs()
    first, second, cosine = (0, 1, 1.0) if pairs is None else pairs.worst[0]
    return GeometryCaptured(
        epoch=epoch,
        step=step,
        samples=int(counts.sum()),
        mean_norm=mean_norm,
        weight_norm=weight_norm,
        residual=outside / (mean_norm or 1.0),
        smallest_angle_deg=math.degrees(math.acos(cosine)),
        smallest_pair=(first, second),
        mean_angle_error_deg=math.degrees(math.acos(-1 / (classes - 1))) if pairs is None else pairs.mean_angle_gap_deg,
        closest=() if pairs is None else pairs.worst,
        cosine_quantiles={} if pairs is None else {f"{share:g}": value for share, value in pairs.quantiles.items()},
        arrays={
            **{name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()},
            "labels": labels_N.cpu().numpy().astype(np.int32),
            "predictions": logits_NK.argmax(axis=1).astype(np.int32),
        },
    )


def _of_classes(measurement: Measurement, size: int) -> dict[str, Array]:
    """Return spectra, margins, and what is known class by class."""
    found, counts = measurement.arrays, measurement.arrays["counts"]
    arrays = {
        "spectrum_within": found["spectrum_within"][:EIGENVALUES],
        "spectrum_between": found["spectrum_between"][:EIGENVALUES],
        "within_variance": _whole(found["within_variance"], counts),
    }
    if "margins" in found:
        arrays["margins"] = order_statistics(found["margins"], MARGINS)
    if "accuracy" in found:
        arrays["accuracy"] = found["accuracy"]
    if "confusion" in found:
        arrays["confusion"] = found["confusion"] if size == 1 else in_blocks(found["confusion"], size)
    return arrays
