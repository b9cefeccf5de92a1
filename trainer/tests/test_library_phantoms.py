"""A cohort of DICOM patients in a library: nothing in its files names one of them, and who was removed is gone."""

import base64
import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

from slicervae.phantom import write_cohort
from SlicerVAELib.core.dose import dose_on
from SlicerVAELib.core.dvh import dvh
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.structure_names import StructureNames
from SlicerVAELib.core.volume import LPS_TO_RAS, Volume
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.rtdose import choose_dose, read_doses
from SlicerVAELib.io.rtplan import choose_plan, read_plans
from SlicerVAELib.io.structures import read_structures
from SlicerVAELib.library.access import create_library, create_site_key, load_site_key, open_library
from SlicerVAELib.library.maintenance import compact, verify
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
)

LATENTS = 4
BUNDLE = BundleIdentity("thorax", "1.0", "ab" * 32, LATENTS, "gaussian", "{}")
PATIENTS = 3


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ward-7") / "cohort"
    write_cohort(folder, patients=PATIENTS, seed=5, size=32, slices=10)
    return folder


@pytest.fixture(scope="module")
def whole(cohort, tmp_path_factory) -> Path:
    """The folder of a library with the cohort, whose writer was killed before it could tidy up: the log is full."""
    folder = tmp_path_factory.mktemp("library")
    key = create_site_key(tmp_path_factory.mktemp("keys") / "site.key")
    library = create_library(folder / "library.sqlite", key, BUNDLE)
    for place in patient_folders(cohort):
        assert library.add(*read_patient(place))
    library.search_index()
    library.reveal(library.pseudonyms()[0], "to compare plans")
    snapshot = tmp_path_factory.mktemp("snapshot")
    shutil.copytree(folder, snapshot / "as it stood")
    library.close()
    (snapshot / "key").write_text(str(key.path))
    return snapshot


@pytest.fixture
def library(whole, tmp_path):
    shutil.copytree(whole / "as it stood", tmp_path / "copy")
    with open_library(tmp_path / "copy" / "library.sqlite", load_site_key(Path((whole / "key").read_text()))) as opened:
        yield opened


def patient_folders(cohort: Path) -> list[Path]:
    return sorted(cohort.glob("PHANTOM-*"))


def read_patient(place: Path) -> tuple[PatientIdentity, PatientRecord]:
    """A patient as the clinical files tell, with posteriors that depend on the patient."""
    volume = read_volume(place / "CT")
    plan = choose_plan(read_plans(place))
    dose = dose_on(choose_dose(read_doses(place, volume.source.frame_of_reference_uid)).volume, volume.geometry)
    masks = read_structures(place / "RTSTRUCT.dcm", volume)
    named = {standard: masks[name] for name, standard in StructureNames().matched(masks).items() if standard}
    facts = SeriesFacts(
        str(volume.modality),
        volume.source.body_part or "CHEST",
        volume.geometry,
        "HFS",
        tuple(structure_facts(name, mask, volume) for name, mask in named.items()),
    )
    histograms = {name: dvh(dose, mask, volume.geometry.voxel_volume_cm3, name) for name, mask in named.items()}
    doses = tuple(DoseFacts(name, found.statistics(), found.curve()) for name, found in histograms.items())
    plan_facts = PlanFacts(
        0,
        site="lung",
        intent=plan.intent,
        prescription_gy=plan.prescriptions[0].dose_gy,
        fractions=plan.fractions,
        technique=plan.technique,
        approval=plan.approval,
        doses=doses,
    )
    source = volume.source
    identity = PatientIdentity(
        source.patient,
        (SeriesIdentity(source.series_uid, source.study_uid, source.frame_of_reference_uid, str(place / "CT")),),
    )
    return identity, PatientRecord((SeriesRecord(facts, posteriors(volume)),), (plan_facts,))


def structure_facts(name: str, mask: np.ndarray, volume: Volume) -> StructureFacts:
    k, j, i = np.argwhere(mask).mean(axis=0)
    centre = LPS_TO_RAS @ volume.geometry.ijk_to_ras @ np.array([i, j, k, 1.0])
    volume_cm3 = float(mask.sum() * volume.geometry.voxel_volume_cm3)
    return StructureFacts(name, volume_cm3, (float(centre[0]), float(centre[1]), float(centre[2])))


def posteriors(volume: Volume) -> PosteriorStack:
    slices = len(volume.array)
    mean = volume.array.reshape(slices, LATENTS, -1).mean(axis=2) / 100
    places = np.arange(slices, dtype=np.float64)
    return PosteriorStack(mean, mean / 10, places, "lungs", np.column_stack([places, places, places]))


