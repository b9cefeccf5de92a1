"""The planes that a model's slices can lie in, and how they lie in the patient.

Slices are shown as radiologists expect them: the patient's right on the left of axial and coronal ones, the front on
the left of sagittal ones, the front or the head at the top. They follow each other in DICOM's direction: from foot to
head, from front to back, from right to left.
"""

from typing import Literal

import numpy as np

from .volume import Geometry

Plane = Literal["axial", "coronal", "sagittal"]

_RAS = {"L": (-1, 0, 0), "P": (0, -1, 0), "I": (0, 0, -1), "S": (0, 0, 1)}
_DIRECTIONS = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}  # of columns, rows and slices


def directions(plane: Plane) -> np.ndarray:
    """Unit vectors in RAS, as columns of a 3×3 matrix: along which columns, rows and slices are counted."""
    return np.array([_RAS[letter] for letter in _DIRECTIONS[plane]], dtype=np.float64).T


def slice_letter(plane: Plane) -> str:
    """The way that slices follow each other, as DICOM names it: S, P or L."""
    return _DIRECTIONS[plane][2]


def extents_mm(geometry: Geometry, plane: Plane, counts: np.ndarray | None = None) -> np.ndarray:
    """How far a grid, or a box of ``counts`` (i, j, k) voxels of it, reaches along columns, rows and slices, in mm."""
    voxels = np.array(geometry.shape[::-1], dtype=np.float64) if counts is None else counts
    return np.abs(directions(plane).T @ geometry.ijk_to_ras[:3, :3]) @ voxels


def range_mm(geometry: Geometry, plane: Plane) -> tuple[float, float]:
    """Where a grid begins and ends along the direction of the slices, in LPS mm."""
    middle = float(directions(plane)[:, 2] @ geometry.centre)
    half = float(extents_mm(geometry, plane)[2]) / 2
    return middle - half, middle + half


def own_slices(geometry: Geometry, plane: Plane) -> tuple[float, int]:
    """Distance in mm and number of the grid's own slices that lie nearest to that plane."""
    axis = slice_axis(geometry, plane)
    return float(geometry.spacing[2 - axis]), geometry.shape[axis]


def slice_axis(geometry: Geometry, plane: Plane) -> int:
    """The axis of the array (K, J, I) along which the grid's own slices nearest to that plane follow each other."""
    return 2 - int(np.abs(directions(plane)[:, 2] @ geometry.directions).argmax())
