"""RT doses in gray on the right grid, or one sentence; and none summed or chosen without being asked for."""

import csv
import dataclasses
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import RTDoseStorage, generate_uid

from SlicerVAELib.core.dose import dose_on
from SlicerVAELib.core.dvh import dvh
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.rtdose import Dose, choose_dose, read_doses, summed
from SlicerVAELib.io.rtplan import read_plan
from Testing.headless.dicom_series import FRAME_UID, STUDY_UID, UPRIGHT, put_pixels, save, stored_ct, write_series
from Testing.headless.file_damage import damaged, elements_of

PLAN_UID = generate_uid(entropy_srcs=["the plan"])
SHAPE = (4, 5, 6)
STORED = np.arange(120, dtype=np.uint32).reshape(SHAPE) * 1000
SCALING = 1e-4


def write_dose(
    path: Path, stored=STORED, offsets=(0, 2.5, 5, 7.5), *, beams=(), orientation=UPRIGHT, **changes
) -> Path:
    """A dose on a grid of 3 mm columns, 4 mm rows, from (−50, −60, 40) LPS; ``changes`` are elements, None for none."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = RTDoseStorage, generate_uid(entropy_srcs=[str(path)])
    dataset.Modality, dataset.PatientID, dataset.StudyInstanceUID = "RTDOSE", "P1", STUDY_UID
    dataset.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(path)])
    dataset.FrameOfReferenceUID = FRAME_UID
    dataset.DoseUnits, dataset.DoseType, dataset.DoseSummationType = "GY", "PHYSICAL", "BEAM" if beams else "PLAN"
    dataset.DoseGridScaling = str(SCALING)
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [-50, -60, 40], list(orientation)
    dataset.PixelSpacing = [4, 3]
    dataset.NumberOfFrames, dataset.GridFrameOffsetVector = len(stored), list(offsets)
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = PLAN_UID
    if beams:
        group = Dataset()
        group.ReferencedFractionGroupNumber, group.ReferencedBeamSequence = 1, []
        for number in beams:
            beam = Dataset()
            beam.ReferencedBeamNumber = number
            group.ReferencedBeamSequence.append(beam)
        reference.ReferencedFractionGroupSequence = [group]
    dataset.ReferencedRTPlanSequence = [reference]
    put_pixels(dataset, stored[0])
    dataset.PixelData = stored.tobytes()
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    save(dataset, path)
    return path


def read(path: Path) -> Dose:
    (dose,) = read_doses([path], FRAME_UID)
    return dose


def refusal(where, frame: str | None = FRAME_UID) -> str:
    with pytest.raises(UserError) as caught:
        read_doses(where, frame)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def dose_at(dose: Dose, *lps: float) -> float:
    """The dose at a place of the patient, which must be a voxel's centre."""
    inverse = np.linalg.inv(dose.volume.geometry.ijk_to_ras)
    i, j, k, _ = inverse @ (-lps[0], -lps[1], lps[2], 1)
    np.testing.assert_allclose([i, j, k], np.round([i, j, k]), atol=1e-6)
    return float(dose.volume.array[round(k), round(j), round(i)])


