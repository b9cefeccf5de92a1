"""The regions of an anomaly map that lie above an alarm level: how large, how high and where."""

import dataclasses

import numpy as np

from .positions import to_lps
from .regions import connected_regions
from .volume import Geometry

MOST_REGIONS = 200  # more are noise above a level that is too low


@dataclasses.dataclass(frozen=True)
class Region:
    """One region; ``peak`` is its value that is farthest from zero and ``mean`` that of its voxels, in the map's unit,
    ``peak_lps_mm`` where the peak lies."""

    label: int
    peak: float
    mean: float
    volume_cm3: float
    peak_lps_mm: tuple[float, float, float]


@dataclasses.dataclass(frozen=True, eq=False)
class MapRegions:
    """The regions, highest peak first, and ``labels``, of the map's shape: 0 outside, otherwise a region's label."""

    regions: tuple[Region, ...]
    labels: np.ndarray

    @classmethod
    def none(cls) -> "MapRegions":
        """Those of no map."""
        return cls((), np.zeros((0, 0, 0), dtype=np.uint16))


def find_regions(
    array: np.ndarray, geometry: Geometry, level: float, *, smallest_cm3: float = 0.0, below: float | None = None
) -> MapRegions:
    """Find what lies above ``level`` in a map (K, J, I); with ``below``, also what lies at −level and lower, but above
    that value, which marks what the model did not see.

    Regions hold together through the faces of voxels; those smaller than ``smallest_cm3`` are left out, and of very
    many the highest are kept.
    """
    mask = array > level
    if below is not None:
        mask |= (array < -level) & (array > below)
    labels = np.zeros(array.shape, dtype=np.uint16)
    if not mask.any():
        return MapRegions((), labels)
    box = _bounding_box(mask)
    parts = connected_regions(mask[box])
    inside = np.flatnonzero(parts)
    number, values = parts.ravel()[inside], array[box].ravel()[inside]
    counts = np.bincount(number)
    means = np.bincount(number, values) / np.maximum(counts, 1)
    # Within each region the value farthest from zero first: the first of each is its peak.
    order = np.lexsort((-np.abs(values), number))
    peaks = order[np.searchsorted(number[order], np.arange(len(counts)))[1:]]
    large = peaks[counts[1:] * geometry.voxel_volume_cm3 >= smallest_cm3]
    highest = large[np.argsort(-np.abs(values[large]), kind="stable")][:MOST_REGIONS]
    corner = np.array([side.start for side in box])
    regions = tuple(
        Region(
            label,
            float(values[peak]),
            float(means[number[peak]]),
            float(counts[number[peak]] * geometry.voxel_volume_cm3),
            to_lps(_ras(np.array(np.unravel_index(inside[peak], parts.shape)) + corner, geometry)),
        )
        for label, peak in enumerate(highest, start=1)
    )
    new = np.zeros(len(counts), dtype=np.uint16)
    new[number[highest]] = np.arange(1, len(highest) + 1)
    labels[box] = new[parts]
    return MapRegions(regions, labels)


def _ras(kji: np.ndarray, geometry: Geometry) -> np.ndarray:
    return geometry.ijk_to_ras[:3, :3] @ kji[::-1] + geometry.ijk_to_ras[:3, 3]


def _bounding_box(mask: np.ndarray) -> tuple[slice, slice, slice]:
    sides = []
    for axis in range(3):
        present = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(present[0]), int(present[-1]) + 1))
    return sides[0], sides[1], sides[2]
