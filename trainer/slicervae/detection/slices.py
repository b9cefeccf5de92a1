"""Slices with and without an anomaly, and how scores of slices tell them apart."""

import numpy as np

from SlicerVAELib.core.planes import Plane, directions, slice_axis
from SlicerVAELib.core.volume import Geometry

PERCENTILE = 99.0


def slices_at(voxels: np.ndarray, geometry: Geometry, plane: Plane, positions_mm: np.ndarray) -> np.ndarray:
    """The nearest of the model's slices to each of some ``voxels`` (M, 3), i, j, k: (M,); ``positions_mm`` (N,) are
    those of the slices along the normal of ``plane`` in LPS mm, S, P or L."""
    normal = directions(plane)[:, 2] * (-1, -1, 1)  # RAS to LPS
    normal = normal * np.sign(normal[int(np.abs(normal).argmax())])
    lps = (voxels @ geometry.ijk_to_ras[:3, :3].T + geometry.origin) * (-1, -1, 1)
    return np.abs((lps @ normal)[:, None] - positions_mm[None, :]).argmin(axis=1)


def anomalous_slices(truth: np.ndarray, geometry: Geometry, plane: Plane, positions_mm: np.ndarray) -> np.ndarray:
    """Which of the model's slices show a voxel of ``truth`` (K, J, I), boolean (N,)."""
    shown = np.zeros(len(positions_mm), dtype=bool)
    shown[slices_at(np.argwhere(truth)[:, ::-1], geometry, plane, positions_mm)] = True
    return shown


def slice_scores(
    map_: np.ndarray, region: np.ndarray, geometry: Geometry, plane: Plane, positions_mm: np.ndarray
) -> np.ndarray:
    """The 99th percentile of a map (K, J, I) within ``region`` in each of the model's slices, (N,): the highest of
    those of the volume's own slices that are nearest to it; −∞ where the region has no voxel."""
    axis = slice_axis(geometry, plane)
    middles = np.tile([(n - 1) / 2 for n in geometry.shape[::-1]], (geometry.shape[axis], 1))
    middles[:, 2 - axis] = np.arange(geometry.shape[axis])
    owners = slices_at(middles, geometry, plane, positions_mm)
    scores = np.full(len(positions_mm), -np.inf)
    for owner, own_map, own_region in zip(
        owners, np.moveaxis(map_, axis, 0), np.moveaxis(region, axis, 0), strict=True
    ):
        if own_region.any():
            scores[owner] = max(scores[owner], float(np.percentile(own_map[own_region], PERCENTILE)))
    return scores


def average_precision(scores: np.ndarray, positive: np.ndarray) -> float:
    """Σ (R_n − R_{n−1}) P_n over thresholds; NaN without a positive."""
    if not positive.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(positive[order])
    last_of_ties = np.append(np.diff(scores[order]) != 0, True)
    precision = (hits / np.arange(1, len(hits) + 1))[last_of_ties]
    return float((np.diff(hits[last_of_ties], prepend=0) * precision).sum() / positive.sum())


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The share of pairs in which the positive scores higher, ties counting half; NaN without both kinds."""
    high, low = scores[positive], scores[~positive]
    if not len(high) or not len(low):
        return float("nan")
    ranks = np.searchsorted(np.sort(low), high, side="left") + np.searchsorted(np.sort(low), high, side="right")
    return float(ranks.sum() / 2 / (len(high) * len(low)))
