"""RT plans in words: prescription, fractions, technique, and which of several is meant."""

import dataclasses
import datetime
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import RTPlanStorage, generate_uid

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.rtplan import FractionGroup, Plan, Prescription, choose_plan, read_plan, read_plans
from Testing.headless.dicom_series import save
from Testing.headless.file_damage import damaged, elements_of


def item(**elements) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


def point(gantry: float | None = None, leaves: tuple[float, ...] = (), turning: str = "NONE", **elements) -> Dataset:
    made = item(**elements)
    if gantry is not None:
        made.GantryAngle, made.GantryRotationDirection = gantry, turning
    if leaves:
        made.BeamLimitingDevicePositionSequence = [
            item(RTBeamLimitingDeviceType="ASYMX", LeafJawPositions=[-50, 50]),
            item(RTBeamLimitingDeviceType="MLCX", LeafJawPositions=list(leaves)),
        ]
    return made


def beam(number: int, points: list[Dataset], **elements) -> Dataset:
    known = {
        "BeamNumber": number,
        "BeamName": f"B{number}",
        "BeamType": "STATIC" if len(points) == 2 else "DYNAMIC",
        "RadiationType": "PHOTON",
        "TreatmentDeliveryType": "TREATMENT",
        "TreatmentMachineName": "Linac 1",
        "NumberOfControlPoints": len(points),
        "ControlPointSequence": points,
    }
    return item(**(known | elements))


OPEN = [point(0, (-10, 10), NominalBeamEnergy=6), point()]


def write_plan(path: Path, beams=(), **elements) -> Path:
    dataset = item(Modality="RTPLAN", SOPClassUID=RTPlanStorage, SeriesInstanceUID="1.2.3", RTPlanLabel=path.stem)
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[str(path)])
    if beams:
        dataset.BeamSequence = list(beams)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    save(dataset, path)
    return path


def technique(folder: Path, *beams: Dataset) -> str:
    return read_plan(write_plan(folder / "plan.dcm", beams)).technique


# --- Real plans ------------------------------------------------------------------------------------------------------
def test_a_real_breast_plan(shared_data):
    plan = read_plan(shared_data / "rt" / "rtplan.dcm")
    assert (plan.label, plan.approval, plan.technique, plan.machines) == ("B1", "UNAPPROVED", "IMRT", ("txmachine",))
    assert plan.fractions == 7 and plan.fraction_groups == (FractionGroup(1, 7, (1, 2, 3, 4)),)
    assert plan.prescriptions[0] == Prescription("Breast", "SITE", None, 14.0)
    assert [(b.name, b.beam_type, b.energies) for b in plan.beams] == [
        ("3 RAO", "DYNAMIC", (10.0,)),
        ("4 AP", "DYNAMIC", (6.0,)),
        ("5 LAO", "DYNAMIC", (6.0,)),
        ("6 LPO", "DYNAMIC", (10.0,)),
    ]
    structures = pydicom.dcmread(shared_data / "rt" / "rtss.dcm", specific_tags=["SOPInstanceUID"])
    assert plan.structure_set_uid == structures.SOPInstanceUID and plan.date == datetime.date(1901, 1, 1)


def test_a_static_plan_of_pydicom():
    plan = read_plan(Path(get_testdata_file("rtplan.dcm")))
    assert plan.technique == "static photon fields" and plan.fractions == 30
    assert plan.prescriptions[0].dose_gy == pytest.approx(30.826203)


def test_a_plan_that_is_cut_off_is_refused():
    with pytest.raises(UserError, match=r"rtplan_truncated\.dcm is damaged or cut off"):
        read_plan(Path(get_testdata_file("rtplan_truncated.dcm")))


@pytest.mark.parametrize("name", ["ExplVR_BigEndNoMeta.dcm", "ExplVR_LitEndNoMeta.dcm"])
def test_a_plan_with_next_to_nothing_is_read(name):
    plan = read_plan(Path(get_testdata_file(name)))
    assert plan.intent == "CURATIVE" and plan.fractions is None and plan.prescriptions == () and plan.technique == ""


