"""A patient's images come from where the library says, files or a PACS, with what was planned on them."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from slicervae.phantom import write_cohort
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.write import write_volume
from SlicerVAELib.library.intake import series_identity
from SlicerVAELib.library.records import SeriesIdentity
from Testing.headless.orthanc import require_orthanc, running

pytest.importorskip("slicer", reason="the scene needs the package slicer-core")
from SlicerVAELib.scene.archived_patient import read_archived

STRUCTURES = {"BODY", "Lung_L", "Lung_R", "Heart", "SpinalCord", "PTV"}


@pytest.fixture(scope="module")
def patient(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cohort") / "cohort"
    write_cohort(folder, patients=1, seed=5, size=48, slices=12)
    return folder / "PHANTOM-0001"


@pytest.fixture(scope="module")
def identity(patient) -> SeriesIdentity:
    return series_identity(read_volume(patient / "CT"))


def test_the_plan_beside_the_images_folder(identity, patient):
    assert identity.place == str(patient / "CT")
    treatment = read_archived(identity, "P-1")
    assert set(treatment.volume.masks) == STRUCTURES
    assert treatment.dose is not None and treatment.plan is not None and treatment.notices == ()


def test_everything_in_one_folder(identity, patient, tmp_path):
    for path in patient.rglob("*.dcm"):
        shutil.copy(path, tmp_path / path.name)
    treatment = read_archived(dataclasses.replace(identity, place=str(tmp_path)), "P-1")
    assert set(treatment.volume.masks) == STRUCTURES and treatment.dose is not None


def test_images_alone(identity, patient, tmp_path):
    shutil.copytree(patient / "CT", tmp_path / "archive" / "CT")
    treatment = read_archived(dataclasses.replace(identity, place=str(tmp_path / "archive" / "CT")), "P-1")
    assert dict(treatment.volume.masks) == {} and treatment.dose is None


def test_a_volume_file(patient, tmp_path):
    volume = read_volume(patient / "CT")
    write_volume(tmp_path / "patient.nrrd", volume.array, volume.geometry)
    treatment = read_archived(SeriesIdentity(place=str(tmp_path / "patient.nrrd")), "P-1")
    assert np.array_equal(treatment.volume.array, volume.array)


def test_a_place_that_is_not_known(identity):
    with pytest.raises(UserError, match="where the images of P-1 load from"):
        read_archived(dataclasses.replace(identity, place=""), "P-1")


def test_a_pacs(identity, patient, tmp_path):
    require_orthanc()
    with running(tmp_path / "orthanc") as server:
        server.store(sorted(patient.rglob("*.dcm")))
        place = f"{server.address}/studies/{identity.study_uid}/series/{identity.series_uid}"
        treatment = read_archived(dataclasses.replace(identity, place=place), "P-1")
    assert np.array_equal(treatment.volume.array, read_volume(patient / "CT").array)
    assert set(treatment.volume.masks) == STRUCTURES and treatment.dose is not None
