"""The patient's body in an image, without the couch that it lies on, so that a model need not learn the furniture.

On a coarse grid, with distances in mm: tissue is what is above a threshold; where that is thick, once holes in each
slice are filled, it is certainly body. From there it is followed through tissue that is not as thin as a couch's
shell, and what then hangs on as a slab is cut off. Lungs and other holes are filled slice by slice.
"""

import numpy as np

from .resampling import resample
from .squared_distance import squared_distances
from .volume import Geometry, Modality

TISSUE_HU = -350.0
STEP_MM = 4.0
THICK_MM = 24.0  # no couch is this thick to all sides
SHELL_MM = 4.0
SLAB_MM = 12.0
CUT_OFF_SHARE = 0.2  # of the slices' border that is tissue


def tissue_threshold(modality: Modality, low: float, high: float) -> float:
    """The value above which something is tissue: in HU for CT, else a tenth of the way up the intensity window."""
    return TISSUE_HU if modality is Modality.CT else low + 0.1 * (high - low)


def body_of(array: np.ndarray, geometry: Geometry, threshold: float, outside: float) -> tuple[np.ndarray, Geometry]:
    """Boolean mask (N, H, W) of the body, and its grid of 4 mm over the extent of ``geometry``.

    ``threshold``, in the array's units, separates tissue from air; ``outside`` is the value beyond the image. Without
    anything thick enough to be a body, and where the image shows a part of its inside only, everything counts as body.
    """
    grid = _grid(geometry)
    tissue = (resample(array, geometry, grid, fill=outside) > threshold).numpy()
    if _is_cut_off(tissue):
        return np.ones(grid.shape, dtype=bool), grid
    for depth in (THICK_MM, THICK_MM / 2, THICK_MM / 4):
        core = _eroded(_filled(tissue), depth)
        if core.any():
            break
    else:
        return np.ones(grid.shape, dtype=bool), grid
    firm = _dilated(_eroded(tissue, SHELL_MM), SHELL_MM)
    body = _filled(_reached(core & tissue, (firm | core) & tissue, axes=(2, 1, 0)))
    return _dilated(_eroded(body, SLAB_MM), SLAB_MM + STEP_MM) & body, grid


def eroded(body: np.ndarray, depth_mm: float) -> np.ndarray:
    """Where a mask of ``body_of`` lies at least ``depth_mm`` under its surface, as exactly as its voxels of 4 mm tell;
    where the image ends inside the body there is no surface."""
    whole = (slice(0, body.shape[0]), slice(0, body.shape[1]), slice(0, body.shape[2]))
    squared = squared_distances(~body, whole, whole, np.full(3, STEP_MM))
    return squared >= (depth_mm + STEP_MM / 2) ** 2  # the surface lies half a voxel from the centres on either side


def _grid(geometry: Geometry) -> Geometry:
    """A coarse grid along the image's own axes, so that its faces stay faces; the last is the one nearest to S."""
    axes = np.roll(np.arange(3), 2 - int(np.abs(geometry.directions[2]).argmax()))
    extent = np.array(geometry.shape[::-1]) * geometry.spacing
    counts = np.maximum(1, np.ceil(extent / STEP_MM)).astype(int)[axes]
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.directions[:, axes] * STEP_MM
    matrix[:3, 3] = geometry.centre - matrix[:3, :3] @ (counts - 1) / 2
    return Geometry((int(counts[2]), int(counts[1]), int(counts[0])), matrix)


def _is_cut_off(tissue: np.ndarray) -> bool:
    """Whether so much of the slices' border is tissue that lungs would open to it and count as air outside."""
    border = np.concatenate([tissue[:, 0], tissue[:, -1], tissue[:, :, 0], tissue[:, :, -1]], axis=1)
    return float(border.mean()) > CUT_OFF_SHARE


def _dilated(mask: np.ndarray, distance_mm: float) -> np.ndarray:
    """The mask and what lies within a cube of twice the distance about any of it."""
    for axis in range(mask.ndim):
        for _ in range(round(distance_mm / STEP_MM)):
            wider, line = mask.copy(), np.moveaxis(mask, axis, 0)
            reached = np.moveaxis(wider, axis, 0)
            reached[1:] |= line[:-1]
            reached[:-1] |= line[1:]
            mask = wider
    return mask


def _eroded(mask: np.ndarray, distance_mm: float) -> np.ndarray:
    # Nothing is known beyond the image, so a body that the image cuts off is not eroded there.
    return ~_dilated(~mask, distance_mm)


def _filled(mask: np.ndarray) -> np.ndarray:
    """The mask (N, H, W) with the holes of each slice: what can't be reached from the slice's border."""
    air = np.zeros_like(mask)
    air[:, 0], air[:, -1], air[:, :, 0], air[:, :, -1] = True, True, True, True
    return ~_reached(air & ~mask, ~mask, axes=(2, 1))


def _reached(seeds: np.ndarray, within: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """All of ``within`` that can be walked to from the seeds along the ``axes``, never through a corner.

    Each sweep walks a whole line at once: a place is reached when, coming from the line's end, the last seed lies
    behind the last obstacle.
    """
    sweeps = [(axis, flipped, _last(~within, axis, flipped)) for axis in axes for flipped in (False, True)]
    count = -1
    while (now := int(np.count_nonzero(seeds))) != count:
        count = now
        for axis, flipped, last_obstacle in sweeps:
            seeds = _last(seeds, axis, flipped) > last_obstacle
    return seeds


def _last(mask: np.ndarray, axis: int, flipped: bool) -> np.ndarray:
    """Number along the axis, from 1, of the last place of the mask at or before each place; 0 before the first. Of
    ``flipped`` lines places are counted from the other end."""
    place = np.arange(1, mask.shape[axis] + 1, dtype=np.int16)
    place = (place[::-1] if flipped else place).reshape([-1] + [1] * (mask.ndim - 1 - axis))
    numbers = np.where(mask, place, np.int16(0))
    walked = np.flip(numbers, axis) if flipped else numbers
    return (
        np.flip(np.maximum.accumulate(walked, axis=axis), axis) if flipped else np.maximum.accumulate(walked, axis=axis)
    )