def test_random_damage_gives_a_plan_or_a_sentence(tmp_path):
    group = item(
        FractionGroupNumber=1, NumberOfFractionsPlanned=3, ReferencedBeamSequence=[item(ReferencedBeamNumber=1)]
    )
    whole = write_plan(tmp_path / "p.dcm", [beam(1, OPEN)], RTPlanDate="20200101", FractionGroupSequence=[group])
    refused = 0
    rng, data = np.random.default_rng(0), whole.read_bytes()
    spans = elements_of(data, [(element.tag.group, element.tag.element) for element in pydicom.dcmread(whole)])
    for _ in range(200):
        (tmp_path / "x.dcm").write_bytes(damaged(data, rng, spans))
        try:
            read_plan(tmp_path / "x.dcm")
        except UserError as error:
            assert "\n" not in str(error) and "x.dcm" in str(error)
            refused += 1
    assert refused > 50


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UserError, match="is not an RT plan; give an RTPLAN file"):
        read_plan(Path(get_testdata_file("CT_small.dcm")))
    with pytest.raises(UserError, match="can't be read"):
        read_plan(tmp_path / "missing.dcm")
    (tmp_path / "note.txt").write_text("no DICOM")
    with pytest.raises(UserError, match="is not an RT plan"):
        read_plan(tmp_path / "note.txt")


def test_the_phantoms_plan(tmp_path):
    dicom_rt = pytest.importorskip("slicervae.phantom.dicom_rt")
    from slicervae.phantom import make_patient
    from slicervae.phantom.plan import make_plan

    patient = make_patient(5, 1, size=64, slices=24)
    made = make_plan(patient)
    dicom_rt.write_plan(patient, made, tmp_path / "RTPLAN.dcm")
    (plan,) = read_plans(tmp_path)
    assert plan.prescriptions == (Prescription("95 % of the PTV", "VOLUME", 6, made.prescription_gy),)
    assert plan.fractions == made.fractions and plan.technique == "static photon fields"
    assert [b.number for b in plan.beams] == [b.number for b in made.beams] and plan.beams[0].energies == (6.0,)
    assert plan.intent == "RESEARCH" and plan.structure_set_uid == patient.uid("structures")


# --- Technique -------------------------------------------------------------------------------------------------------
def test_fields_that_stand_still_are_static(tmp_path):
    assert technique(tmp_path, beam(1, OPEN), beam(2, OPEN)) == "static photon fields"


def test_a_few_segments_are_no_imrt(tmp_path):
    points = [point(0, (-10, 10)), point(None, (-5, 5)), point(None, (-5, 5)), point()]
    assert technique(tmp_path, beam(1, points)) == "static photon fields with segments"


def test_many_apertures_from_one_angle_are_imrt(tmp_path):
    points = [point(0 if n == 0 else None, (-n, n)) for n in range(12)]
    assert technique(tmp_path, beam(1, points)) == "IMRT"


@pytest.mark.parametrize("says_direction", [True, False])
def test_apertures_on_the_way_around_are_vmat(tmp_path, says_direction):
    turning = "CW" if says_direction else "NONE"
    points = [point(178 + 2 * n if n < 10 else 196, (-n, n), turning) for n in range(12)]
    assert technique(tmp_path, beam(1, points)) == "VMAT"


def test_one_aperture_on_the_way_around_is_an_arc(tmp_path):
    points = [point(181, (-10, 10), "CW"), point(179, (), "NONE")]
    assert technique(tmp_path, beam(1, points)) == "photon arcs"


def test_an_angle_around_zero_is_no_rotation(tmp_path):
    points = [point(359.9, (-10, 10)), point(0.1)]
    assert technique(tmp_path, beam(1, points)) == "static photon fields"


def test_set_up_fields_do_not_count(tmp_path):
    path = write_plan(tmp_path / "p.dcm", [beam(1, OPEN, RadiationType="ELECTRON"), beam(2, OPEN)])
    assert read_plan(path).technique == "electrons and static photon fields"
    path = write_plan(
        tmp_path / "p.dcm", [beam(1, OPEN, RadiationType="ELECTRON"), beam(2, OPEN, TreatmentDeliveryType="SETUP")]
    )
    plan = read_plan(path)
    assert plan.technique == "electrons" and [b.is_treatment for b in plan.beams] == [True, False]


def test_protons(tmp_path):
    points = [point(90, NominalBeamEnergy=energy) for energy in (150, 120, 120)]
    spots = beam(1, [], RadiationType="PROTON", NumberOfControlPoints=3, IonControlPointSequence=points)
    del spots.ControlPointSequence
    plan = read_plan(write_plan(tmp_path / "p.dcm", IonBeamSequence=[spots]))
    assert plan.technique == "protons" and plan.beams[0].energies == (120.0, 150.0)


