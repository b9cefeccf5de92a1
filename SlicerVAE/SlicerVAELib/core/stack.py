"""From a volume to the stack of slices that a model sees, and back.

The model's space is a stack of square axial slices along the patient's own axes, with i to the patient's left, j to the
back and k to the head, whatever the volume's orientation. A cube is a stack with as many slices as rows.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np
import torch

from .body import body_of, tissue_threshold
from .classes import one_class_per_pixel
from .errors import UserError, nearest
from .planes import directions, extents_mm, own_slices
from .preprocessing import Preprocessing
from .resampling import Transform, coverage, resample
from .structure_names import StructureNames
from .volume import Geometry, Volume

SKIN = 0.25  # of a coarse voxel of the body's mask


@dataclasses.dataclass(frozen=True, eq=False)
class Stack:
    """A volume in the model's space.

    ``pixels`` is float32 (N, C, H, W) in [0, 1], in the order of ``core.planes``: the images, then the structures and
    what lies in none of them, one of which is 1 and the others 0 in every pixel. ``geometry`` is its grid (N, H, W),
    ``source`` the volume's; ``windows`` are the input values that became 0 and 1 of each image. ``is_cube`` says that
    the N slices make one image. ``body``, where only that was shown to the model, is a mask on a grid of its own.
    """

    pixels: torch.Tensor
    geometry: Geometry
    source: Geometry
    windows: tuple[tuple[float, float], ...]
    is_cube: bool = False
    body: tuple[np.ndarray, Geometry] | None = None

    @property
    def images(self) -> torch.Tensor:
        """What a network takes: the slices (N, C, H, W), or the cube (1, C, D, H, W). ``slices_of`` turns it back."""
        return self.pixels.movedim(0, 1)[None] if self.is_cube else self.pixels

    @property
    def window(self) -> tuple[float, float]:
        """The values of the volume itself, the first image, that became 0 and 1."""
        return self.windows[0]

    @property
    def scale(self) -> float:
        """Input units of the first image per model unit."""
        return self.window[1] - self.window[0]

    def seen(self) -> np.ndarray:
        """Boolean array on the input's grid: what lies within the model's field of view, and was not cleared."""
        within = coverage(self.geometry, self.source)
        if self.body is not None:
            within &= _body_on(self.body, self.source).numpy()
        return within

    def to_source(self, pixels: torch.Tensor, *, fill: float) -> np.ndarray:
        """A stack (N, H, W) on the input's grid, float32 (K, J, I), with ``fill`` where the model saw nothing."""
        return resample(pixels.numpy(), self.geometry, self.source, fill=fill).numpy()

    def share_of(self, mask: np.ndarray) -> torch.Tensor:
        """The share of every pixel, float32 (N, H, W), that a mask (K, J, I) on the input's grid fills."""
        return resample(mask, self.source, self.geometry, fill=0.0)

    def positions_mm(self) -> tuple[float, ...]:
        """Position of each slice in LPS mm along the direction in which they follow each other, so that it rises."""
        step = self.geometry.ijk_to_ras[:3, 2]
        axis = step / np.linalg.norm(step)
        return tuple(float(axis @ (self.geometry.origin + k * step)) for k in range(self.geometry.shape[0]))


def prepare(volume: Volume, preprocessing: Preprocessing) -> Stack:
    """The volume in the model's space.

    Raises UserError when it lacks a channel or a structure that the model sees.
    """
    arrays = _channels(volume, preprocessing.channels)
    masks = _structures(volume, preprocessing.structures)
    grid = model_grid(volume, preprocessing)
    windows = tuple(preprocessing.intensity.window(array) for array in arrays)
    pixels = torch.empty(grid.shape[0], preprocessing.channel_count, *grid.shape[1:])
    for index, (array, (low, high)) in enumerate(zip(arrays, windows, strict=True)):
        pixels[:, index] = resample(array, volume.geometry, grid, fill=0.0, transform=_normalising(low, high))
    body = None
    if preprocessing.body_only:
        body = body_within(volume, windows[0])
        pixels[:, : preprocessing.image_channels] *= _body_on(body, grid)[:, None]
    if masks:
        classes = one_class_per_pixel(masks, volume.geometry, grid)
        pixels[:, preprocessing.image_channels :] = classes.movedim(0, 1)
    return Stack(pixels, grid, volume.geometry, windows, preprocessing.depth == "cube", body)


