"""Exact Euclidean distances to the voxels of a mask, axis by axis, where only a part of the grid asks.

The squared distance is separable: D²(x, y, z) = min_x' [(x − x')² + min_y' [(y − y')² + min_z' …]]. Each axis is one
minimum over the mask's own extent, so that the work is that of two boxes, not of the image.
"""

import numpy as np

Box = tuple[slice, slice, slice]


def bounding_box(mask: np.ndarray) -> Box:
    """The smallest box (K, J, I) that holds a mask, which is not empty."""
    spans = []
    for axis in range(3):
        present = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        spans.append(slice(int(present[0]), int(present[-1]) + 1))
    return spans[0], spans[1], spans[2]


def squared_distances(mask: np.ndarray, within: Box, wanted: Box, spacing_mm: np.ndarray) -> np.ndarray:
    """Squared distance in mm² from the centre of each voxel of the box ``wanted`` to the nearest voxel's centre of
    ``mask`` (K, J, I) that lies in the box ``within``, float32; infinite where there is none.

    ``spacing_mm`` is that along I, J and K, whose axes are at right angles.
    """
    squared = np.where(mask[within], np.float32(0), np.float32(np.inf))
    for axis in range(3):
        step = float(spacing_mm[2 - axis])
        here = np.arange(wanted[axis].start, wanted[axis].stop)
        there = np.arange(within[axis].start, within[axis].stop)
        apart = np.square((here[:, None] - there[None, :]) * step).astype(np.float32)
        squared = _lower_envelope(np.moveaxis(squared, axis, -1), apart)
        squared = np.moveaxis(squared, -1, axis)
    return squared


def _lower_envelope(squared: np.ndarray, apart: np.ndarray) -> np.ndarray:
    """min over n of squared[…, n] + apart[m, n], (…, M)."""
    found = np.full((*squared.shape[:-1], len(apart)), np.inf, np.float32)
    candidate = np.empty_like(found)
    for n in range(squared.shape[-1]):
        column = squared[..., n]
        if np.isfinite(column).any():
            np.add(column[..., None], apart[:, n], out=candidate)
            np.minimum(found, candidate, out=found)
    return found
