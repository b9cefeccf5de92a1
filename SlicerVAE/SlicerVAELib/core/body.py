"""The patient's body in an image, without the couch that it lies on, so that a model need not learn the furniture.

On a coarse grid, with distances in mm: tissue is what is above a threshold; where that is thick, once holes in each
slice are filled, it is certainly body. From there it is followed through tissue that is not as thin as a couch's
shell, and what then hangs on as a slab is cut off. Lungs and other holes are filled slice by slice.
"""

import numpy as np
import torch
from torch.nn.functional import max_pool3d

from .resampling import resample
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
    tissue = (resample(array, geometry, grid, fill=outside) > threshold).float()[None]
    if _is_cut_off(tissue):
        return np.ones(grid.shape, dtype=bool), grid
    for depth in (THICK_MM, THICK_MM / 2, THICK_MM / 4):
        core = _eroded(_filled(tissue), depth)
        if core.any():
            break
    else:
        return np.ones(grid.shape, dtype=bool), grid
    firm = _dilated(_eroded(tissue, SHELL_MM), SHELL_MM)
    body = _filled(_reached(core * tissue, torch.maximum(firm, core) * tissue, axes=(-1, -2, -3)))
    kept = _dilated(_eroded(body, SLAB_MM), SLAB_MM + STEP_MM) * body
    return kept[0].numpy() > 0, grid


def _grid(geometry: Geometry) -> Geometry:
    """A coarse grid along the image's own axes, so that its faces stay faces; the last is the one nearest to S."""
    axes = np.roll(np.arange(3), 2 - int(np.abs(geometry.directions[2]).argmax()))
    extent = np.array(geometry.shape[::-1]) * geometry.spacing
    counts = np.maximum(1, np.ceil(extent / STEP_MM)).astype(int)[axes]
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.directions[:, axes] * STEP_MM
    matrix[:3, 3] = geometry.centre - matrix[:3, :3] @ (counts - 1) / 2
    return Geometry((int(counts[2]), int(counts[1]), int(counts[0])), matrix)


def _is_cut_off(tissue: torch.Tensor) -> bool:
    """Whether so much of the slices' border is tissue that lungs would open to it and count as air outside."""
    border = torch.cat([tissue[..., 0, :], tissue[..., -1, :], tissue[..., 0], tissue[..., -1]], dim=-1)
    return float(border.mean()) > CUT_OFF_SHARE


def _dilated(mask: torch.Tensor, distance_mm: float) -> torch.Tensor:
    voxels = round(distance_mm / STEP_MM)
    for _ in range(voxels):  # boxes of 3 one after the other: a few small windows cost less than a large one
        mask = max_pool3d(mask, 3, stride=1, padding=1)
    return mask


def _eroded(mask: torch.Tensor, distance_mm: float) -> torch.Tensor:
    # What lies beyond the image never wins a maximum, so a body that the image cuts off is not eroded there.
    return -_dilated(-mask, distance_mm)


def _filled(mask: torch.Tensor) -> torch.Tensor:
    """The mask (1, N, H, W) with the holes of each slice: what can't be reached from the slice's border."""
    free = 1 - mask
    air = torch.zeros_like(mask)
    air[..., 0, :], air[..., -1, :], air[..., 0], air[..., -1] = 1, 1, 1, 1
    return 1 - _reached(air * free, free, axes=(-1, -2))


def _reached(seeds: torch.Tensor, within: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """All of ``within`` that can be walked to from the seeds along the ``axes``, never through a corner.

    Each sweep walks a whole line at once: a place is reached when, coming from the line's end, the last seed lies
    behind the last obstacle.
    """
    count = -1.0
    while float(seeds.sum()) != count:
        count = float(seeds.sum())
        for axis in axes:
            for flipped in (False, True):
                line, free = (value.flip(axis) if flipped else value for value in (seeds, within))
                place = torch.arange(1.0, line.shape[axis] + 1).reshape([-1] + [1] * (-axis - 1))
                last_seed = (place * line).cummax(dim=axis).values
                last_obstacle = (place * (1 - free)).cummax(dim=axis).values
                found = (last_seed > last_obstacle).to(seeds)
                seeds = found.flip(axis) if flipped else found
    return seeds
