"""Masks as the closed planar contours of a structure set."""

import itertools

import contourpy
import numpy as np

from .patient import FULL, HALF


def planar_contours(share: np.ndarray) -> list[np.ndarray]:
    """Outlines of a slice of a structure, given how much of each voxel it covers (J, I), uint8.

    Returns one array (N, 2) of (column, row) in voxels for each piece, not closed by a repeated point. They lie where
    the interpolated share is one half, so a voxel's centre is inside exactly when at least half of it is covered. A
    hole is joined to its outline by a keyhole, as DICOM asks (PS3.3, C.8.8.6.3).
    """
    padded = np.pad(share.astype(np.float64), 1)  # a structure cut by the image's edge is closed along it
    generator = contourpy.contour_generator(z=padded, fill_type=contourpy.FillType.OuterOffset)
    polygons, offsets = generator.filled(HALF, 2.0 * FULL)
    outlines = []
    for points, starts in zip(polygons, offsets, strict=True):
        rings = [points[first : last - 1] - 1.0 for first, last in itertools.pairwise(starts)]
        outline = rings[0]
        for hole in rings[1:]:
            outline = _with_keyhole(outline, hole)
        if len(outline) >= 3:
            outlines.append(outline)
    return outlines


def _with_keyhole(outline: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """One ring that runs along the outline, to the hole, around it and back by the same way."""
    away = ((outline[:, None, :] - hole[None, :, :]) ** 2).sum(axis=-1)
    here, there = np.unravel_index(int(np.argmin(away)), away.shape)
    around = np.roll(hole, -int(there), axis=0)
    return np.concatenate([outline[: here + 1], around, around[:1], outline[here:]])
