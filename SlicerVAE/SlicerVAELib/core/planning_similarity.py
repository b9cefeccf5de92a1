"""How like two planning problems are: where the organs lie about the target, whatever the images show.

The overlap-volume histogram of an organ tells what share of it lies within a distance r of the target's surface, r < 0
being inside of the target (Wu et al., Medical Physics 36, 2009). Organs with like histograms can be spared alike.
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from .errors import UserError
from .squared_distance import Box, bounding_box, squared_distances
from .volume import Geometry, Volume

RADII_MM = np.arange(-30.0, 101.0, 2.0)  # the distances r of every histogram
EXACT_MM = 1e-3  # what float32 may round a distance by


@dataclasses.dataclass(frozen=True)
class OrganGeometry:
    """An organ beside the target: volume in cm³, distance of the centroids in mm, and the overlap-volume histogram,
    shares 0 to 1 of the organ within each of ``RADII_MM`` of the target's surface."""

    name: str
    volume_cm3: float
    centroid_distance_mm: float
    overlap_volume_histogram: tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class PlanGeometry:
    """A target and the organs about it."""

    target: str
    target_volume_cm3: float
    organs: tuple[OrganGeometry, ...]

    def __post_init__(self) -> None:
        if any(len(organ.overlap_volume_histogram) != len(RADII_MM) for organ in self.organs):
            raise ValueError(f"an overlap-volume histogram has {len(RADII_MM)} shares")


def plan_geometry(volume: Volume, target: str, organs: Sequence[str]) -> PlanGeometry:
    """The geometry of some of the volume's masks, whose grid has axes at right angles.

    Raises UserError for a mask that is not there or empty.
    """
    mask = _mask(volume, target)
    box = bounding_box(mask)
    centroid = _centroid_mm(mask, volume.geometry)
    found = []
    for name in organs:
        organ = _mask(volume, name)
        found.append(
            OrganGeometry(
                name,
                float(np.count_nonzero(organ) * volume.geometry.voxel_volume_cm3),
                float(np.linalg.norm(_centroid_mm(organ, volume.geometry) - centroid)),
                tuple(overlap_volume_histogram(mask, box, organ, volume.geometry.spacing).tolist()),
            )
        )
    return PlanGeometry(target, float(np.count_nonzero(mask) * volume.geometry.voxel_volume_cm3), tuple(found))


def overlap_volume_histogram(target: np.ndarray, box: Box, organ: np.ndarray, spacing_mm: np.ndarray) -> np.ndarray:
    """Share of ``organ`` within each of ``RADII_MM`` of the surface of ``target``, which ``box`` holds, float64 (R,).

    Distances are those of voxel centres, to the nearest voxel of the target from outside of it, and to the nearest
    one that is not of the target from inside, where they count as negative; half a voxel is what they are exact to.
    """
    where = bounding_box(organ)
    outside = organ[where] & ~target[where]
    signed = [np.sqrt(squared_distances(target, box, where, spacing_mm)[outside])]
    inside = organ[box] & target[box]
    if inside.any():
        # Beyond the box's faces nothing is target, so one layer more has the nearest voxel that is not.
        around = _grown(box, target.shape)
        signed.append(-np.sqrt(squared_distances(~target, around, box, spacing_mm)[inside]))
    distances = np.sort(np.concatenate(signed))
    return np.searchsorted(distances, RADII_MM + EXACT_MM, side="right") / len(distances)


def geometric_distance(first: PlanGeometry, second: PlanGeometry) -> float:
    """How unlike two geometries are, in mm, over the organs that both have.

    d = |Δρ_T| + mean over organs of (W + |Δc| + |Δρ|): ρ is the radius of the sphere of a structure's volume, c the
    distance of the organ's centroid from the target's, and W the area between the overlap-volume histograms, which is
    how far, on average, the organ's parts would have to move towards or away from the target. Raises UserError when no
    organ is in both.
    """
    others = {organ.name: organ for organ in second.organs}
    pairs = [(organ, others[organ.name]) for organ in first.organs if organ.name in others]
    if not pairs:
        raise UserError("The two plans have no organ in common to compare; name the structures by TG-263.")
    return _radius_difference(first.target_volume_cm3, second.target_volume_cm3) + float(
        np.mean([_organ_distance(here, there) for here, there in pairs])
    )


def rank_sum(*distances: np.ndarray) -> np.ndarray:
    """Indices (N,) by the sum of their ranks in each of some lists of distances (N,), the smallest sum first.

    Equal distances share the mean of their ranks, and equal sums keep the order of their indices. So divergence in
    nats and geometry in mm count alike, whatever their scales.
    """
    return np.argsort(np.sum([_ranks(each) for each in distances], axis=0), kind="stable")


def _ranks(distances: np.ndarray) -> np.ndarray:
    ordered = np.sort(distances)
    return (np.searchsorted(ordered, distances, "left") + np.searchsorted(ordered, distances, "right") - 1) / 2


def _organ_distance(first: OrganGeometry, second: OrganGeometry) -> float:
    histograms = np.array([first.overlap_volume_histogram, second.overlap_volume_histogram])
    apart = np.abs(histograms[0] - histograms[1])
    area = np.diff(RADII_MM) @ (apart[1:] + apart[:-1]) / 2
    centroid = abs(first.centroid_distance_mm - second.centroid_distance_mm)
    return float(area) + centroid + _radius_difference(first.volume_cm3, second.volume_cm3)


def _radius_difference(first_cm3: float, second_cm3: float) -> float:
    """In mm, of the spheres of two volumes."""
    return abs(_radius_mm(first_cm3) - _radius_mm(second_cm3))


def _radius_mm(volume_cm3: float) -> float:
    return (3000 * volume_cm3 / (4 * math.pi)) ** (1 / 3)


def _mask(volume: Volume, name: str) -> np.ndarray:
    mask = volume.masks.get(name)
    if mask is None or not mask.any():
        raise UserError(
            f"'{name}' is {'not there' if mask is None else 'empty'} in the image's structures; choose another."
        )
    return mask


def _centroid_mm(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Centroid in RAS mm."""
    middle = np.argwhere(mask).mean(axis=0)[::-1]
    return geometry.ijk_to_ras[:3, :3] @ middle + geometry.ijk_to_ras[:3, 3]


def _grown(box: Box, shape: tuple[int, ...]) -> Box:
    """The box with one layer of voxels more to all sides, within the grid."""
    k, j, i = (slice(max(0, side.start - 1), min(count, side.stop + 1)) for side, count in zip(box, shape, strict=True))
    return k, j, i
