"""Vessels thinner than a voxel, laid into the image by their volume instead of by their shape."""

import numpy as np

from .scanner import Grid, Position
from .shapes import Segment


class Splats:
    """Thin tubes on an image's grid."""

    def __init__(self, tubes: list[Segment], position: Position, grid: Grid) -> None:
        self._grid = grid
        starts = np.array([tube.start for tube in tubes]).reshape(-1, 3)
        ends = np.array([tube.end for tube in tubes]).reshape(-1, 3)
        radii = np.array([(tube.start_radius, tube.end_radius) for tube in tubes]).reshape(-1, 2)
        lengths = np.linalg.norm(ends - starts, axis=1)
        counts = np.maximum(1, np.ceil(lengths / min(grid.pixel, 2.0))).astype(int)
        tube = np.repeat(np.arange(len(tubes)), counts)
        nth = np.arange(len(tube)) - np.repeat(np.cumsum(counts) - counts, counts)
        along = (nth + 0.5) / counts[tube]
        points = starts[tube] + along[:, None] * (ends - starts)[tube]
        radius = radii[tube, 0] + along * (radii[tube, 1] - radii[tube, 0])
        volume = np.pi * radius**2 * (lengths / counts)[tube]
        columns, rows = position.to_image(points[:, 0], points[:, 1], points[:, 2])
        first = float(grid.axis[0])
        k = (points[:, 2] - grid.first_z) / grid.spacing
        order = np.argsort(k, kind="stable")
        self._i = ((columns - first) / grid.pixel)[order]
        self._j = ((rows - first) / grid.pixel)[order]
        self._k = k[order]
        self._share = volume[order] / (grid.pixel**2 * grid.spacing)

    def share(self, k: int) -> np.ndarray:
        """How much of each voxel of slice k the tubes fill, (J, I) float32."""
        n = self._grid.size
        first, last = np.searchsorted(self._k, (k - 0.5, k + 0.5))
        i, j, share = self._i[first:last], self._j[first:last], self._share[first:last]
        i0, j0 = np.floor(i).astype(int), np.floor(j).astype(int)
        image = np.zeros(n * n)
        for di in (0, 1):
            for dj in (0, 1):
                weight = np.abs(1 - di - (i - i0)) * np.abs(1 - dj - (j - j0))
                index = np.clip(j0 + dj, 0, n - 1) * n + np.clip(i0 + di, 0, n - 1)
                image += np.bincount(index, weights=weight * share, minlength=n * n)
        return np.minimum(image, 0.95).reshape(n, n).astype(np.float32)
