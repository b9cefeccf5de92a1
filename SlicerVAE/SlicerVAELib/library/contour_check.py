"""Contour check: are the query's structures as large, as long, and where those of the library's patients are?

Each quantity x is held against the median and the median absolute deviation of the library by the robust z-score
0.6745 (x − median) / MAD (Iglewicz and Hoaglin 1993), beyond ±3.5 of which it counts as an outlier. Volumes and extents
are compared by their logarithm. A spread of nearly nothing would make outliers of everybody, so the deviation is never
taken to be smaller than a voxel's worth (``FLOORS``).
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.similarity import Direction
from ..core.volume import Volume
from .intake import is_target
from .records import StructureFacts
from .structure_geometry import geometry_of

if TYPE_CHECKING:
    from .store import Library

BEYOND = 3.5
LEAST_PATIENTS = 5
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


def check_contours(query: Placed, library: Iterable[Placed]) -> list[ContourFinding]:
    """Every quantity of the query's structures, outliers first. Targets are not judged by where they lie."""
    known: dict[tuple[str, str], list[float]] = defaultdict(list)
    for patient in library:
        for key, value in _quantities(patient, comparable=patient.origin == query.origin).items():
            known[key].append(value)
    found = [
        _judged(structure, quantity, value, known.get((structure, quantity), []))
        for (structure, quantity), value in _quantities(query, comparable=True).items()
    ]
    return sorted(found, key=lambda finding: -abs(finding.robust_z or 0) if finding.is_outlier else 0)


def placed_structures(library: "Library", direction: Direction, without: Collection[str] = ()) -> Iterator[Placed]:
    """The structures of every series of the library but those of the patients ``without`` (pseudonyms), in the places
    that the search files of that divergence tell."""
    index = library.search_index(direction)
    names = [name for name in library.pseudonyms() if name not in without]
    facts = dict(zip(names, library.facts(names), strict=True))
    for n, entry in enumerate(index.entries):
        patient = facts.get(entry.pseudonym)
        if patient is not None:
            start = int(index.stacks.starts[n])
            origin_mm = float(index.slice_positions_mm[start, 2] - index.stacks.positions_mm[start])
            yield Placed(patient.series[entry.number].structures, str(index.stacks.origins[n]), origin_mm)


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


def _quantities(patient: Placed, comparable: bool) -> Mapping[tuple[str, str], float]:
    body = next((structure for structure in patient.structures if structure.name == "External"), None)
    found: dict[tuple[str, str], float] = {}
    for structure in patient.structures:
        found[structure.name, VOLUME] = structure.volume_cm3
        geometry = geometry_of(structure)
        if geometry is not None:
            found[structure.name, EXTENT] = geometry.extent_mm[2]
        if is_target(structure.name) or structure is body:
            continue
        left, _, superior = structure.centroid_mm
        if comparable:
            found[structure.name, POSITION] = superior - patient.origin_mm
        if body is not None:
            found[structure.name, LATERAL] = left - body.centroid_mm[0]
    return found


def _judged(structure: str, quantity: str, own: float, values: Sequence[float]) -> ContourFinding:
    if len(values) < LEAST_PATIENTS:
        return ContourFinding(structure, quantity, own, None, len(values), None)
    is_size = quantity in (VOLUME, EXTENT)
    compared = np.log(values) if is_size else np.asarray(values)
    median = float(np.median(compared))
    deviation = max(float(np.median(np.abs(compared - median))), FLOORS[quantity])
    z = _NORMAL * ((math.log(own) if is_size else own) - median) / deviation
    return ContourFinding(structure, quantity, own, float(np.median(values)), len(values), z)
