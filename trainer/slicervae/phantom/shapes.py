"""Signed distances of simple shapes, how much of a voxel they cover, and the slab of voxels they are painted on.

Distances are millimetres, negative inside; most are first-order approximations, exact on the surface. Coordinates are
the patient's own: x to the left, y to the back, z to the head.
"""

import dataclasses
import functools

import numpy as np
from scipy.interpolate import PchipInterpolator

Point = tuple[float, float, float]

# Crops are taken in the couch's frame, shapes are placed in the patient's; they differ by the patient's roll and sway.
FRAME_MARGIN = 12.0


def coverage(distance: np.ndarray, pixel: float) -> np.ndarray:
    """Share in [0, 1] of a voxel of width ``pixel`` that lies inside, from the distance at its centre."""
    return np.clip(0.5 - distance / pixel, 0.0, 1.0)


def smooth_min(a: np.ndarray, b: np.ndarray | float, radius: float) -> np.ndarray:
    """Distance of a union whose inner corners are rounded by about ``radius`` mm."""
    blend = np.maximum(radius - np.abs(a - b), 0.0)
    return np.minimum(a, b) - blend * blend * (0.25 / radius)


def smooth_max(a: np.ndarray, b: np.ndarray | float, radius: float) -> np.ndarray:
    """Distance of an intersection whose outer corners are rounded by about ``radius`` mm."""
    blend = np.maximum(radius - np.abs(a - b), 0.0)
    return np.maximum(a, b) + blend * blend * (0.25 / radius)


def ellipse(x: np.ndarray, y: np.ndarray, a: np.ndarray | float, b: np.ndarray | float) -> np.ndarray:
    """Distance to an ellipse of half-axes a, b about the origin."""
    u, v = x / a, y / b
    scaled = np.sqrt(u * u + v * v)
    steepness = np.sqrt((u / a) ** 2 + (v / b) ** 2)
    return scaled * (scaled - 1.0) / np.maximum(steepness, 1e-6)


def ellipsoid(x: np.ndarray, y: np.ndarray, z: np.ndarray, axes: Point) -> np.ndarray:
    """Distance to an ellipsoid of half-axes ``axes`` about the origin."""
    u, v, w = x / axes[0], y / axes[1], z / axes[2]
    scaled = np.sqrt(u * u + v * v + w * w)
    steepness = np.sqrt((u / axes[0]) ** 2 + (v / axes[1]) ** 2 + (w / axes[2]) ** 2)
    return scaled * (scaled - 1.0) / np.maximum(steepness, 1e-6)


