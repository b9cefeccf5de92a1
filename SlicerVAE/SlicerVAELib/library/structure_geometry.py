"""What the library keeps of a structure's shape and of its place beside the target, as bytes of a StructureFacts."""

import dataclasses
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..core.errors import UserError
from ..core.planning_similarity import RADII_MM, OrganGeometry, PlanGeometry
from ..core.records import to_data
from ..core.squared_distance import bounding_box
from ..core.volume import Geometry
from .records import StructureFacts

_DIGITS = 5  # of lengths in mm and shares: far finer than a voxel


@dataclasses.dataclass(frozen=True)
class StructureGeometry:
    """Size of a structure's bounding box along L–R, A–P and S–I in mm, the standard name of the plan's target (empty
    without one), and how the structure lies beside it; None for the target itself and where nothing was compared."""

    extent_mm: tuple[float, float, float]
    target: str = ""
    beside_target: OrganGeometry | None = None

    def to_bytes(self) -> bytes:
        """As UTF-8 JSON."""
        return json.dumps(_rounded(to_data(self)), separators=(",", ":")).encode()


def geometry_of(structure: StructureFacts) -> StructureGeometry | None:
    """The geometry kept with a structure, None where none is. Raises UserError for damaged bytes."""
    if structure.plan_geometry is None:
        return None
    try:
        return _read(json.loads(structure.plan_geometry))
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UserError(
            f"The geometry of {structure.name} is damaged; restore the library, or add the patient again."
        ) from None


def plan_geometry_of(structures: Iterable[StructureFacts]) -> PlanGeometry | None:
    """What ``core.planning_similarity`` compares, of a series' structures; None without a target and organs."""
    return planned([(structure, geometry_of(structure)) for structure in structures])


def planned(structures: Sequence[tuple[StructureFacts, StructureGeometry | None]]) -> PlanGeometry | None:
    """As ``plan_geometry_of``, of structures with their geometries."""
    found = [(structure, geometry) for structure, geometry in structures if geometry is not None]
    organs = tuple(geometry.beside_target for _, geometry in found if geometry.beside_target is not None)
    volumes = {structure.name: structure.volume_cm3 for structure, geometry in found if geometry.target}
    target = next((geometry.target for _, geometry in found if geometry.target), "")
    return PlanGeometry(target, volumes[target], organs) if organs and target in volumes else None


def extent_mm(mask: np.ndarray, geometry: Geometry) -> tuple[float, float, float]:
    """Size along L–R, A–P and S–I, in mm, of the box (on the axes of the grid) that holds a mask's voxels."""
    sizes = np.array([side.stop - side.start for side in bounding_box(mask)][::-1])
    left_right, anterior_posterior, superior_inferior = np.abs(geometry.ijk_to_ras[:3, :3]) @ sizes
    return float(left_right), float(anterior_posterior), float(superior_inferior)


def _read(data: Any) -> StructureGeometry:
    """Checked by hand rather than by ``core.records``, which takes ten times as long: a library has 10⁵ of these."""
    left_right, anterior_posterior, superior_inferior = data["extent_mm"]
    extent = (float(left_right), float(anterior_posterior), float(superior_inferior))
    beside = data.get("beside_target")
    organ = None if beside is None else _organ(beside)
    numbers = [*extent] if organ is None else [*extent, organ.volume_cm3, organ.centroid_distance_mm]
    shares = () if organ is None else organ.overlap_volume_histogram
    if not math.isfinite(sum(numbers) + sum(shares)) or len(shares) not in (0, len(RADII_MM)):
        raise ValueError("numbers are missing or none")
    return StructureGeometry(extent, str(data.get("target", "")), organ)


def _organ(data: Any) -> OrganGeometry:
    histogram = tuple(map(float, data["overlap_volume_histogram"]))
    return OrganGeometry(str(data["name"]), float(data["volume_cm3"]), float(data["centroid_distance_mm"]), histogram)


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return round(value, _DIGITS) if isinstance(value, float) else value
