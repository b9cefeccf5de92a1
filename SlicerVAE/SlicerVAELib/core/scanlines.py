"""Polygons by the even–odd rule: onto the pixel centres of a plane, and at any points of it.

Both take in a centre on an edge with the lower row and column, and leave out one on the opposite edge.
"""

from collections.abc import Iterable, Sequence

import numpy as np

_GRAIN = 6  # decimals of a crossing's column kept, so that rounding noise does not decide about a centre on an edge


def fill_plane(mask: np.ndarray, polygons: Sequence[np.ndarray]) -> None:
    """Mark in ``mask`` (rows, columns) the pixel centres inside ``polygons`` (P, 2) of columns and rows.

    Every edge toggles, in each row that it crosses, all pixels at and right of the crossing; a running parity along
    the row then gives inside and outside.
    """
    height, width = mask.shape
    x0, y0, x1, y1 = _upward_edges(polygons)
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


def inside(x: np.ndarray, y: np.ndarray, polygons: Iterable[np.ndarray]) -> np.ndarray:
    """Whether each of the points (x, y), (N,) both, lies inside ``polygons`` (P, 2)."""
    order = np.argsort(y, kind="stable")
    sorted_x, sorted_y = x[order], y[order]
    odd = np.zeros(len(x), dtype=bool)
    x0, y0, x1, y1 = _upward_edges(list(polygons))
    begin, end = np.searchsorted(sorted_y, y0, side="left"), np.searchsorted(sorted_y, y1, side="left")
    for n in np.flatnonzero(end > begin):
        part = slice(begin[n], end[n])
        crossing = x0[n] + (sorted_y[part] - y0[n]) * ((x1[n] - x0[n]) / (y1[n] - y0[n]))
        odd[part] ^= sorted_x[part] >= np.round(crossing, _GRAIN)
    result = np.empty_like(odd)
    result[order] = odd
    return result


def _upward_edges(polygons: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """x0, y0, x1, y1 of all edges, each turned so that y0 <= y1."""
    start = np.concatenate(polygons)
    end = np.concatenate([np.roll(polygon, -1, axis=0) for polygon in polygons])
    is_upward = start[:, 1] <= end[:, 1]
    (x0, y0), (x1, y1) = np.where(is_upward[:, None], start, end).T, np.where(is_upward[:, None], end, start).T
    return x0, y0, x1, y1
