"""Planar contours to a mask on a volume's grid: the one rasteriser of the trainer and of Slicer.

The sampling rule is that of voxel centres: a voxel belongs to the mask when its centre lies inside the contours of the
plane nearest to it, seen along the planes' normal. Inside is decided by the even–odd rule over all contours of the
plane together, so that a contour within another is a hole, and a keyhole (an outer and an inner ring joined by a bridge
that is walked both ways) needs no special care. Of a centre exactly on an edge, the edge at the lower row and column
takes it in and the opposite edge leaves it out, so that neighbouring structures never share a voxel.

A plane stands for the space halfway to its neighbours, and as far beyond the first and the last; of a centre midway
between two planes the lower one decides.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from .errors import UserError
from .scanlines import fill_plane, inside
from .volume import Geometry

_OUT_OF_PLANE = 0.1  # slices; how far a contour may leave its plane and still count as lying in it
_SAME_PLANE = 0.01  # slices; contours closer than this lie in one plane
_GRAIN = 6  # decimals of voxel coordinates kept, so that rounding noise does not decide about a centre on an edge
_FURTHEST_MM = 10.0  # planes that are regularly further apart do not stand for what is between them


def fill(contours: Sequence[np.ndarray], geometry: Geometry) -> np.ndarray:
    """Return the boolean mask (K, J, I) of closed planar ``contours`` on ``geometry``.

    Each contour is an array (P, 3) of RAS millimetres; it is closed whether or not its last point repeats the first.
    All lie in parallel planes, of any direction. A plane fills at least the slice that it lies nearest to; where
    planes are regularly further apart than the slices, by up to 10 mm, also those between. Contours of fewer than three
    points, and what lies outside the grid, mark nothing. Raises UserError for a contour that is not finite or not
    planar, and for planes that are not parallel.
    """
    drawn = [np.asarray(contour, dtype=np.float64).reshape(-1, 3) for contour in contours]
    drawn = [points for points in drawn if len(points) >= 3]
    if not all(np.isfinite(points).all() for points in drawn):
        raise UserError("A contour has points that are not numbers; export the structure set anew.")
    mask = np.zeros(geometry.shape, dtype=bool)
    if not drawn:
        return mask
    inverse = np.linalg.inv(geometry.ijk_to_ras)
    voxels = [np.round(points @ inverse[:3, :3].T + inverse[:3, 3], _GRAIN) for points in drawn]
    for axis in (2, 1, 0):  # k first: contours are nearly always drawn on the image's own slices
        if all(np.ptp(points[:, axis]) <= _OUT_OF_PLANE for points in voxels):
            _fill_along(mask, voxels, axis, float(geometry.spacing[axis]))
            return mask
    _fill_oblique(mask, drawn, voxels, geometry)
    return mask


@dataclasses.dataclass(frozen=True, eq=False)
class _Planes:
    """Parallel planes: their ``heights`` (n,) along the normal, rising, the ``polygons`` (P, 2) of each, and how thick
    a ``slab`` each stands for."""

    heights: np.ndarray
    polygons: list[list[np.ndarray]]
    slab: float

    @classmethod
    def of(cls, contours: Sequence[np.ndarray], slice_step: float, furthest: float) -> "_Planes":
        """From contours (P, 3) whose last coordinate is the height, on a grid with slices ``slice_step`` apart; planes
        up to ``furthest`` apart stand for what is between them."""
        means = np.array([contour[:, 2].mean() for contour in contours])
        order = np.argsort(means, kind="stable")
        starts = np.flatnonzero(np.diff(means[order], prepend=-np.inf) > _SAME_PLANE * slice_step)
        groups = np.split(order, starts[1:])
        heights = np.round([means[group].mean() for group in groups], _GRAIN - 1)
        # A contour exported twice would cancel itself under the even–odd rule.
        polygons = [list({contours[n].tobytes(): contours[n][:, :2] for n in group}.values()) for group in groups]
        return cls(heights, polygons, max(slice_step, _usual_gap(heights, furthest)))

    def nearest(self, heights: np.ndarray) -> np.ndarray:
        """Index of the plane that decides at each height, −1 where none does."""
        index = np.searchsorted((self.heights[1:] + self.heights[:-1]) / 2, heights, side="left")
        above = heights - self.heights[index]
        half = self.slab / 2
        return np.where((above > -half) & (above <= half), index, -1)


def _usual_gap(heights: np.ndarray, most: float) -> float:
    """Distance between neighbouring planes where they are regular and no more than ``most`` apart, else 0."""
    gaps = np.diff(heights)
    if len(gaps) < 2:
        return 0.0
    usual = float(np.median(gaps))
    is_regular = np.mean(np.abs(gaps - usual) <= 0.02 * usual) >= 0.5
    return usual if is_regular and usual <= most * (1 + _SAME_PLANE) else 0.0


def _fill_along(mask: np.ndarray, voxels: Sequence[np.ndarray], axis: int, step_mm: float) -> None:
    """Fill contours in voxel coordinates i, j, k whose planes are those of the grid across ``axis`` of them, which are
    ``step_mm`` apart."""
    others = [n for n in range(3) if n != axis]
    planes = _Planes.of([points[:, [*others, axis]] for points in voxels], 1.0, _FURTHEST_MM / step_mm)
    stack = np.moveaxis(mask, 2 - axis, 0)  # the first of the two others then runs along the last axis
    for n, plane in enumerate(planes.nearest(np.arange(len(stack), dtype=np.float64))):
        if plane >= 0:
            fill_plane(stack[n], planes.polygons[plane])


def _fill_oblique(
    mask: np.ndarray, drawn: Sequence[np.ndarray], voxels: Sequence[np.ndarray], geometry: Geometry
) -> None:
    """Fill contours (P, 3) in RAS mm whose planes cross the grid's slices; ``voxels`` are the same in i, j, k."""
    frame = _frame(drawn, float(geometry.spacing.min()))
    step = float(np.abs(frame[2] @ geometry.ijk_to_ras[:3, :3]).max())
    planes = _Planes.of([points @ frame.T for points in drawn], step, _FURTHEST_MM)
    matrix = frame @ geometry.ijk_to_ras[:3]  # (3, 4): indices to the planes' u, v and height
    # A slab reaches beyond its contour by half its thickness along the normal.
    margin = np.abs(np.linalg.inv(geometry.ijk_to_ras[:3, :3]) @ frame[2]) * planes.slab / 2
    points = np.concatenate(voxels)
    last = np.array(mask.shape[::-1]) - 1
    low = np.clip(np.ceil(points.min(axis=0) - margin), 0, last + 1).astype(int)
    high = np.clip(np.floor(points.max(axis=0) + margin), -1, last).astype(int) + 1
    j, i = np.meshgrid(np.arange(low[1], high[1]), np.arange(low[0], high[0]), indexing="ij")
    for k in range(low[2], high[2]):
        u, v, height = np.round(np.tensordot(matrix, np.stack([i, j, np.full_like(i, k), np.ones_like(i)]), 1), _GRAIN)
        chosen = planes.nearest(height)
        part = mask[k, low[1] : high[1], low[0] : high[0]]
        for plane in np.unique(chosen[chosen >= 0]):
            here = chosen == plane
            part[here] = inside(u[here], v[here], planes.polygons[plane])


def _frame(contours: Sequence[np.ndarray], pixel_mm: float) -> np.ndarray:
    """Two directions in the contours' planes and their normal, as rows of a 3×3 matrix.

    The normal is that of the contour with the largest area (Newell's formula), and turned so that the same planes
    always get the same frame.
    """
    areas = [np.cross(points, np.roll(points, -1, axis=0)).sum(axis=0) for points in map(_centred, contours)]
    normal = max(areas, key=lambda area: float(area @ area))
    length = float(np.linalg.norm(normal))
    if length < 1e-9:
        raise UserError("The contours enclose no area, so their planes are not known; export the structure set anew.")
    normal = normal / length
    normal = normal * np.sign(normal[np.abs(normal).argmax()])
    for points in contours:
        if np.ptp(points @ normal) > _OUT_OF_PLANE * pixel_mm:
            raise UserError(
                "The contours do not lie in parallel planes; export the structure set anew, as contours of one "
                "orientation."
            )
    first = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    first /= np.linalg.norm(first)
    return np.stack([first, np.cross(normal, first), normal])


def _centred(points: np.ndarray) -> np.ndarray:
    return points - points.mean(axis=0)
