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


@dataclasses.dataclass(frozen=True, eq=False)
class PlanGeometries:
    """The geometries of P plans as columns, which may be mapped files.

    ``target_volume_cm3`` is float64 (P,). Of the O organs of all plans, ``plan`` (O,) and ``name`` (O,) are the numbers
    of the plan and, among ``names``, of the organ; ``volume_cm3``, ``centroid_distance_mm`` (O,) and
    ``overlap_volume_histograms`` (O, R) are float64 and as in OrganGeometry.
    """

    names: tuple[str, ...]
    target_volume_cm3: np.ndarray
    plan: np.ndarray
    name: np.ndarray
    volume_cm3: np.ndarray
    centroid_distance_mm: np.ndarray
    overlap_volume_histograms: np.ndarray

    @classmethod
    def of(cls, plans: Sequence[PlanGeometry]) -> "PlanGeometries":
        """The columns of some plans, none of which has an organ twice."""
        organs = [(number, organ) for number, plan in enumerate(plans) for organ in plan.organs]
        names = tuple(dict.fromkeys(organ.name for _, organ in organs))
        numbers = {name: number for number, name in enumerate(names)}
        return cls(
            names,
            np.array([plan.target_volume_cm3 for plan in plans], dtype=np.float64),
            np.array([number for number, _ in organs], dtype=np.int64),
            np.array([numbers[organ.name] for _, organ in organs], dtype=np.int64),
            np.array([organ.volume_cm3 for _, organ in organs], dtype=np.float64),
            np.array([organ.centroid_distance_mm for _, organ in organs], dtype=np.float64),
            np.array([organ.overlap_volume_histogram for _, organ in organs]).reshape(-1, len(RADII_MM)),
        )

    def __len__(self) -> int:
        return len(self.target_volume_cm3)

    def rows_of(self, name: str) -> np.ndarray:
        """Where the organs of that name stand, in the order of their plans."""
        return np.flatnonzero(self.name == self.names.index(name)) if name in self.names else np.empty(0, np.int64)


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
    """How unlike two geometries are, in mm; see ``geometric_distances``. Raises UserError when no organ is in both."""
    distance = float(geometric_distances(first, PlanGeometries.of([second]))[0])
    if math.isnan(distance):
        raise UserError("The two plans have no organ in common to compare; name the structures by TG-263.")
    return distance


def geometric_distances(query: PlanGeometry, plans: PlanGeometries) -> np.ndarray:
    """How unlike the query is to each of P plans, over the organs that both have: float64 (P,) in mm, NaN for none.

    d = |Δρ_T| + mean over organs of (W + |Δc| + |Δρ|): ρ is the radius of the sphere of a structure's volume, c the
    distance of the organ's centroid from the target's, and W the area between the overlap-volume histograms, which is
    how far, on average, the organ's parts would have to move towards or away from the target.
    """
    total, shared = np.zeros(len(plans)), np.zeros(len(plans))
    for organ in query.organs:
        rows = plans.rows_of(organ.name)
        of_plans = plans.plan[rows]  # none of which comes twice: a plan has an organ once
        total[of_plans] += _organ_distances(organ, plans, rows)
        shared[of_plans] += 1
    mean = np.divide(total, shared, out=np.full(len(plans), np.nan), where=shared > 0)
    return np.abs(_radius_mm(query.target_volume_cm3) - _radius_mm(plans.target_volume_cm3)) + mean


def rank_sum(*distances: np.ndarray) -> np.ndarray:
    """Indices (N,) by the sum of their ranks in each of some lists of distances (N,), the smallest sum first.

    Equal distances share the mean of their ranks, and equal sums keep the order of their indices. So divergence in
    nats and geometry in mm count alike, whatever their scales.
    """
    return np.argsort(np.sum([_ranks(each) for each in distances], axis=0), kind="stable")


def _ranks(distances: np.ndarray) -> np.ndarray:
    ordered = np.sort(distances)
    return (np.searchsorted(ordered, distances, "left") + np.searchsorted(ordered, distances, "right") - 1) / 2


def _organ_distances(organ: OrganGeometry, plans: PlanGeometries, rows: np.ndarray) -> np.ndarray:
    apart = np.abs(plans.overlap_volume_histograms[rows] - np.array(organ.overlap_volume_histogram))
    areas = ((apart[:, 1:] + apart[:, :-1]) * np.diff(RADII_MM)).sum(axis=1) / 2
    centroids = np.abs(plans.centroid_distance_mm[rows] - organ.centroid_distance_mm)
    return areas + centroids + np.abs(_radius_mm(plans.volume_cm3[rows]) - _radius_mm(organ.volume_cm3))


def _radius_mm(volume_cm3: float | np.ndarray) -> np.ndarray:
    """Of the sphere of a volume."""
    return np.cbrt(3000 * np.asarray(volume_cm3) / (4 * math.pi))


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