def identifiers_of(cohort: Path) -> set[str]:
    """What could name somebody in the cohort's files: IDs, names, dates, unique UIDs, and paths."""
    found = {str(cohort), cohort.parent.name, *(str(place / "CT") for place in patient_folders(cohort))}
    for path in cohort.rglob("*.dcm"):
        for element in pydicom.dcmread(path, stop_before_pixels=True).iterall():
            is_personal = element.VR in ("UI", "PN", "DA", "DT", "AE") or element.keyword in (
                "PatientID",
                "AccessionNumber",
            )
            text = str(element.value)
            # UIDs below 1.2.840.10008 are the standard's own, of classes and syntaxes.
            if is_personal and len(text) >= 5 and not text.startswith("1.2.840.10008."):
                found.add(text)
    return found


def spelt(identifier: str) -> Iterator[bytes]:
    """The bytes by which an identifier could stand in a file."""
    for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
        yield identifier.encode(encoding)
        yield identifier.lower().encode(encoding)
    plain = identifier.encode()
    yield plain.hex().encode()
    yield plain[::-1]
    for shift in range(3):  # inside of a longer text in base64 its first and last letters depend on the neighbours
        yield base64.b64encode(bytes(shift) + plain)[4:-4]
    with contextlib.suppress(ValueError):
        yield int(identifier).to_bytes(8, "little")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_records_hold_what_the_plans_say(library, cohort):
    (first, *_), names = library.list(), library.pseudonyms()
    assert first.slices == 10
    assert first.plans[0].prescription_gy > 0
    facts = library.facts(names)[0]
    assert {"Heart", "Lung_L", "Lung_R"} <= {structure.name for structure in facts.series[0].structures}
    lungs = {structure.name: structure.centroid_mm for structure in facts.series[0].structures}
    assert lungs["Lung_L"][0] > lungs["Lung_R"][0]  # L is positive in LPS
    assert facts.plans[0].doses
    assert library.reveal(names[0], "to see the images").series[0].place == str(patient_folders(cohort)[0] / "CT")


def test_nothing_names_anybody(whole, cohort):
    files = files_in(whole / "as it stood")
    assert "library.sqlite-wal" in files
    assert any(name.endswith("items.npy") for name in files)
    identifiers = identifiers_of(cohort)
    assert len(identifiers) > 40 * PATIENTS / 3
    assert not [
        (identifier, name)
        for identifier in identifiers
        for text in spelt(identifier)
        for name, content in files.items()
        if len(text) >= 5 and text in content
    ]
    names = "\n".join(files)
    assert not [identifier for identifier in identifiers if identifier in names]


def test_the_search_for_identifiers_finds_them_where_they_are(cohort):
    files = files_in(cohort)
    found = [name for name in identifiers_of(cohort) if any(name.encode() in content for content in files.values())]
    assert len(found) > 20


def test_who_was_removed_is_in_no_file_any_more(library):
    folder = library.address.path.parent
    names = library.pseudonyms()
    stacks = [library.record(name).series[0].posteriors for name in names]
    traces = [[row.tobytes() for row in (*stack.mean, *stack.log_variance)] for stack in stacks]
    before = b"".join(files_in(folder).values())
    assert all(trace in before for trace in traces[1])
    library.remove(names[1])
    compact(library)
    after = b"".join(files_in(folder).values())
    assert not any(trace in after for trace in traces[1])
    assert all(trace in after for trace in traces[0] + traces[2])
    assert names[1].encode() not in after
    assert verify(library).is_whole
    assert len(library.search_index().entries) == PATIENTS - 1


def test_removal_is_not_called_complete_while_others_read(library):
    path = library.address.path
    with open_library(path) as other, open_library(path, wait_s=0.2) as own, other.database.reading() as connection:
        connection.exec_driver_sql("SELECT * FROM patients").all()
        own.remove(own.pseudonyms()[1])
        with pytest.raises(UserError, match="close"):
            compact(own)


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX'")
def test_a_patient_who_is_added_twice_from_other_folders_is_one(library, cohort, tmp_path):
    shutil.copytree(patient_folders(cohort)[0], tmp_path / "elsewhere")
    identity, record = read_patient(tmp_path / "elsewhere")
    assert library.holds(identity.patient_id)
    assert library.holds_series(identity.patient_id, identity.series[0])
    assert not library.add(identity, record)
