"""From a volume to the stack of slices that a model sees, and back.

The model's space is a stack of square axial slices along the patient's own axes, with i to the patient's left, j to the
back and k to the head, whatever the volume's orientation.
"""

import dataclasses

import numpy as np
import torch

from .preprocessing import Preprocessing
from .resampling import coverage, resample
from .volume import Geometry, Volume


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """A volume in the model's space.

    ``pixels`` is float32 (N, 1, H, W) in [0, 1], from the foot to the head; ``geometry`` its grid (N, H, W);
    ``source`` the volume's; ``window`` the input values that became 0 and 1.
    """

    pixels: torch.Tensor
    geometry: Geometry
    source: Geometry
    window: tuple[float, float]

    @property
    def scale(self) -> float:
        """Input units per model unit."""
        return self.window[1] - self.window[0]

    def seen(self) -> np.ndarray:
        """Boolean array on the input's grid: what lies within the model's field of view."""
        return coverage(self.geometry, self.source)

    def to_source(self, pixels: torch.Tensor, *, fill: float) -> np.ndarray:
        """A stack (N, H, W) on the input's grid, float32 (K, J, I), with ``fill`` where the model saw nothing."""
        return resample(pixels.numpy(), self.geometry, self.source, fill=fill).numpy()

    def positions_mm(self) -> tuple[float, ...]:
        """Position of each slice along the patient's axis, foot to head, in mm."""
        matrix = self.geometry.ijk_to_ras
        return tuple(float(matrix[2, 3] + matrix[2, 2] * k) for k in range(self.geometry.shape[0]))


def prepare(volume: Volume, preprocessing: Preprocessing) -> Stack:
    """The volume in the model's space."""
    low, high = preprocessing.intensity.window(volume.array)

    def normalise(values: torch.Tensor) -> torch.Tensor:
        return values.sub_(low).mul_(1 / (high - low)).clamp_(0, 1)

    grid = model_grid(volume, preprocessing)
    pixels = resample(volume.array, volume.geometry, grid, fill=0.0, transform=normalise)
    return Stack(pixels[:, None], grid, volume.geometry, (low, high))


def model_grid(volume: Volume, preprocessing: Preprocessing) -> Geometry:
    """The model's grid (N, size, size) about the volume."""
    geometry = volume.geometry
    centre = geometry.centre
    if preprocessing.centre == "foreground":
        centre[:2] = _foreground_centre(volume)[:2]
    step, count = _slices(geometry, preprocessing.slice_step_mm)
    columns = np.diag([-preprocessing.spacing_mm, -preprocessing.spacing_mm, step])
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = centre - columns @ (np.array([preprocessing.size, preprocessing.size, count]) - 1) / 2
    return Geometry((count, preprocessing.size, preprocessing.size), matrix)


def _slices(geometry: Geometry, wanted_step_mm: float | None) -> tuple[float, int]:
    """Slice step in mm and number of slices that cover the volume's extent from foot to head."""
    extent = np.abs(geometry.ijk_to_ras[2, :3]) * np.array(geometry.shape[::-1])
    axis = int(np.abs(geometry.directions[2]).argmax())
    step = wanted_step_mm or float(geometry.spacing[axis])
    # An extent of 39.98 or 40.02 slices, after rounding in a header, is 40 slices; a real remainder is one more.
    if wanted_step_mm:
        return step, max(1, int(np.ceil(extent.sum() / step - 0.1)))
    # Slices are added in pairs, so that those of a tilted volume stay where its own are and not half a step beside.
    own = geometry.shape[2 - axis]
    return step, max(1, own + 2 * int(np.ceil((extent.sum() / step - own) / 2 - 0.05)))


def foreground_box(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds (i, j, k) of the voxels above the volume's mean; the whole grid when there are none."""
    above = volume.array > volume.array.mean()
    lower, upper = [], []
    for axis in (2, 1, 0):
        present = np.flatnonzero(above.any(axis=tuple(a for a in range(3) if a != axis)))
        first, last = (present[0], present[-1]) if present.size else (0, volume.array.shape[axis] - 1)
        lower.append(first - 0.5)
        upper.append(last + 0.5)
    return np.array(lower), np.array(upper)


def _foreground_centre(volume: Volume) -> np.ndarray:
    """Centre, in RAS mm, of the box about the foreground."""
    matrix = volume.geometry.ijk_to_ras
    return matrix[:3, :3] @ (sum(foreground_box(volume)) / 2) + matrix[:3, 3]