# --- The grid --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [np.uint16, np.uint32])
def test_a_dose_is_in_gray_where_the_file_says(tmp_path, kind):
    stored = (STORED // 2).astype(kind)
    dose = read(write_dose(tmp_path / "d.dcm", stored, DoseComment="final"))
    assert dose.volume.modality is Modality.DOSE and dose.volume.array.dtype == np.float32
    np.testing.assert_allclose(dose.volume.array, stored * SCALING, rtol=1e-6)
    spacing, origin, directions = dose.volume.geometry.lps
    np.testing.assert_allclose(spacing, (3, 4, 2.5))
    np.testing.assert_allclose(origin, (-50, -60, 40))
    np.testing.assert_allclose(directions, np.eye(3), atol=1e-12)
    assert (dose.summation, dose.dose_type, dose.plan_uid, dose.comment) == ("PLAN", "PHYSICAL", PLAN_UID, "final")
    dataset = pydicom.dcmread(tmp_path / "d.dcm")
    assert (dose.sop_uid, dose.series_uid) == (dataset.SOPInstanceUID, dataset.SeriesInstanceUID)
    assert dose.volume.source.frame_of_reference_uid == FRAME_UID


def test_32_bits_are_used_to_the_last(tmp_path):
    stored = STORED.copy()
    stored[1, 2, 3] = 2**32 - 1
    dose = read(write_dose(tmp_path / "d.dcm", stored, DoseGridScaling="1e-8"))
    assert dose.volume.array[1, 2, 3] == pytest.approx(42.94967295, rel=1e-6)


@pytest.mark.parametrize(
    ("offsets", "orientation", "heights"),
    [
        ((0, 2.5, 5, 7.5), UPRIGHT, (40, 42.5, 45, 47.5)),
        ((40, 42.5, 45, 47.5), UPRIGHT, (40, 42.5, 45, 47.5)),
        ((0, -2.5, -5, -7.5), UPRIGHT, (40, 37.5, 35, 32.5)),
        ((40, 37.5, 35, 32.5), UPRIGHT, (40, 37.5, 35, 32.5)),
        ((0, 2.5, 5, 7.5), (-1, 0, 0, 0, -1, 0), (40, 42.5, 45, 47.5)),
        ((0, 2.5, 5, 7.5), (-1, 0, 0, 0, 1, 0), (40, 37.5, 35, 32.5)),  # feet first: the normal points down
        ((40, 37.5, 35, 32.5), (-1, 0, 0, 0, 1, 0), (40, 37.5, 35, 32.5)),
    ],
)
def test_frames_lie_where_their_offsets_say(tmp_path, offsets, orientation, heights):
    dose = read(write_dose(tmp_path / "d.dcm", offsets=offsets, orientation=orientation))
    for k, height in enumerate(heights):
        place = (-50 + 2 * 3 * orientation[0], -60 + 1 * 4 * orientation[4], height)
        assert dose_at(dose, *place) == pytest.approx(STORED[k, 1, 2] * SCALING)
    assert np.linalg.det(dose.volume.geometry.ijk_to_ras[:3, :3]) > 0, "right-handed, as an image is"


def test_the_frames_of_a_sagittal_grid_lie_along_its_normal(tmp_path):
    dose = read(write_dose(tmp_path / "d.dcm", orientation=(0, 1, 0, 0, 0, -1)))
    assert dose_at(dose, -50 - 2.5, -60 + 3 * 3, 40 - 4 * 2) == pytest.approx(STORED[1, 2, 3] * SCALING)


@pytest.mark.parametrize("name", ["rtdose_rle.dcm", "rtdose_expb.dcm", "rtdose.dcm"])
def test_every_encoding_gives_the_same_dose(tmp_path, name):
    dataset = pydicom.dcmread(get_testdata_file(name))
    dataset.DoseUnits = "GY"
    dataset.save_as(tmp_path / "d.dcm")
    (dose,) = read_doses([tmp_path / "d.dcm"], None)
    expected = pydicom.dcmread(get_testdata_file("rtdose.dcm")).pixel_array * 1e-6
    np.testing.assert_allclose(dose.volume.array, expected, rtol=1e-6)
    assert dose.beams == (1,) and dose.summation == "BEAM"


# --- Refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"DoseUnits": "RELATIVE"}, "in units of RELATIVE, not GY"),
        ({"DoseUnits": None}, r"in units of (none), not GY"),
        ({"offsets": (0, 2.5, 5.1, 7.5)}, "unevenly spaced frames (2.4 to 2.6 mm apart)"),
        ({"offsets": (0, 2.5, 2.5, 5)}, "unevenly spaced frames (0 to 2.5 mm apart)"),
        ({"offsets": (0, 5, 2.5, 7.5)}, "unevenly spaced frames"),
        ({"offsets": (10, 12.5, 15, 17.5)}, "does not say where its frames lie"),
        ({"offsets": (40, 42.5, 45, 47.5), "orientation": (0, 1, 0, 0, 0, -1)}, "does not say where its frames lie"),
        ({"orientation": (1, 0, 0, 0.5, 0.8, 0)}, "not at right angles"),
        ({"offsets": (0, 2.5, 5)}, "is damaged"),
        ({"NumberOfFrames": 3}, "is damaged"),
        ({"DoseGridScaling": None}, "is damaged"),
        ({"DoseGridScaling": "0"}, "is damaged"),
        ({"ImagePositionPatient": None}, "is damaged"),
        ({"GridFrameOffsetVector": None}, "is damaged"),
        ({"PixelSpacing": [0, 3]}, "is damaged"),
        ({"PixelData": None}, "is damaged"),
        ({"Rows": None, "PixelData": None}, "holds no dose grid"),
        ({"Modality": "CT"}, "is not an RT dose"),
    ],
)
def test_what_is_no_usable_dose_is_refused(tmp_path, changes, why):
    said = refusal([write_dose(tmp_path / "d.dcm", **changes)])
    assert said.startswith(str(tmp_path / "d.dcm")) and why in said