@dataclasses.dataclass(frozen=True)
class Segment:
    """A straight tube with round ends from ``start`` to ``end``, its radius changing linearly."""

    start: Point
    end: Point
    start_radius: float
    end_radius: float

    def grown(self, millimetres: float) -> "Segment":
        """The same tube with a wall of that thickness around it (negative: its lumen)."""
        return Segment(self.start, self.end, self.start_radius + millimetres, self.end_radius + millimetres)

    @functools.cached_property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest corner of the tube."""
        radius = max(self.start_radius, self.end_radius)
        low, high = zip(*((min(pair), max(pair)) for pair in zip(self.start, self.end, strict=True)), strict=True)
        return np.array(low) - radius, np.array(high) + radius

    def axis_distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(distance to the axis, radius at the nearest point of the axis)."""
        (x0, y0, z0), (x1, y1, z1) = self.start, self.end
        dx, dy, dz = x1 - x0, y1 - y0, z1 - z0
        length2 = max(dx * dx + dy * dy + dz * dz, 1e-6)
        along = np.clip(((x - x0) * dx + (y - y0) * dy + (z - z0) * dz) / length2, 0.0, 1.0)
        away = np.sqrt((x - x0 - along * dx) ** 2 + (y - y0 - along * dy) ** 2 + (z - z0 - along * dz) ** 2)
        return away, self.start_radius + along * (self.end_radius - self.start_radius)

    def distance(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Signed distance to the tube's surface."""
        away, radius = self.axis_distance(x, y, z)
        return away - radius


def polyline(points: list[Point], radii: list[float]) -> list[Segment]:
    """Tubes that join the points one after the other."""
    pairs = zip(points, points[1:], radii, radii[1:], strict=False)
    return [Segment(p, q, r, s) for p, q, r, s in pairs]


class Curve:
    """A smooth curve through (position, value) knots that does not overshoot, constant beyond its ends."""

    def __init__(self, knots: list[tuple[float, float]]) -> None:
        knots = sorted(knots)
        positions, values = np.array(knots).T
        self._positions = np.linspace(positions[0], positions[-1], 400)
        self._values = PchipInterpolator(positions, values)(self._positions)

    def __call__(self, position: np.ndarray) -> np.ndarray:
        """Values at the positions, float32, of their shape."""
        return np.interp(position, self._positions, self._values).astype(np.float32)

    def at(self, position: float) -> float:
        """The value at one position."""
        return float(np.interp(position, self._positions, self._values))

    def slope(self, position: np.ndarray) -> np.ndarray:
        """Derivative at the positions."""
        slopes = np.gradient(self._values, self._positions)
        return np.interp(position, self._positions, slopes).astype(np.float32)


class Slab:
    """The voxels of one slice, or of a few sub-slices of it: where they lie in the patient, and their HU so far.

    ``x``, ``y`` have shape (S, J, I), ``z`` (S, 1, 1), ``hu`` (S, J, I), all float32. ``columns`` (I,) and ``rows``
    (J,) are about the same places in the frame of the couch, which is straight.
    """

    def __init__(
        self,
        x: np.ndarray,
        y: np.ndarray,
        z: np.ndarray,
        hu: np.ndarray,
        *,
        columns: np.ndarray,
        rows: np.ndarray,
        pixel: float,
    ) -> None:
        self.x, self.y, self.z, self.hu = x, y, z, hu
        self.columns, self.rows, self.pixel = columns, rows, pixel
        self.lowest, self.highest = float(z.min()), float(z.max())

    def meets(self, low: float, high: float) -> bool:
        """Whether something between two heights can touch this slab."""
        return low - self.pixel < self.highest and high + self.pixel > self.lowest

    def window(self, low: np.ndarray | Point, high: np.ndarray | Point) -> "tuple[Slab, tuple[slice, slice, slice]]":
        """The part of the slab around a box, sharing its HU, and the indices it was cut with."""
        margin = FRAME_MARGIN + self.pixel
        i0, i1 = np.searchsorted(self.columns, (low[0] - margin, high[0] + margin))
        j0, j1 = np.searchsorted(self.rows, (low[1] - margin, high[1] + margin))
        cut = (slice(None), slice(int(j0), int(j1)), slice(int(i0), int(i1)))
        part = Slab(
            self.x[cut],
            self.y[cut],
            self.z,
            self.hu[cut],
            columns=self.columns[i0:i1],
            rows=self.rows[j0:j1],
            pixel=self.pixel,
        )
        return part, cut

    def paint(self, distance: np.ndarray, value: np.ndarray | float) -> np.ndarray:
        """Lay a material over what is there; returns how much of each voxel it covers."""
        share = coverage(distance, self.pixel)
        self.blend(share, value)
        return share

    def blend(self, share: np.ndarray, value: np.ndarray | float) -> None:
        """Replace that share of each voxel by a material."""
        self.hu += share * (value - self.hu)

    def paint_segments(self, segments: list[Segment], value: float, within: np.ndarray | None = None) -> None:
        """Lay tubes over what is there, only ``within`` a share of each voxel when given.

        Tubes thinner than a voxel keep their volume.
        """
        for segment in segments:
            low, high = segment.box
            if not self.meets(low[2], high[2]):
                continue
            part, cut = self.window(low, high)
            away, radius = segment.axis_distance(part.x, part.y, part.z)
            drawn = np.maximum(radius, 0.5 * self.pixel)
            share = coverage(away - drawn, self.pixel) * np.minimum(1.0, 3.0 * (radius / self.pixel) ** 2)
            part.blend(share if within is None else share * within[cut], value)
