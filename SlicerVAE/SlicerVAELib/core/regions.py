"""Connected regions of a mask, without scipy, which Slicer's Python need not have."""

import numpy as np


def connected_regions(mask: np.ndarray) -> np.ndarray:
    """Label the regions of a boolean array (K, J, I) that hold together through the faces of voxels.

    Returns int64 of the same shape: 0 outside, 1 to n for the regions in the order of their first voxels.
    """
    labels = np.zeros(mask.shape, dtype=np.int64)
    count = int(mask.sum())
    number = np.full(mask.shape, -1, dtype=np.int64)
    number[mask] = np.arange(count)
    pairs = np.concatenate([_neighbours(number, axis) for axis in range(mask.ndim)], axis=1)
    roots = _joined(count, pairs)
    _, dense = np.unique(roots, return_inverse=True)
    labels[mask] = dense + 1
    return labels


def _neighbours(number: np.ndarray, axis: int) -> np.ndarray:
    """Pairs (2, M) of the numbers of voxels that share a face along an axis; −1 is no voxel."""
    lower = np.take(number, np.arange(number.shape[axis] - 1), axis).ravel()
    upper = np.take(number, np.arange(1, number.shape[axis]), axis).ravel()
    both = (lower >= 0) & (upper >= 0)
    return np.stack([lower[both], upper[both]])


def _joined(count: int, pairs: np.ndarray) -> np.ndarray:
    """The smallest number (count,) that each of ``count`` voxels is joined to by pairs (2, M)."""
    root = np.arange(count)
    first, second = pairs
    while True:
        low, high = np.minimum(root[first], root[second]), np.maximum(root[first], root[second])
        apart = low != high
        if not apart.any():
            return root
        # Each root hangs under the smallest one that it touches; then every voxel is told its root's root.
        np.minimum.at(root, high[apart], low[apart])
        while not np.array_equal(further := root[root], root):
            root = further
        first, second = first[apart], second[apart]
