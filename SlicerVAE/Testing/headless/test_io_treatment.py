"""What belongs together among a patient's image, structure sets, plans and doses."""

import shutil

import numpy as np
import pydicom
import pytest
from pydicom.uid import generate_uid

from slicervae.phantom import write_cohort
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.treatment import read_treatment


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("treatment")
    write_cohort(folder, patients=1, seed=5, size=48, slices=12, lesion_share=0.0)
    return folder / "PHANTOM-0001"


@pytest.fixture
def patient(phantom, tmp_path):
    return shutil.copytree(phantom, tmp_path / "patient")


def changed(path, out, **elements):
    """A copy of a DICOM file with other elements and an identity of its own."""
    dataset = pydicom.dcmread(path)
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.save_as(out)
    return dataset.SOPInstanceUID


def test_a_plan_brings_its_structures_and_its_dose(phantom):
    treatment = read_treatment(phantom)
    assert treatment.structure_set == phantom / "RTSTRUCT.dcm" and treatment.notices == ()
    assert treatment.plan is not None and treatment.plan.label == "PHANTOM"
    assert treatment.dose is not None and treatment.dose.plan_uid == treatment.plan.sop_uid
    dose = treatment.dose_on_volume()
    assert dose.shape == treatment.volume.array.shape == treatment.volume.masks["PTV"].shape
    assert np.nanmean(dose[treatment.volume.masks["PTV"]]) > 5 * np.nanmean(dose)


def test_the_approved_plan_is_taken_and_a_named_one_instead(patient):
    approved = changed(patient / "RTPLAN.dcm", patient / "new.dcm", ApprovalStatus="APPROVED", RTPlanLabel="NEW")
    treatment = read_treatment(patient)
    assert treatment.plan is not None and treatment.plan.sop_uid == approved
    assert treatment.dose is None  # the only dose is of the other plan
    with pytest.raises(UserError, match="There is no dose of"):
        treatment.dose_on_volume()
    older = read_treatment(patient, plan=patient / "RTPLAN.dcm")
    assert older.plan is not None and older.plan.label == "PHANTOM" and older.dose is not None
    with pytest.raises(UserError, match=r"RTDOSE\.dcm is not of plan 'NEW'"):
        read_treatment(patient, dose=patient / "RTDOSE.dcm")


def test_several_that_may_be_meant_are_listed(patient):
    changed(patient / "RTDOSE.dcm", patient / "other-dose.dcm")
    with pytest.raises(UserError, match=r"2 doses of whole plans(.|\n)*other-dose\.dcm"):
        read_treatment(patient)
    assert read_treatment(patient, dose=patient / "other-dose.dcm").dose is not None
    changed(patient / "RTPLAN.dcm", patient / "other-plan.dcm")
    with pytest.raises(UserError, match=r"2 plans, none of them approved(.|\n)*other-plan\.dcm"):
        read_treatment(patient)


def test_without_a_plan_the_structure_set_of_the_image_is_taken(patient):
    (patient / "RTPLAN.dcm").unlink()
    uid = changed(patient / "RTSTRUCT.dcm", patient / "redrawn.dcm")
    with pytest.raises(UserError, match=r"RTSTRUCT\.dcm and .*redrawn\.dcm were all drawn on"):
        read_treatment(patient)
    treatment = read_treatment(patient, structure_set=patient / "redrawn.dcm")
    assert treatment.plan is None and treatment.dose is not None and "Heart" in treatment.volume.masks
    dataset = pydicom.dcmread(patient / "redrawn.dcm")
    foreign = generate_uid()
    for item in dataset.StructureSetROISequence:
        item.ReferencedFrameOfReferenceUID = foreign
    del dataset.ReferencedFrameOfReferenceSequence
    dataset.save_as(patient / "redrawn.dcm")
    assert dataset.SOPInstanceUID == uid
    treatment = read_treatment(patient)
    assert treatment.structure_set == patient / "RTSTRUCT.dcm"
    assert "redrawn.dcm was drawn on another image" in treatment.notices[0]


def test_a_plan_whose_structure_set_is_gone_says_so(patient):
    changed(patient / "RTSTRUCT.dcm", patient / "RTSTRUCT.dcm")
    (notice,) = read_treatment(patient).notices
    assert "plan 'PHANTOM' refers to is not there" in notice


def test_an_image_alone_is_a_treatment_without_anything(patient):
    for name in ("RTPLAN", "RTSTRUCT", "RTDOSE"):
        (patient / f"{name}.dcm").unlink()
    treatment = read_treatment(patient)
    assert (treatment.plan, treatment.dose, treatment.structure_set) == (None, None, None)
    assert not treatment.volume.masks
