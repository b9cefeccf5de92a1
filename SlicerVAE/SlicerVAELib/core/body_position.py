"""Where slices lie along the body, in mm towards the head from a landmark, so that levels of patients can be compared.

A scanner's own zero means nothing from one patient to the next. The landmark is the first of these that an image shows:

``lungs``   CT whose body holds more than 500 cm³ of air in lungs that the scan does not cut: the centroid of that air
``vertex``  the body ends within the scan, as heads do: its top
``scan``    neither: the middle of the scanned length

Positions of different landmarks can't be compared. Nothing here needs torch; the body's mask, without the couch, is
that of ``core.body``.
"""

import dataclasses
from typing import Literal

import numpy as np

from .volume import Geometry, Modality, Volume

Landmark = Literal["lungs", "vertex", "scan"]

AIR_HU = -400.0
LEAST_LUNGS_CM3 = 500.0
MOST_CUT = (
    0.35  # air of the first or last slice, of the slice that has most: beyond, the scan shows a part of the lungs
)


@dataclasses.dataclass(frozen=True)
class BodyOrigin:
    """The zero of body positions: ``superior_mm`` is its place in mm towards the patient's head (the third coordinate
    in RAS and LPS), ``landmark`` what lies there."""

    landmark: Landmark
    superior_mm: float

    def positions(self, superior_mm: np.ndarray) -> np.ndarray:
        """Body positions, float32, in mm towards the head from the landmark, of places given in LPS or RAS mm S."""
        return (np.asarray(superior_mm, dtype=np.float64) - self.superior_mm).astype(np.float32)


def body_origin(volume: Volume, body: tuple[np.ndarray, Geometry]) -> BodyOrigin:
    """The landmark of a volume; ``body`` is the mask of its body with the mask's grid, as ``core.body`` gives them."""
    mask, grid = body
    # Where the patient is cut off to all sides everything counts as body, the air beside it too.
    if not mask.all():
        if volume.modality is Modality.CT:
            lungs = _air_inside(volume, mask, grid)
            if lungs.sum() * grid.voxel_volume_cm3 > LEAST_LUNGS_CM3 and not _is_cut(lungs):
                return BodyOrigin("lungs", float(_superior_mm(grid, np.argwhere(lungs)).mean()))
        top = _top_mm(mask, grid)
        if top is not None:
            return BodyOrigin("vertex", top)
    return BodyOrigin("scan", float(volume.geometry.centre[2]))


def _air_inside(volume: Volume, mask: np.ndarray, grid: Geometry) -> np.ndarray:
    """Boolean array on the body's grid: air that does not touch the skin, where a voxel may be half outside."""
    inner = mask.copy()
    for axis in (1, 2):
        for step in (1, -1):
            inner &= np.roll(mask, step, axis)
        ends = np.moveaxis(inner, axis, 0)
        ends[0] = ends[-1] = False
    places = np.argwhere(inner)
    to_voxels = np.linalg.inv(volume.geometry.ijk_to_ras) @ grid.ijk_to_ras
    voxels = np.rint(places[:, ::-1] @ to_voxels[:3, :3].T + to_voxels[:3, 3]).astype(int)[:, ::-1]
    values = volume.array[tuple(np.clip(voxels, 0, np.array(volume.array.shape) - 1).T)]
    inner[inner] = values < AIR_HU
    return inner


def _is_cut(lungs: np.ndarray) -> bool:
    areas = lungs.sum(axis=(1, 2))
    return bool(max(areas[0], areas[-1]) > MOST_CUT * areas.max())


def _top_mm(mask: np.ndarray, grid: Geometry) -> float | None:
    """How far the body reaches towards the head, None where it reaches the end of the scan."""
    towards_head = mask if grid.directions[2, 2] > 0 else mask[::-1]
    if towards_head[-1].any():
        return None
    return float(_superior_mm(grid, np.argwhere(mask)).max() + grid.spacing[2] / 2)


def _superior_mm(grid: Geometry, places: np.ndarray) -> np.ndarray:
    """Of voxels (N, 3) as k, j, i: their place towards the head, (N,)."""
    return places[:, ::-1] @ grid.ijk_to_ras[2, :3] + grid.ijk_to_ras[2, 3]
