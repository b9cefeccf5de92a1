"""How fast planned geometries are ranked, and contours checked, against a library of many patients."""

import functools
import statistics
import tempfile
from pathlib import Path

import numpy as np

from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.planning_similarity import RADII_MM, OrganGeometry
from SlicerVAELib.core.progress import Listener, Meter
from SlicerVAELib.core.similarity import Posteriors
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.library.access import create_library, create_site_key
from SlicerVAELib.library.contour_check import Placed, check_contours, placed_structures
from SlicerVAELib.library.neighbours import Query, find_neighbours
from SlicerVAELib.library.records import (
    BundleIdentity,
    PatientIdentity,
    PatientRecord,
    PosteriorStack,
    SeriesFacts,
    SeriesIdentity,
    SeriesRecord,
    StructureFacts,
)
from SlicerVAELib.library.store import Library
from SlicerVAELib.library.structure_geometry import StructureGeometry, plan_geometry_of

from .figure import Figure
from .timing import timed

ORGANS = ("Heart", "Lung_L", "Lung_R", "SpinalCord", "Esophagus", "Trachea", "Liver", "Spleen")
LATENTS, SLICES = 4, 2  # of which nothing is measured here
COUNT = 10


def measure(runs: int, listener: Listener, patients: int = 10_000) -> list[Figure]:
    """Measure with ``runs`` queries of each."""
    meter = Meter(listener, "comparing plans", patients + runs)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        key = create_site_key(folder / "keys" / "site.key")
        (folder / "library").mkdir()
        bundle = BundleIdentity("benchmark", "1", "0" * 64, LATENTS, "gaussian", "{}")
        with create_library(folder / "library" / "library.sqlite", key, bundle) as library:
            for number in range(patients):
                identity = PatientIdentity(f"INVENTED-{number}", (SeriesIdentity(f"2.25.{number + 1}"),))
                library.add(identity, _record(number))
                meter.advance(1)
            preparing, _ = timed(library.search_index)
            queries = [_record(patients + number).series[0] for number in range(runs)]
            ranking = [timed(functools.partial(_ranked, library, query))[0] for query in queries]
            checking = [timed(functools.partial(_checked, library, query))[0] for query in queries]
            meter.advance(runs)
    what = f"{patients:,} patients of {len(ORGANS)} organs and a target"
    return [
        Figure(f"{what} ranked by geometry", statistics.median(ranking), "s", 2.0),
        Figure(f"contours checked against {what}", statistics.median(checking), "s", 2.0),
        Figure(f"preparing {what}, once after the library changed", preparing, "s"),
    ]


def _ranked(library: Library, query: SeriesRecord) -> None:
    own = query.posteriors
    stack = SliceStack(Posteriors(own.mean, own.log_variance), own.positions_mm, own.origin)
    geometry = plan_geometry_of(query.facts.structures)
    find_neighbours(library, Query(stack, own.slice_positions_mm, geometry), COUNT, by="geometry")


def _checked(library: Library, query: SeriesRecord) -> None:
    check_contours(Placed(query.facts.structures, "lungs", 0.0), placed_structures(library, "symmetric-kl"))


def _record(number: int) -> PatientRecord:
    random = np.random.default_rng(number)
    positions = 3.0 * np.arange(SLICES)
    moments = random.normal(size=(2, SLICES, LATENTS))
    stack = PosteriorStack(moments[0], moments[1], positions, "lungs", np.column_stack([positions] * 3))
    target = StructureFacts(
        "PTV", 80.0 + random.normal(), (0.0, 0.0, 0.0), StructureGeometry((50.0,) * 3, "PTV").to_bytes()
    )
    facts = SeriesFacts(
        "CT",
        "CHEST",
        Geometry((SLICES, 512, 512), np.diag([1.0, 1.0, 3.0, 1.0])),
        "HFS",
        (target, *(_organ(name, random) for name in ORGANS)),
    )
    return PatientRecord((SeriesRecord(facts, stack),))


def _organ(name: str, random: np.random.Generator) -> StructureFacts:
    volume, distance = float(500 + 50 * random.normal()), float(60 + 10 * random.normal())
    shares = np.clip((RADII_MM - distance) / 60 + 0.5, 0, 1)
    beside = OrganGeometry(name, volume, distance, tuple(shares.tolist()))
    geometry = StructureGeometry((80.0, 70.0, 90.0), "PTV", beside)
    return StructureFacts(name, volume, (distance, 0.0, 0.0), geometry.to_bytes())
