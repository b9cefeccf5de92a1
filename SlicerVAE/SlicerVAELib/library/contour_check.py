"""Contour check: are the query's structures as large, as long, and where those of the library's patients are?

Each quantity x is held against the median and the median absolute deviation of the library by the robust z-score
0.6745 (x − median) / MAD (Iglewicz and Hoaglin 1993), beyond ±3.5 of which it counts as an outlier. Volumes and extents
are compared by their logarithm. A spread of nearly nothing would make outliers of everybody, so the deviation is never
taken to be smaller than a voxel's worth (``FLOORS``).
"""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.similarity import Direction
from ..core.volume import Volume
from .intake import is_target
from .records import StructureFacts
from .structure_geometry import geometry_of

if TYPE_CHECKING:
    from .store import Library
    from .structure_index import StructureIndex

BEYOND = 3.5
LEAST_PATIENTS = 5
BODY = "External"
_NORMAL = 0.6745  # median absolute deviation of a normal distribution with standard deviation 1
VOLUME, EXTENT, POSITION, LATERAL = "volume", "extent S–I", "position S–I", "position L–R"
FLOORS = {VOLUME: 0.03, EXTENT: 0.03, POSITION: 3.0, LATERAL: 3.0}  # logarithms; mm
UNITS = {VOLUME: "cm³", EXTENT: "mm"}
SIDES = {POSITION: "SI", LATERAL: "LR"}  # above and below zero


@dataclasses.dataclass(frozen=True)
class ContourFinding:
    """One quantity of one structure beside the library: the own value, the library's median over so many patients, and
    the robust z-score, None with too few patients. Positions are in mm, S of the body origin and L of the middle of the
    body."""

    structure: str
    quantity: str
    own: float
    median: float | None
    patients: int
    robust_z: float | None

    def in_words(self, value: float | None) -> str:
        """The own value or the median for a person, positions by the side that they lie on; a dash for None."""
        if value is None:
            return "–"
        if self.quantity not in SIDES:
            return f"{value:.1f} {UNITS[self.quantity]}"
        return f"{abs(value):.1f} mm {SIDES[self.quantity][value < 0]}"

    @property
    def is_outlier(self) -> bool:
        """Whether a person should look at it."""
        return self.robust_z is not None and abs(self.robust_z) > BEYOND


@dataclasses.dataclass(frozen=True)
class Gaps:
    """How many slices between the first and the last of a structure have no contour."""

    structure: str
    missing: int


@dataclasses.dataclass(frozen=True)
class Placed:
    """The structures of one patient; ``origin_mm`` is the place of the body origin (LPS, towards the head), and
    ``origin`` its kind, by which positions are comparable."""

    structures: Sequence[StructureFacts]
    origin: str
    origin_mm: float


@dataclasses.dataclass(frozen=True, eq=False)
class PlacedStructures:
    """The structures of P series of a library. ``origins`` and ``origin_mm`` (P,) are as in Placed, and ``counts`` (P,)
    tells of which series the structures count."""

    structures: "StructureIndex"
    origins: np.ndarray
    origin_mm: np.ndarray
    counts: np.ndarray

    def values(self, structure: str, quantity: str, origin: str) -> np.ndarray:
        """That quantity of all structures of that name of which it is known, positions of the same origin only."""
        known = self.structures
        rows = known.rows_of(structure)
        rows = rows[self.counts[known.series[rows]]]
        series = known.series[rows]
        if quantity == VOLUME:
            return known.volume_cm3[rows]
        if quantity == EXTENT:
            found = known.extent_mm[rows, 2]
        elif quantity == LATERAL:
            found = known.centroid_mm[rows, 0] - self._middle_of_body()[series]
        else:
            found = np.where(
                self.origins[series] == origin, known.centroid_mm[rows, 2] - self.origin_mm[series], np.nan
            )
        return found[np.isfinite(found)]

    def _middle_of_body(self) -> np.ndarray:
        """Of each series, along L–R; NaN where the body is not contoured."""
        middle = np.full(len(self.origins), np.nan)
        rows = self.structures.rows_of(BODY)
        middle[self.structures.series[rows]] = self.structures.centroid_mm[rows, 0]
        return middle


def check_contours(query: Placed, library: PlacedStructures) -> list[ContourFinding]:
    """Every quantity of the query's structures, outliers first. Targets are not judged by where they lie."""
    found = [
        _judged(structure, quantity, value, library.values(structure, quantity, query.origin))
        for (structure, quantity), value in _quantities(query).items()
    ]
    return sorted(found, key=lambda finding: -abs(finding.robust_z or 0) if finding.is_outlier else 0)


def placed_structures(library: "Library", direction: Direction, without: Collection[str] = ()) -> PlacedStructures:
    """The structures of every series of the library but those of the patients ``without`` (pseudonyms), in the places
    that the search files of that divergence tell."""
    index = library.search_index(direction)
    first = index.stacks.starts[:-1]
    origin_mm = index.slice_positions_mm[first, 2] - index.stacks.positions_mm[first]
    counts = np.array([entry.pseudonym not in without for entry in index.entries])
    return PlacedStructures(index.structures, index.stacks.origins, origin_mm, counts)


def gaps(volume: Volume) -> list[Gaps]:
    """Structures with slices missing in the middle, of the volume's masks."""
    along_body = 2 - int(np.abs(volume.geometry.directions[2]).argmax())
    others = tuple(axis for axis in range(3) if axis != along_body)
    found = []
    for name, mask in volume.masks.items():
        drawn = np.flatnonzero(mask.any(axis=others))
        missing = int(drawn[-1] - drawn[0] + 1 - len(drawn))
        if missing:
            found.append(Gaps(name, missing))
    return found


def _quantities(patient: Placed) -> Mapping[tuple[str, str], float]:
    body = next((structure for structure in patient.structures if structure.name == BODY), None)
    found: dict[tuple[str, str], float] = {}
    for structure in patient.structures:
        found[structure.name, VOLUME] = structure.volume_cm3
        geometry = geometry_of(structure)
        if geometry is not None:
            found[structure.name, EXTENT] = geometry.extent_mm[2]
        if is_target(structure.name) or structure is body:
            continue
        left, _, superior = structure.centroid_mm
        found[structure.name, POSITION] = superior - patient.origin_mm
        if body is not None:
            found[structure.name, LATERAL] = left - body.centroid_mm[0]
    return found


def _judged(structure: str, quantity: str, own: float, values: np.ndarray) -> ContourFinding:
    if len(values) < LEAST_PATIENTS:
        return ContourFinding(structure, quantity, own, None, len(values), None)
    is_size = quantity in (VOLUME, EXTENT)
    compared = np.log(values) if is_size else values
    median = float(np.median(compared))
    deviation = max(float(np.median(np.abs(compared - median))), FLOORS[quantity])
    z = _NORMAL * ((math.log(own) if is_size else own) - median) / deviation
    return ContourFinding(structure, quantity, own, float(np.median(values)), len(values), z)
