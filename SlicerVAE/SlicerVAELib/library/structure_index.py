"""Sizes and places of all structures of a library as mapped files, so that thousands of plans are compared at once."""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from ..core.planning_similarity import RADII_MM, PlanGeometries
from ..core.progress import Cancel
from . import schema
from .reading import Reader
from .structure_geometry import geometry_of, planned

_ROWS_AT_ONCE = 1000
_STRUCTURE = np.dtype(
    [("series", "<i8"), ("name", "<i8"), ("volume_cm3", "<f8"), ("centroid_mm", "<f8", 3), ("extent_mm", "<f8", 3)]
)
_ORGAN = np.dtype(
    [
        ("plan", "<i8"),
        ("name", "<i8"),
        ("volume_cm3", "<f8"),
        ("centroid_distance_mm", "<f8"),
        ("histogram", "<f8", len(RADII_MM)),
    ]
)


@dataclasses.dataclass(frozen=True, eq=False)
class StructureIndex:
    """The S structures of the P series that are searched.

    ``series`` (S,) is the number of a structure's series in the search and ``name`` (S,) its number among ``names``,
    both int64; ``volume_cm3`` (S,), ``centroid_mm`` (S, 3) in LPS and ``extent_mm`` (S, 3), along L–R, A–P and S–I and
    NaN where it is not known, are float64. ``plans`` are the P series' planned geometries, without organs where a
    series has none.
    """

    names: tuple[str, ...]
    series: np.ndarray
    name: np.ndarray
    volume_cm3: np.ndarray
    centroid_mm: np.ndarray
    extent_mm: np.ndarray
    plans: PlanGeometries

    def rows_of(self, name: str) -> np.ndarray:
        """Where the structures of that name stand, int64."""
        return np.flatnonzero(self.name == self.names.index(name)) if name in self.names else np.empty(0, np.int64)


def write_structures(
    folder: Path, connection: sa.Connection, reader: Reader, series_ids: Sequence[int], cancel: Cancel
) -> None:
    """Write the structures of these series into the folder. Raises UserError for damaged ones, Cancelled."""
    numbers = {series_id: number for number, series_id in enumerate(series_ids)}
    names: dict[str, int] = {}
    structures, organs = [], []
    targets = np.full(len(series_ids), np.nan)
    table = schema.structures
    query = sa.select(table).order_by(table.c.series_id, table.c.id)
    with connection.execute(query, execution_options={"yield_per": _ROWS_AT_ONCE}) as result:
        for series_id, rows in itertools.groupby(result, key=lambda row: row.series_id):
            cancel.check()
            number = numbers[series_id]
            found = [(facts, geometry_of(facts)) for facts in map(reader.structure, rows)]
            for facts, geometry in found:
                extent = geometry.extent_mm if geometry is not None else (np.nan,) * 3
                name = names.setdefault(facts.name, len(names))
                structures.append((number, name, facts.volume_cm3, facts.centroid_mm, extent))
            plan = planned(found)
            if plan is not None:
                targets[number] = plan.target_volume_cm3
                for organ in plan.organs:
                    sizes = (organ.volume_cm3, organ.centroid_distance_mm)
                    row = (number, names[organ.name], *sizes, organ.overlap_volume_histogram)
                    organs.append(np.array(row, _ORGAN))
    np.save(folder / "structures.npy", np.array(structures, _STRUCTURE))
    np.save(folder / "organs.npy", np.array(organs, _ORGAN))
    np.save(folder / "targets.npy", targets)
    (folder / "names.json").write_text(json.dumps(list(names)), encoding="utf-8")


def read_structures(folder: Path) -> StructureIndex:
    """What was written into the folder. Raises OSError or ValueError where it is not there whole."""
    structures, organs = (np.load(folder / name, mmap_mode="r") for name in ("structures.npy", "organs.npy"))
    if structures.dtype != _STRUCTURE or organs.dtype != _ORGAN:
        raise ValueError("the files are of another version")
    names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    plans = PlanGeometries(
        names,
        np.load(folder / "targets.npy"),
        organs["plan"],
        organs["name"],
        organs["volume_cm3"],
        organs["centroid_distance_mm"],
        organs["histogram"],
    )
    columns = {name: structures[name] for name in _STRUCTURE.names or ()}
    return StructureIndex(names, plans=plans, **columns)
