"""Where synthetic slices lie in the scene: nowhere in any patient."""

import numpy as np
import slicer

from .outputs import Place


def axial_place(scene: slicer.vtkMRMLScene, shape: tuple[int, ...], spacing_mm: float) -> Place:
    """A stack (N, H, W) of axial slices, cubic voxels, centred on the origin, at the top of the scene."""
    axes = np.diag([-1.0, -1.0, 1.0]) * spacing_mm  # i to the left, j to the back, k to the head
    ijk_to_ras = np.eye(4)
    ijk_to_ras[:3, :3] = axes
    ijk_to_ras[:3, 3] = -axes @ (np.array(shape[::-1]) - 1) / 2
    return Place.alone(scene, ijk_to_ras)
