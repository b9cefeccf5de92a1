"""Where a similar patient has to be moved so that the same levels of both bodies lie on each other."""

import numpy as np

from ..core.body_position import AIR_HU
from ..core.volume import LPS_TO_RAS, Modality, Volume

COARSE_MM = 4.0  # the body's centre does not need finer voxels


def translation_onto(query: Volume, query_levels_mm: np.ndarray, other: Volume, levels_mm: np.ndarray) -> np.ndarray:
    """The translation in RAS mm, float64 (3,), that puts ``other`` on ``query``.

    ``query_levels_mm`` and ``levels_mm`` (M, 3), LPS mm, are the centres of matched slices. It minimises
    Σ |q − (c + t)|² over the pairs, so t is the mean of q − c, where q and c are the centres of the two bodies at these
    levels, found in the images; where a slice shows no body, the slice's own centre. There is no rotation: patients of
    a library lie alike, and matched slices of upright stacks tell nothing of one.
    """
    return np.mean(_centres(query, query_levels_mm) - _centres(other, levels_mm), axis=0)


def _centres(volume: Volume, levels_mm: np.ndarray) -> np.ndarray:
    """Centre of the body at each level, RAS mm (M, 3): the centroid of what is not air in a slab about it."""
    centres = levels_mm @ LPS_TO_RAS[:3, :3]
    places = _body(volume)
    places = places[np.argsort(places[:, 2])]
    sums = np.vstack([np.zeros(2), np.cumsum(places[:, :2], axis=0)])
    half = max(COARSE_MM, float(volume.geometry.spacing.max())) / 2
    first = np.searchsorted(places[:, 2], centres[:, 2] - half, "left")
    last = np.searchsorted(places[:, 2], centres[:, 2] + half, "right")
    shows = last > first
    centres[shows, :2] = (sums[last] - sums[first])[shows] / (last - first)[shows, None]
    return centres


def _body(volume: Volume) -> np.ndarray:
    """RAS mm (N, 3) of the voxels that are not air, of a grid of about ``COARSE_MM``."""
    steps = np.maximum(1, COARSE_MM // volume.geometry.spacing).astype(int)
    coarse = volume.array[:: steps[2], :: steps[1], :: steps[0]]
    threshold = AIR_HU if volume.modality is Modality.CT else coarse.mean()
    places = np.argwhere(coarse > threshold)[:, ::-1] * steps
    return places @ volume.geometry.ijk_to_ras[:3, :3].T + volume.geometry.ijk_to_ras[:3, 3]
