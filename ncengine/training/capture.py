"""Geometry captures: coordinates in the frame of the nearest ETF, in which the vertices of the ETF are constant.

c = Rᵀ(h − μ_G)/m̄,   R = the frame of the ETF nearest to the measured class means,   m̄ = mean_c ‖μ_c − μ_G‖
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ncengine.events import EIGENVALUES, MARGINS, PICTURE_BYTES, GeometryCaptured
from ncengine.geometry.nearest_etf import nearest_etf
from ncengine.geometry.views import aligned_pca, blocks, stream_projection
from ncengine.measurement.meter import Meter
from ncengine.measurement.result import Measurement

CAPTURE_BYTES = 64 * 1024
CAPTURE_DELTA = 1e-6
"""Proximal weight between captures: it only selects a solution if class means are rank-deficient."""
THUMBNAIL_SIDE = 48
Array = npt.NDArray[Any]


def sample_budget(classes: int, wanted: int) -> int:
    """Return the number of features in a capture: `wanted`, or what fits into 64 KiB with means, rows and cosines."""
    dimensions = classes - 1 if stream_projection(classes) is None else 3
    fixed = 4 * (2 * classes * dimensions + 2 * math.ceil(classes / blocks(classes)) ** 2)
    return max(classes, min(wanted, (CAPTURE_BYTES - fixed) // (4 * (dimensions + 2))))


def measured_frame(meter: Meter, previous_DR: Tensor | None) -> Tensor:
    """Return the frame R (d, K−1), float64 on the CPU, of the ETF nearest to the meter's class means.

    With fewer than K − 1 features, the frame of the padded means is cut to the features that exist.
    """
    means_DK = meter.means_DK.cpu()
    present_K = ~torch.isnan(means_DK[0])
    means_DK = means_DK.nan_to_num()
    centred_DK = (means_DK - means_DK[:, present_K].mean(1, keepdim=True)) * present_K
    missing = meter.classes - 1 - meter.features
    if missing > 0:
        padded = torch.nn.functional.pad(centred_DK, (0, 0, 0, missing))
        return nearest_etf(padded, None)[: meter.features]
    return nearest_etf(centred_DK, previous_DR, delta=CAPTURE_DELTA)


def thumbnails(images_NHWC: Tensor) -> Tensor:
    """Return uint8 images (N, H, W, C) of at most 48 pixels a side and 1 MiB in all, scaled by area means."""
    count, height, width, channels = images_NHWC.shape
    max_side = min(THUMBNAIL_SIDE, math.isqrt(PICTURE_BYTES // max(1, count * channels)))
    if max(height, width) <= max_side:
        return images_NHWC
    size = [max(1, round(side * max_side / max(height, width))) for side in (height, width)]
    small_NCHW = torch.nn.functional.interpolate(images_NHWC.permute(0, 3, 1, 2).float(), size, mode="area")
    return small_NCHW.permute(0, 2, 3, 1).round().to(torch.uint8).contiguous()


def block_sums(matrix_KK: Array, size: int) -> Array:
    """Return the sums over blocks of `size` neighbouring classes."""
    starts = np.arange(0, len(matrix_KK), size)
    found: Array = np.add.reduceat(np.add.reduceat(matrix_KK, starts, axis=0), starts, axis=1)
    return found


def order_statistics(sorted_N: Array, count: int) -> Array:
    """Return sorted values, or `count` of them at evenly spaced ranks, both ends included."""
    if len(sorted_N) <= count:
        return sorted_N
    return sorted_N[np.linspace(0, len(sorted_N) - 1, count).round().astype(np.int64)]


def _of_all_classes(values: Array, counts: Array) -> Array:
    """Return values of all classes, from those of the classes with samples, with zero rows elsewhere."""
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
    """Return the capture of a measurement that was computed with `frame_DR`, with the given features as a cloud.

    Of the test split's measurement, if there is one, only the margins are used.
    """
    measured = measurement.arrays
    counts = measured["counts"]
    features = features_ND.cpu().to(torch.float64).numpy()
    centred_ND = features - measured["global_mean"]
    projected_NR = centred_ND @ frame_DR.numpy()
    squared_residual = float((centred_ND**2).sum() - (projected_NR**2).sum())
    residual = math.sqrt(max(0.0, squared_residual) / max(1, len(centred_ND)))
    mean_norm, weight_norm = _mean_norms(measured)
    coordinates = {
        "means": _of_all_classes(measured["coordinates_means"], counts) / (mean_norm or 1.0),
        "weights": _of_all_classes(measured["coordinates_weights"], counts) / (weight_norm or 1.0),
        "features": projected_NR / (mean_norm or 1.0),
    }
    arrays = _streamed_coordinates(coordinates, previous_pca) | _class_arrays(measurement)
    if test is not None and "margins" in test.arrays:
        arrays["margins_test"] = order_statistics(test.arrays["margins"], MARGINS)
    logits_NK = features @ measured["weight"].T + measured.get("bias", 0.0)
    return GeometryCaptured(
        epoch=epoch,
        step=step,
        samples=int(counts.sum()),
        mean_norm=mean_norm,
        weight_norm=weight_norm,
        residual=residual / (mean_norm or 1.0),
        **_pair_summary(measurement),
        arrays={
            **{name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()},
            "frame": np.ascontiguousarray(frame_DR.numpy(), dtype=np.float32),
            "labels": labels_N.cpu().numpy().astype(np.int32),
            "predictions": logits_NK.argmax(axis=1).astype(np.int32),
        },
    )


def _mean_norms(measured: Mapping[str, Array]) -> tuple[float, float]:
    """Return the mean norms of the centred class means and of the centred classifier rows."""
    has_samples = measured["counts"] > 0
    means = measured["means"][:, has_samples].T - measured["global_mean"]
    weight = measured["weight"][has_samples]
    centred = means, weight - weight.mean(axis=0)
    mean_norm, weight_norm = (float(np.linalg.norm(rows, axis=1).mean()) for rows in centred)
    return mean_norm, weight_norm


def _streamed_coordinates(coordinates: dict[str, Array], previous_pca: Array | None) -> dict[str, Array]:
    """Return the coordinates and principal directions; above 128 classes in three dimensions, and in all K−1."""
    classes = len(coordinates["means"])
    pca = aligned_pca(coordinates["means"], previous_pca)
    projection = stream_projection(classes)
    if projection is None:
        return {**coordinates, "pca": pca}
    return {
        **{name: array @ projection for name, array in coordinates.items()},
        **{f"{name}_whole": coordinates[name] for name in ("means", "weights")},
        "features_pca": coordinates["features"] @ pca,
        "pca": pca,
    }


def _pair_summary(measurement: Measurement) -> dict[str, Any]:
    """Return the closest pairs of classes and the angles between class means, as fields of a capture."""
    if "means-equal" in measurement.flags:
        classes = len(measurement.arrays["counts"])
        error_deg = math.degrees(math.acos(-1 / (classes - 1)))
        return {"smallest_angle_deg": 0.0, "smallest_pair": (0, 1), "mean_angle_error_deg": error_deg}
    pairs = measurement.pairs()
    first, second, cosine = pairs.worst[0]
    return {
        "smallest_angle_deg": math.degrees(math.acos(cosine)),
        "smallest_pair": (first, second),
        "mean_angle_error_deg": pairs.mean_angle_gap_deg,
        "closest": pairs.worst,
        "cosine_quantiles": {f"{share:g}": value for share, value in pairs.quantiles.items()},
    }


def _class_arrays(measurement: Measurement) -> dict[str, Array]:
    """Return cosines between classes, spectra, margins, and values of each class."""
    measured, counts = measurement.arrays, measurement.arrays["counts"]
    block = blocks(len(counts))
    arrays = {
        "spectrum_within": measured["spectrum_within"][:EIGENVALUES],
        "spectrum_between": measured["spectrum_between"][:EIGENVALUES],
        "within_variance": _of_all_classes(measured["within_variance"], counts),
    }
    for name in ("cosines_means", "cosines_weights", "cosines_between"):
        if block > 1:
            arrays[name] = measured[f"block_{name}"]
        else:
            arrays[name] = _of_all_classes(_of_all_classes(measured[name], counts).T, counts).T
    if "margins" in measured:
        arrays["margins"] = order_statistics(measured["margins"], MARGINS)
    if "accuracy" in measured:
        arrays["accuracy"] = measured["accuracy"]
    if "confusion" in measured:
        arrays["confusion"] = measured["confusion"] if block == 1 else block_sums(measured["confusion"], block)
    return arrays
