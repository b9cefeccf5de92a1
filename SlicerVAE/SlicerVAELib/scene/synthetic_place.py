"""Where synthetic slices lie in the scene: where no patient lies, so that nobody's structures are drawn over them."""

import numpy as np
import slicer

from .outputs import Place

ABOVE_MM = 5000.0  # farther towards S than any scanner's frame reaches


def axial_place(scene: slicer.vtkMRMLScene, shape: tuple[int, ...], spacing_mm: float) -> Place:
    """A stack (N, H, W) of axial slices, cubic voxels, at the top of the scene, its middle ``ABOVE_MM`` above the
    origin."""
    axes = np.diag([-1.0, -1.0, 1.0]) * spacing_mm  # i to the left, j to the back, k to the head
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = axes
    ijk_to_ras[:3, 3] = np.array([0.0, 0.0, ABOVE_MM]) - axes @ (np.array(shape[::-1]) - 1) / 2
    return Place.alone(scene, ijk_to_ras)
