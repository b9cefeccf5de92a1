"""Invented patients for the tests of the library, the same for the same number."""

import dataclasses
from pathlib import Path

import numpy as np

from SlicerVAELib.core.dvh import dvh
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.library.access import create_library, create_site_key
from SlicerVAELib.library.keys import SiteKey
from SlicerVAELib.library.records import (
    BundleIdentity,
    DoseFacts,
    PatientIdentity,
    PatientRecord,
    PlanFacts,
    PosteriorStack,
    SeriesFacts,
    SeriesIdentity,
    SeriesRecord,
    StructureFacts,
    Thumbnail,
)
from SlicerVAELib.library.store import Library
from SlicerVAELib.library.structure_geometry import StructureGeometry

LATENTS = 6
BUNDLE = BundleIdentity("thorax", "1.0", "ab" * 32, LATENTS, "gaussian", '{"size": 64}')
KEY = SiteKey(bytes(range(32)))
PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)


def identity(number: int, series: int = 1) -> PatientIdentity:
    """Who patient ``number`` is."""
    given = (
        SeriesIdentity(
            f"1.2.826.0.1.{number}.{n}", f"1.2.826.0.2.{number}", f"1.2.826.0.3.{number}", f"/archive/{number}"
        )
        for n in range(series)
    )
    return PatientIdentity(f"HOSPITAL-{number:06d}", tuple(given))


def stack(number: int, slices: int = 5, latents: int = LATENTS) -> PosteriorStack:
    """Posteriors along the body, alike for neighbouring slices."""
    rng = np.random.default_rng(number)
    level = np.linspace(-1, 1, slices)[:, None]
    mean = rng.normal(size=latents) + level * rng.normal(size=latents) + rng.normal(scale=0.05, size=(slices, latents))
    log_variance = rng.normal(-2, 0.5, size=(slices, latents))
    positions = np.arange(slices) * 3.0
    return PosteriorStack(
        mean, log_variance, positions, "lungs", np.column_stack([np.zeros((slices, 2)), positions - 40])
    )


def record(number: int, slices: int = 5, series: int = 1) -> PatientRecord:
    """What is known of patient ``number``, with everything that a record can hold."""
    rng = np.random.default_rng([number, 1])
    mask = rng.random((4, 4, 4)) > 0.5
    heart = StructureGeometry((80.0, 70.0, 90.0 + number))
    histogram = dvh(rng.normal(40, 4, mask.shape).astype(np.float32), mask, 0.05)
    facts = SeriesFacts(
        "CT",
        "CHEST",
        Geometry((slices, 64, 64), np.diag([2.0, 2.0, 3.0, 1.0])),
        "HFS",
        (
            StructureFacts("Heart", 600.5 + number, (-10.0, 2.5, 30.0), heart.to_bytes()),
            StructureFacts("Lung_L", 1500.0, (90.0, 0.0, 10.0)),
        ),
    )
    plan = PlanFacts(
        series - 1,
        site="lung" if number % 2 else "breast",
        laterality="left",
        intent="CURATIVE",
        prescription_gy=50.0 + number,
        fractions=25,
        technique="VMAT",
        approval="APPROVED",
        doses=(DoseFacts("Heart", histogram.statistics(), histogram.curve()),),
    )
    kept = tuple(
        SeriesRecord(facts, stack(1000 * n + number, slices), (Thumbnail(0.0, PNG + bytes([n])),))
        for n in range(series)
    )
    return PatientRecord(kept, (plan,), ("trial", f"year {number}"))


def bare_record(number: int, slices: int = 3) -> PatientRecord:
    """Posteriors and little else, for tests that need many."""
    full = record(number, slices)
    (only,) = full.series
    return PatientRecord((dataclasses.replace(only, thumbnails=()),), full.plans)


def new_key(folder: Path) -> SiteKey:
    """A key in a file of its own folder."""
    return create_site_key(folder / "keys" / "site.key")


def new_library(where: str | Path, patients: int = 0) -> Library:
    """A library with the first so many patients."""
    library = create_library(where, KEY, BUNDLE)
    for number in range(patients):
        assert library.add(identity(number), record(number))
    return library