def test_a_single_plane_is_refused(tmp_path):
    said = refusal([write_dose(tmp_path / "d.dcm", STORED[:1], offsets=(0,))])
    assert "single plane" in said


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_is_refused(tmp_path, part):
    whole = write_dose(tmp_path / "whole.dcm").read_bytes()
    (tmp_path / "d.dcm").write_bytes(whole[: int(part * len(whole))])
    assert "d.dcm" in refusal([tmp_path / "d.dcm"])


def test_random_damage_gives_a_dose_or_a_sentence(tmp_path):
    whole = write_dose(tmp_path / "whole.dcm", beams=(1,))
    rng, data = np.random.default_rng(0), whole.read_bytes()
    spans = elements_of(data, [(element.tag.group, element.tag.element) for element in pydicom.dcmread(whole)])
    refused = 0
    for _ in range(200):
        (tmp_path / "x.dcm").write_bytes(damaged(data, rng, spans))
        try:
            (dose,) = read_doses([tmp_path / "x.dcm"], None)
        except UserError as error:
            assert "\n" not in str(error) and "x.dcm" in str(error)
            refused += 1
        else:
            assert dose.volume.array.size == STORED.size and np.isfinite(dose.volume.array).all()
    assert refused > 50


def test_a_relative_dose_of_pydicom_is_refused():
    assert "RELATIVE" in refusal([get_testdata_file("rtdose.dcm")], None)


def test_another_frame_of_reference_is_refused_with_both_names(tmp_path):
    write_dose(tmp_path / "d.dcm", FrameOfReferenceUID="1.2.3.4")
    for where in ([tmp_path / "d.dcm"], tmp_path):
        said = refusal(where)
        assert "1.2.3.4" in said and FRAME_UID in said
    assert len(read_doses(tmp_path, None)) == 1
    write_dose(tmp_path / "unnamed.dcm", FrameOfReferenceUID=None)
    assert "unnamed frame of reference" in refusal([tmp_path / "unnamed.dcm"])


def test_a_folder_gives_the_doses_of_this_image(tmp_path):
    write_series(tmp_path / "ct", stored_ct())
    write_dose(tmp_path / "ct" / "d.dcm")
    write_dose(tmp_path / "other.dcm", FrameOfReferenceUID="1.2.3.4", DoseUnits="RELATIVE")
    (tmp_path / "notes.txt").write_text("nothing")
    assert [Path(dose.volume.source.path).name for dose in read_doses(tmp_path, FRAME_UID)] == ["d.dcm"]
    assert "other.dcm" in refusal([tmp_path / "ct" / "d.dcm", tmp_path / "other.dcm"])


