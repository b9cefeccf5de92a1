"""A query's contours beside the library's, held against the plain formula over the library's records."""

import dataclasses

import numpy as np
import pytest

from SlicerVAELib.library.contour_check import Placed, check_contours, placed_structures
from SlicerVAELib.library.records import PatientRecord, StructureFacts
from SlicerVAELib.library.structure_geometry import StructureGeometry
from Testing.headless.library_samples import identity, new_library, record

PATIENTS = 9
ELSEWHERE = 4  # this patient's body positions have another origin
OWN = 8


def structures(number: int) -> tuple[StructureFacts, ...]:
    size = StructureGeometry((80.0, 70.0, 90.0 + number)).to_bytes()
    kept = (
        StructureFacts("Heart", 600.0 + 7 * number**2, (-10.0 - number, 0.0, 30.0 + 2 * number), size),
        StructureFacts("External", 20_000.0 + number, (2.0 * number, 0.0, 0.0), size),
        StructureFacts("PTV", 80.0 + number, (50.0, 0.0, 0.0)),
        StructureFacts("Lung_L", 1500.0, (90.0, 0.0, 10.0)),
    )
    return kept if number else kept[:1]  # the first patient has no body


def patient(number: int) -> PatientRecord:
    sample = record(number)
    (series,) = sample.series
    facts = dataclasses.replace(series.facts, structures=structures(number))
    origin = "vertex" if number == ELSEWHERE else "lungs"
    posteriors = dataclasses.replace(series.posteriors, origin=origin)
    return PatientRecord((dataclasses.replace(series, facts=facts, posteriors=posteriors),))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    with new_library(tmp_path_factory.mktemp("library") / "a.sqlite") as made:
        for number in range(PATIENTS):
            assert made.add(identity(number), patient(number))
        yield made


def robust_z(own, values, floor):
    values = np.asarray(values)
    median = np.median(values)
    return 0.6745 * (own - median) / max(np.median(np.abs(values - median)), floor)


def test_each_quantity_is_held_against_the_patients_who_have_it(library):
    own = structures(OWN)
    names = library.pseudonyms()
    found = check_contours(Placed(own, "lungs", -40.0), placed_structures(library, "symmetric-kl", {names[OWN]}))
    by_name = {(row.structure, row.quantity): row for row in found}
    others = range(PATIENTS - 1)
    expected = {
        ("Heart", "volume"): (np.log(600.0 + 7 * OWN**2), [np.log(600.0 + 7 * n**2) for n in others], 0.03),
        ("Heart", "extent S–I"): (np.log(90.0 + OWN), [np.log(90.0 + n) for n in others], 0.03),
        # The sample's slices begin 40 mm below the origin of coordinates, which is where their positions are zero.
        ("Heart", "position S–I"): (70.0 + 2 * OWN, [70.0 + 2 * n for n in others if n != ELSEWHERE], 3.0),
        ("Heart", "position L–R"): (-10.0 - 3 * OWN, [-10.0 - 3 * n for n in others if n], 3.0),
    }
    for key, (value, values, floor) in expected.items():
        assert by_name[key].robust_z == pytest.approx(robust_z(value, values, floor)), key
        assert by_name[key].patients == len(values)
    assert {quantity for structure, quantity in by_name if structure == "PTV"} == {"volume"}
    assert {quantity for structure, quantity in by_name if structure == "External"} == {"volume", "extent S–I"}


def test_outliers_come_first_and_few_patients_judge_nobody(library):
    large = dataclasses.replace(structures(OWN)[0], volume_cm3=6000.0)
    alone = StructureFacts("Liver", 1500.0, (0.0, 0.0, 0.0))
    first, *others = check_contours(Placed((alone, large), "lungs", -40.0), placed_structures(library, "kl"))
    assert (first.structure, first.quantity, first.is_outlier) == ("Heart", "volume", True)
    (liver,) = (row for row in others if row.structure == "Liver" and row.quantity == "volume")
    assert (liver.robust_z, liver.median, liver.patients) == (None, None, 0)