def test_brachytherapy(tmp_path):
    machine = item(TreatmentMachineName="Afterloader")
    path = write_plan(tmp_path / "p.dcm", BrachyTreatmentType="HDR", TreatmentMachineSequence=[machine])
    plan = read_plan(path)
    assert plan.technique == "brachytherapy" and plan.machines == ("Afterloader",)


# --- What may be missing ---------------------------------------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:Invalid value for VR DA")  # it is written on purpose
@pytest.mark.parametrize("date", ["", "19999999"])
def test_a_missing_or_impossible_date_is_none(tmp_path, date):
    assert read_plan(write_plan(tmp_path / "p.dcm", RTPlanDate=date)).date is None
    assert read_plan(write_plan(tmp_path / "q.dcm")).date is None


def test_prescriptions_are_those_of_targets(tmp_path):
    references = [
        item(DoseReferenceType="TARGET", DoseReferenceStructureType="VOLUME", ReferencedROINumber=3),
        item(DoseReferenceType="ORGAN_AT_RISK", DoseReferenceDescription="Cord", DeliveryMaximumDose=45),
        item(DoseReferenceType="TARGET", DoseReferenceDescription="Boost", TargetPrescriptionDose=""),
    ]
    plan = read_plan(write_plan(tmp_path / "p.dcm", DoseReferenceSequence=references))
    assert plan.prescriptions == (Prescription("", "VOLUME", 3, None), Prescription("Boost", "", None, None))


def test_fractions_of_all_groups(tmp_path):
    def groups(*counts):
        return [item(FractionGroupNumber=n, NumberOfFractionsPlanned=count) for n, count in enumerate(counts, start=1)]

    assert read_plan(write_plan(tmp_path / "p.dcm", FractionGroupSequence=groups(25, 8))).fractions == 33
    assert read_plan(write_plan(tmp_path / "p.dcm", FractionGroupSequence=groups(25, ""))).fractions is None


def test_a_beam_that_a_group_names_must_be_there(tmp_path):
    group = item(FractionGroupNumber=1, ReferencedBeamSequence=[item(ReferencedBeamNumber=n) for n in (1, 2)])
    with pytest.raises(UserError, match="is damaged"):
        read_plan(write_plan(tmp_path / "p.dcm", [beam(1, OPEN)], FractionGroupSequence=[group]))


# --- Choosing --------------------------------------------------------------------------------------------------------
@pytest.fixture
def plans(tmp_path) -> dict[str, Plan]:
    made = {}
    for status in ("APPROVED", "UNAPPROVED", "REJECTED"):
        made[status] = read_plan(write_plan(tmp_path / f"{status.lower()}.dcm", [beam(1, OPEN)], ApprovalStatus=status))
    return made


def test_the_approved_plan_is_the_default(plans):
    assert choose_plan(list(plans.values())) is plans["APPROVED"]


def test_a_plan_alone_is_taken_unless_it_was_rejected(plans):
    assert choose_plan([plans["UNAPPROVED"]]) is plans["UNAPPROVED"]
    with pytest.raises(UserError, match="The only plan was rejected; choose"):
        choose_plan([plans["REJECTED"]])


def test_several_candidates_are_listed(plans):
    second = dataclasses.replace(plans["APPROVED"], label="second")
    for choice, why in (
        ([plans["APPROVED"], second, plans["REJECTED"]], "There are 2 approved plans; choose"),
        ([plans["UNAPPROVED"], plans["REJECTED"]], "There are 2 plans, none of them approved; choose"),
        ([], "There is no plan to choose from"),
    ):
        with pytest.raises(UserError, match=why) as caught:
            choose_plan(choice)
        assert all(f"'{plan.label}'" in str(caught.value) for plan in choice)
    with pytest.raises(UserError, match="UNAPPROVED, static photon fields, no date"):
        choose_plan([plans["UNAPPROVED"], plans["REJECTED"]])


def test_the_plans_of_a_folder(tmp_path, plans):
    assert [plan.label for plan in read_plans(tmp_path)] == ["approved", "rejected", "unapproved"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no RTPLAN file"):
        read_plans(tmp_path / "empty")