def test_a_folder_without_dose_says_so(tmp_path):
    write_series(tmp_path / "ct", stored_ct())
    assert refusal(tmp_path) == f"{tmp_path} holds no RTDOSE file; give the folder that has it."
    assert "does not exist" in refusal(tmp_path / "nowhere")
    assert "can't be read" in refusal([tmp_path / "nowhere.dcm"])


# --- Choosing and summing --------------------------------------------------------------------------------------------
@pytest.fixture
def beam_doses(tmp_path) -> list[Dose]:
    return [read(write_dose(tmp_path / f"beam{n}.dcm", STORED * n // 2, beams=(n,))) for n in (2, 1)]


def test_the_only_dose_of_the_plan_is_chosen(tmp_path, beam_doses):
    physical = read(write_dose(tmp_path / "p.dcm"))
    effective = read(write_dose(tmp_path / "e.dcm", DoseType="EFFECTIVE"))
    error = read(write_dose(tmp_path / "x.dcm", DoseType="ERROR"))
    assert choose_dose([*beam_doses, effective, physical, error]) is physical
    assert choose_dose([*beam_doses, effective, error]) is effective


def test_what_is_not_certain_is_listed(tmp_path, beam_doses):
    plans = [read(write_dose(tmp_path / f"p{n}.dcm", DoseComment=f"try {n}")) for n in (1, 2)]
    for doses, why in ((plans, "2 doses of whole plans"), (beam_doses, "no dose of a whole plan"), ([], "no dose")):
        with pytest.raises(UserError, match=why) as caught:
            choose_dose(doses)
        assert all(dose.volume.source.path in str(caught.value) for dose in doses)
    with pytest.raises(UserError, match=r"PLAN, PHYSICAL, up to 11\.90 Gy, 'try 1'"):
        choose_dose(plans)
    for summation in ("MULTI_PLAN", "FRACTION", "CONTROL_POINT"):
        with pytest.raises(UserError, match=summation):
            choose_dose([read(write_dose(tmp_path / "m.dcm", DoseSummationType=summation))])


def test_doses_of_beams_are_summed_when_asked_for(beam_doses):
    total = summed(beam_doses)
    np.testing.assert_allclose(total.volume.array, (STORED // 2 + STORED) * SCALING, rtol=1e-6)
    assert total.beams == (1, 2) and total.comment == "sum of 2 beam doses" and total.sop_uid == ""
    assert total.summation == "BEAM", "whether these are all beams of the plan is not known"
    np.testing.assert_allclose(beam_doses[0].volume.array, STORED * SCALING, rtol=1e-6)


def test_beams_that_do_not_belong_together_are_not_summed(tmp_path, beam_doses):
    first, second = beam_doses

    def refuses(doses, why):
        with pytest.raises(UserError, match=why):
            summed(doses)

    refuses([], "no dose to sum")
    refuses([first, first], "Beam 2 is there twice")
    refuses([first, read(write_dose(tmp_path / "plan.dcm"))], "not the dose of a known beam")
    refuses([first, dataclasses.replace(second, plan_uid="1.2.3")], "not of one plan")
    refuses([dataclasses.replace(d, plan_uid="") for d in beam_doses], "not of one plan")
    refuses([first, dataclasses.replace(second, dose_type="EFFECTIVE")], "not both")
    refuses([first, read(write_dose(tmp_path / "shifted.dcm", beams=(3,), offsets=(0, 3, 6, 9)))], "another grid")


# --- The phantom -----------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A phantom patient with its plan, and the folder of its RTPLAN and RTDOSE."""
    dicom_rt = pytest.importorskip("slicervae.phantom.dicom_rt")
    from slicervae.phantom import make_patient
    from slicervae.phantom.plan import make_plan

    patient = make_patient(5, 1, size=96, slices=30)
    folder = tmp_path_factory.mktemp("phantom")
    plan = make_plan(patient)
    dicom_rt.write_plan(patient, plan, folder / "RTPLAN.dcm")
    dicom_rt.write_dose(patient, plan, folder / "RTDOSE.dcm")
    return patient, plan, folder


def test_all_beams_of_a_known_plan_are_asked_for(tmp_path, phantom):
    plan = dataclasses.replace(read_plan(phantom[2] / "RTPLAN.dcm"), sop_uid=PLAN_UID)
    numbers = [beam.number for beam in plan.beams]
    doses = [read(write_dose(tmp_path / f"b{n}.dcm", beams=(n,))) for n in numbers]
    assert summed(doses, plan).summation == "PLAN"
    with pytest.raises(UserError, match=f"dose of beam {numbers[-1]} of plan 'PHANTOM' is missing"):
        summed(doses[:-1], plan)
    with pytest.raises(UserError, match="has no treatment beam 99"):
        summed([*doses, read(write_dose(tmp_path / "b99.dcm", beams=(99,)))], plan)
    with pytest.raises(UserError, match="not of plan"):
        summed(doses, dataclasses.replace(plan, sop_uid="1.2.3"))


def test_the_phantoms_dose_is_read_as_it_was_planned(phantom):
    patient, plan, folder = phantom
    dose = choose_dose(read_doses(folder, patient.volume.source.frame_of_reference_uid))
    np.testing.assert_allclose(dose.volume.array, plan.dose, atol=0.0008)
    np.testing.assert_allclose(dose.volume.geometry.lps[1], plan.origin, atol=1e-3)
    histogram = dvh(dose_on(dose.volume, patient.volume.geometry), patient.volume.masks["PTV"], 1.0)
    assert histogram.dose_to_percent(95) == pytest.approx(plan.prescription_gy, rel=0.01)


def test_plastimatch_finds_the_same_histograms(phantom, tmp_path):
    """Every point of the cumulative curves within 0.001 % of the structure's volume: plastimatch prints six digits. Its
    bins have their middle at the dose that it names, so the curve stands half a bin lower."""
    plastimatch = shutil.which("plastimatch")
    if plastimatch is None:
        assert not os.environ.get("CI"), "plastimatch (Debian's package of that name) must be installed in CI"
        pytest.skip("plastimatch is not installed; it is a Debian package of that name")
    patient, _, folder = phantom
    geometry, masks = patient.volume.geometry, patient.volume.masks
    names = ["Heart", "Lung_L", "Lung_R", "PTV", "SpinalCord"]
    # Structures as plastimatch wants them: a bit of each voxel per structure, and their names in a list.
    bits = sum(masks[name].astype(np.uint32) << n for n, name in enumerate(names))
    image = sitk.GetImageFromArray(bits)
    spacing, origin, direction = geometry.lps
    image.SetSpacing(spacing.tolist()), image.SetOrigin(origin.tolist()), image.SetDirection(direction.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "ss.mha"))
    (tmp_path / "ss.txt").write_text("".join(f"{n}|255 0 0|{name}\n" for n, name in enumerate(names)))
    command = [plastimatch, "dvh", "--input-ss-img", "ss.mha", "--input-ss-list", "ss.txt", "--output-csv", "dvh.csv"]
    command += ["--input-dose", str(folder / "RTDOSE.dcm"), "--num-bins", "800", "--bin-width", "0.1", "--cumulative"]
    outcome = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    with (tmp_path / "dvh.csv").open(newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    assert [name.strip() for name in rows[0][1:]] == names
    table = np.array(rows[1:], dtype=np.float64)
    (dose,) = read_doses(folder, None)
    on_image = dose_on(dose.volume, geometry)
    for n, name in enumerate(names, start=1):
        histogram = dvh(on_image, masks[name], geometry.voxel_volume_cm3)
        assert histogram.covered_share == 1
        ours = [histogram.percent_at(at - 0.05) for at in table[:, 0]]
        np.testing.assert_allclose(ours, 100 * table[:, n], atol=1e-3)
        assert len(set(ours)) > 10, "a curve, not a step"
