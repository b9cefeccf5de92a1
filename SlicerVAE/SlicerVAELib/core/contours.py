"""Planar contours to a mask on a volume's grid: the one rasteriser of the trainer and of Slicer.

The sampling rule is that of pixel centres: a voxel belongs to the mask when its centre lies inside the contours of
its plane. Inside is decided by the even–odd rule over all contours of the plane together, so that a contour within
another is a hole, and a keyhole (an outer and an inner ring joined by a bridge that is walked both ways) needs no
special care. Of a centre exactly on an edge, the edge at the lower row and column takes it in and the opposite edge
leaves it out, so that neighbouring structures never share a voxel.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from .errors import UserError
from .volume import Geometry

_OUT_OF_PLANE = 0.1  # slices; how far a contour may leave its plane and still count as lying in it
_SAME_PLANE = 0.01  # slices; contours closer than this lie in one plane
_GRAIN = 6  # decimals of voxel coordinates kept, so that rounding noise does not decide about a centre on an edge


def fill(contours: Sequence[np.ndarray], geometry: Geometry) -> np.ndarray:
    """Return the boolean mask (K, J, I) of closed planar ``contours`` on ``geometry``.

    Each contour is an array (P, 3) of RAS millimetres; it is closed whether or not its last point repeats the first.
    Its plane must be parallel to the grid's slices. It fills the slice that it lies nearest to, within half a slice;
    where several planes fall on one slice, the nearest one is taken. Contours of fewer than three points, and what
    lies outside the grid, mark nothing. Raises UserError for a contour that is not parallel to the slices or not
    finite.
    """
    mask = np.zeros(geometry.shape, dtype=bool)
    for k, polygons in _by_slice(_in_voxels(contours, geometry), geometry.shape[0]):
        _fill_slice(mask[k], polygons)
    return mask


def _in_voxels(contours: Sequence[np.ndarray], geometry: Geometry) -> list[np.ndarray]:
    """Contours of at least three points in voxel coordinates (P, 3), i, j, k."""
    inverse = np.linalg.inv(geometry.ijk_to_ras)
    voxels = []
    for contour in contours:
        points = np.asarray(contour, dtype=np.float64).reshape(-1, 3)
        if len(points) < 3:
            continue
        if not np.isfinite(points).all():
            raise UserError("A contour has points that are not numbers; export the structure set anew.")
        ijk = np.round(points @ inverse[:3, :3].T + inverse[:3, 3], _GRAIN)
        if np.ptp(ijk[:, 2]) > _OUT_OF_PLANE:
            raise UserError(
                "A contour is not parallel to the image's slices; use a structure set drawn on this image's slices."
            )
        voxels.append(ijk)
    return voxels


def _by_slice(contours: list[np.ndarray], slices: int) -> Iterator[tuple[int, list[np.ndarray]]]:
    """Yield each slice that contours fall on, with the (P, 2) polygons of the plane nearest to its centre."""
    contours = sorted(contours, key=lambda contour: float(contour[:, 2].mean()))
    heights = np.array([contour[:, 2].mean() for contour in contours])
    starts = np.flatnonzero(np.diff(heights, prepend=-np.inf) > _SAME_PLANE)
    planes = np.split(np.arange(len(contours)), starts[1:])
    nearest: dict[int, tuple[float, np.ndarray]] = {}
    for plane in planes if len(contours) else ():
        height = heights[plane].mean()
        # A plane midway between two slices goes to the upper one, always: rounding must not double or drop it.
        k = int(np.floor(round(height, _GRAIN - 1) + 0.5))
        distance = abs(height - k)
        if 0 <= k < slices and (k not in nearest or distance < nearest[k][0]):
            nearest[k] = (distance, plane)
    for k, (_, plane) in sorted(nearest.items()):
        # A contour exported twice would cancel itself under the even–odd rule.
        unique = {contours[n].tobytes(): contours[n][:, :2] for n in plane}
        yield k, list(unique.values())


def _fill_slice(mask: np.ndarray, polygons: list[np.ndarray]) -> None:
    """Mark in ``mask`` (J, I) the pixel centres inside ``polygons`` by the even–odd rule.

    Every edge toggles, in each row that it crosses, all pixels at and right of the crossing; a running parity along
    the row then gives inside and outside.
    """
    height, width = mask.shape
    start = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    upward = start[:, 1] <= end[:, 1]
    (x0, y0), (x1, y1) = np.where(upward[:, None], start, end).T, np.where(upward[:, None], end, start).T
    first = np.clip(np.ceil(y0), 0, height).astype(np.int64)
    rows = np.clip(np.ceil(y1), 0, height).astype(np.int64) - first  # the centres with y0 <= row < y1
    if not rows.any():
        return
    edge = np.repeat(np.arange(len(rows)), rows)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(rows) - rows, rows) + first[edge]
    slope = (x1 - x0)[edge] / (y1 - y0)[edge]
    column = np.ceil(np.round(x0[edge] + (row - y0[edge]) * slope, _GRAIN))
    column = np.clip(column, 0, width).astype(np.int64)
    top, bottom, left = int(row.min()), int(row.max()) + 1, int(column.min())
    span = int(column.max()) - left + 1
    toggles = np.bincount((row - top) * span + column - left, minlength=(bottom - top) * span)
    parity = np.cumsum(toggles.reshape(bottom - top, span), axis=1, dtype=np.uint8) & 1  # 256 is even: may wrap
    mask[top:bottom, left : left + span - 1] = parity[:, :-1]