def body_in(stack: Stack, volume: Volume) -> tuple[np.ndarray, Geometry]:
    """The body's mask in the volume that became the stack, and the mask's grid; see ``core.body.body_of``."""
    return stack.body or body_within(volume, stack.window)


def body_within(volume: Volume, window: tuple[float, float]) -> tuple[np.ndarray, Geometry]:
    """The body's mask in a volume whose values in ``window`` the model sees, and the mask's grid."""
    low, high = window
    return body_of(volume.array, volume.geometry, tissue_threshold(volume.modality, low, high), outside=low)


def slices_of(images: torch.Tensor) -> torch.Tensor:
    """Slices (N, C, H, W) of what a network takes or gives: themselves, or cubes (n, C, D, H, W) one after another."""
    return images.movedim(1, 2).flatten(0, 1) if images.ndim == 5 else images


def _body_on(body: tuple[np.ndarray, Geometry], grid: Geometry) -> torch.Tensor:
    """Boolean tensor of the grid's shape: where it lies in the body, the skin with it."""
    return resample(*body, grid, fill=0.0) > SKIN


def _channels(volume: Volume, names: tuple[str, ...]) -> list[np.ndarray]:
    """The volume's own array, and the further images that the model sees."""
    return [volume.array, *(_named(name, volume.channels, "channel", volume) for name in names[1:])]


def _structures(volume: Volume, names: tuple[str, ...]) -> list[np.ndarray]:
    """The masks that the model sees, by its names or by others with the same standard name."""
    if not names:
        return []  # most models see none, and the table of names takes its time
    known = StructureNames()
    return [_named(known.meant(name, volume.masks) or name, volume.masks, "structure", volume) for name in names]


def _named(name: str, arrays: Mapping[str, np.ndarray], kind: str, volume: Volume) -> np.ndarray:
    if name not in arrays:
        called = volume.source.name or volume.source.path or "The volume"
        near = f"; {nearest(name, arrays)}" if arrays else f"; give it with its {kind}s."
        raise UserError(f"{called} has no {kind} '{name}'{near}")
    return arrays[name]


def _normalising(low: float, high: float) -> Transform:
    return lambda values: values.sub_(low).mul_(1 / (high - low)).clamp_(0, 1)


def model_grid(volume: Volume, preprocessing: Preprocessing) -> Geometry:
    """The model's grid (N, size, size) about the volume; N is the size too for a cube."""
    geometry, size, axes = volume.geometry, preprocessing.size, directions(preprocessing.plane)
    centre = geometry.centre
    if preprocessing.centre == "foreground":  # within the plane; across it the whole extent is seen
        across = axes[:, 2]
        found = _foreground_centre(volume)
        centre = found + across * (across @ (centre - found))
    extent = float(extents_mm(geometry, preprocessing.plane)[2])
    if preprocessing.depth == "cube":
        step, count = extent / size, size
    else:
        step, count = _slices(extent, *own_slices(geometry, preprocessing.plane), preprocessing.slice_step_mm)
    columns = axes * (preprocessing.spacing_mm, preprocessing.spacing_mm, step)
    matrix = np.eye(4)
    matrix[:3, :3] = columns
    matrix[:3, 3] = centre - columns @ (np.array([size, size, count]) - 1) / 2
    return Geometry((count, size, size), matrix)


def _slices(extent: float, own_step: float, own_count: int, wanted_step_mm: float | None) -> tuple[float, int]:
    """Slice step in mm and number of slices that cover an extent in mm of a volume with slices of its own."""
    # An extent of 39.98 or 40.02 slices, after rounding in a header, is 40 slices; a real remainder is one more.
    if wanted_step_mm:
        return wanted_step_mm, max(1, int(np.ceil(extent / wanted_step_mm - 0.1)))
    # Slices are added in pairs, so that those of a tilted volume stay where its own are and not half a step beside.
    return own_step, max(1, own_count + 2 * int(np.ceil((extent / own_step - own_count) / 2 - 0.05)))


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
