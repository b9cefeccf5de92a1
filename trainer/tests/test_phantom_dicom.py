"""A phantom cohort's DICOM files, read back by others: pydicom, SimpleITK, dciodvfy and a rasteriser of this file."""

import csv
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from scipy import ndimage

from slicervae.phantom import STRUCTURES, LesionPolicy, PhantomPatient, make_patient, write_cohort

SEED, SIZE, SLICES, SHARE = 17, 96, 30, 2 / 3  # patient 1 healthy, 2 with a nodule, 3 with an effusion
NUMBERS = (1, 2, 3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(out, patients=len(NUMBERS), seed=SEED, size=SIZE, slices=SLICES, lesion_share=SHARE)
    return out


@pytest.fixture(scope="module")
def patients() -> dict[int, PhantomPatient]:
    policy = LesionPolicy(SHARE)
    return {n: make_patient(SEED, n, size=SIZE, slices=SLICES, lesions=policy) for n in NUMBERS}


def folder(cohort: Path, number: int) -> Path:
    return cohort / f"PHANTOM-{number:04d}"


def test_the_validator_finds_no_errors(cohort):
    validator = shutil.which("dciodvfy")
    if validator is None:
        assert not os.environ.get("CI"), "dciodvfy (Debian's dicom3tools) must be installed in CI"
        pytest.skip("dciodvfy is not installed; it comes with Debian's dicom3tools")
    files = sorted(cohort.glob("PHANTOM-*/**/*.dcm"))
    assert len(files) == len(NUMBERS) * (SLICES + 3)
    # Slices of a series differ in place and pixels only: the first, one in the middle and the last stand for all.
    chosen = [f for f in files if f.parent.name != "CT" or int(f.stem) in (1, SLICES // 2, SLICES)]
    for file in chosen:
        outcome = subprocess.run([validator, str(file)], capture_output=True, text=True, check=False)
        said = outcome.stdout + outcome.stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], f"{file}: {said}"
        assert outcome.returncode == 0
        assert any(kind in said for kind in ("CTImage", "RTStructureSet", "RTPlan", "RTDose")), said


def test_simpleitk_reads_the_series_with_the_right_geometry_and_values(cohort, patients):
    for number, patient in patients.items():
        reader = sitk.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder(cohort, number) / "CT")))
        image = reader.Execute()
        assert np.array_equal(sitk.GetArrayFromImage(image), patient.volume.array)
        spacing, origin, directions = patient.volume.geometry.lps
        assert np.allclose(image.GetSpacing(), spacing, atol=1e-4)
        assert np.allclose(image.GetOrigin(), origin, atol=1e-3)
        assert np.allclose(np.reshape(image.GetDirection(), (3, 3)), directions)


def test_headers_say_what_the_patient_is(cohort, patients):
    for number, patient in patients.items():
        names = sorted((folder(cohort, number) / "CT").glob("*.dcm"))
        slices = [pydicom.dcmread(name) for name in names]
        first = slices[0]
        assert first.PatientID == f"PHANTOM-{number:04d}"
        assert first.PatientName == f"Phantom^{number:04d}"
        assert first.PatientSex == patient.parameters["sex"]
        assert first.PatientPosition == "HFS"
        assert first.Manufacturer == "SlicerVAE phantom"
        assert first.KVP == 120
        assert first.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
        heights = [float(ds.ImagePositionPatient[2]) for ds in slices]
        assert heights == sorted(heights), "from inferior to superior"
        assert np.allclose(np.diff(heights), float(first.SliceThickness), atol=1e-3)
        assert len({ds.SOPInstanceUID for ds in slices}) == SLICES
        assert {ds.FrameOfReferenceUID for ds in slices} == {patient.volume.source.frame_of_reference_uid}


def test_objects_refer_to_each_other_and_patients_share_nothing(cohort):
    seen: set[str] = set()
    for number in NUMBERS:
        place = folder(cohort, number)
        ct = [pydicom.dcmread(name, stop_before_pixels=True) for name in (place / "CT").glob("*.dcm")]
        structures, plan, dose = (pydicom.dcmread(place / f"{kind}.dcm") for kind in ("RTSTRUCT", "RTPLAN", "RTDOSE"))
        objects = [*ct, structures, plan, dose]
        assert len({ds.StudyInstanceUID for ds in objects}) == 1
        assert len({ds.FrameOfReferenceUID for ds in objects}) == 1
        assert len({ds.SeriesInstanceUID for ds in objects}) == 4
        slices = {ds.SOPInstanceUID for ds in ct}
        series = structures.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        series = series.RTReferencedSeriesSequence[0]
        assert series.SeriesInstanceUID == ct[0].SeriesInstanceUID
        assert {item.ReferencedSOPInstanceUID for item in series.ContourImageSequence} == slices
        for roi in structures.ROIContourSequence:
            for contour in roi.ContourSequence:
                assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID in slices
        assert plan.ReferencedStructureSetSequence[0].ReferencedSOPInstanceUID == structures.SOPInstanceUID
        assert dose.ReferencedRTPlanSequence[0].ReferencedSOPInstanceUID == plan.SOPInstanceUID
        own = {ds.SOPInstanceUID for ds in objects} | {ds.SeriesInstanceUID for ds in objects}
        assert not own & seen
        seen |= own


def rasterised(contours: list[np.ndarray], patient: PhantomPatient) -> np.ndarray:
    """Voxels whose centre lies inside an odd number of the closed contours (N, 3), in LPS mm."""
    spacing, origin, _ = patient.volume.geometry.lps
    mask = np.zeros(patient.volume.array.shape, dtype=bool)
    columns = origin[0] + np.arange(mask.shape[2]) * spacing[0]
    rows = origin[1] + np.arange(mask.shape[1]) * spacing[1]
    for points in contours:
        k = int(np.rint((points[0, 2] - origin[2]) / spacing[2]))
        assert np.allclose(points[:, 2], origin[2] + k * spacing[2], atol=1e-3)
        (x0, y0), (x1, y1) = points[:, :2].T, np.roll(points, -1, axis=0)[:, :2].T
        for j, y in enumerate(rows):
            crossing = (y0 <= y) != (y1 <= y)
            at = x0[crossing] + (y - y0[crossing]) / (y1 - y0)[crossing] * (x1 - x0)[crossing]
            mask[k, j] ^= ((at[:, None] < columns[None, :]).sum(axis=0) % 2).astype(bool)
    return mask


def test_contours_give_back_the_masks(cohort, patients):
    for number, patient in patients.items():
        ds = pydicom.dcmread(folder(cohort, number) / "RTSTRUCT.dcm")
        names = {roi.ROINumber: roi.ROIName for roi in ds.StructureSetROISequence}
        assert tuple(names.values()) == STRUCTURES
        for roi in ds.ROIContourSequence:
            name = names[roi.ReferencedROINumber]
            assert {c.ContourGeometricType for c in roi.ContourSequence} == {"CLOSED_PLANAR"}
            points = [np.array(c.ContourData, dtype=float).reshape(-1, 3) for c in roi.ContourSequence]
            assert all(len(p) == c.NumberOfContourPoints for p, c in zip(points, roi.ContourSequence, strict=True))
            drawn, true = rasterised(points, patient), patient.volume.masks[name]
            assert 2 * (drawn & true).sum() / (drawn.sum() + true.sum()) >= 0.995, name


def test_contours_are_finer_than_voxels(cohort, patients):
    """The area inside the contours is that which the structure truly covers, not that of its whole voxels."""
    patient = patients[1]
    ds = pydicom.dcmread(folder(cohort, 1) / "RTSTRUCT.dcm")
    spacing = patient.volume.geometry.spacing
    for number, name in ((3, "Lung_R"), (4, "Heart")):
        area = 0.0
        for contour in ds.ROIContourSequence[number - 1].ContourSequence:
            x, y, _ = np.array(contour.ContourData, dtype=float).reshape(-1, 3).T
            area += 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
        true = patient.coverage[name].sum(dtype=float) / 255 * spacing[0] * spacing[1]
        assert area == pytest.approx(true, rel=0.02)


def test_a_hole_is_cut_out_by_a_keyhole():
    from slicervae.phantom.contours import planar_contours

    share = np.zeros((20, 24), dtype=np.uint8)
    share[3:17, 4:20] = 255
    share[7:11, 8:13] = 0
    (outline,) = planar_contours(share)
    x, y = outline.T
    area = 0.5 * abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1)))
    assert area == pytest.approx(14 * 16 - 4 * 5, abs=1.1)
    assert len(planar_contours(np.eye(8, dtype=np.uint8)[:, ::3] * 255)) == 3, "separate pieces stay separate"
    assert len(planar_contours(np.full((5, 5), 255, dtype=np.uint8))) == 1, "what reaches the edge is closed along it"


def test_the_plan_treats_the_target(cohort, patients):
    for number, patient in patients.items():
        place = folder(cohort, number)
        ds, plan = pydicom.dcmread(place / "RTDOSE.dcm"), pydicom.dcmread(place / "RTPLAN.dcm")
        assert (ds.DoseUnits, ds.DoseSummationType, ds.DoseType) == ("GY", "PLAN", "PHYSICAL")
        dose = ds.pixel_array * float(ds.DoseGridScaling)
        assert len(ds.GridFrameOffsetVector) == len(dose) == SLICES
        prescription = float(plan.DoseReferenceSequence[0].TargetPrescriptionDose)
        spacing, origin, _ = patient.volume.geometry.lps
        first, (dy, dx) = np.array(ds.ImagePositionPatient, dtype=float), map(float, ds.PixelSpacing)
        k, j, i = np.nonzero(patient.volume.masks["PTV"])
        x, y, z = (np.stack([i, j, k], axis=1) * spacing + origin).T
        level = (z - first[2]) / float(ds.GridFrameOffsetVector[1])
        at_target = ndimage.map_coordinates(dose, [level, (y - first[1]) / dy, (x - first[0]) / dx], order=1)
        assert np.percentile(at_target, 5) >= 0.95 * prescription
        assert at_target.min() > 0.8 * prescription
        assert dose.max() < 1.4 * prescription
        assert np.median(dose[dose > 0.01]) < 0.35 * prescription, "most of the body gets little"

        beams = plan.BeamSequence
        group = plan.FractionGroupSequence[0]
        assert 2 <= len(beams) <= 5
        assert group.NumberOfBeams == len(beams)
        given = sum(float(item.BeamDose) for item in group.ReferencedBeamSequence) * group.NumberOfFractionsPlanned
        assert given == pytest.approx(prescription, rel=1e-3)
        isocentre = np.array(beams[0].ControlPointSequence[0].IsocenterPosition, dtype=float)
        assert np.abs(isocentre - [x.mean(), y.mean(), z.mean()]).max() < 8


def test_the_truth_about_lesions_is_kept_on_the_ct_grid(cohort, patients):
    with (cohort / "parameters.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["patient"]: row for row in csv.DictReader(file)}
    assert [rows[f"PHANTOM-{n:04d}"]["lesion_kind"] for n in NUMBERS] == ["none", "nodule", "effusion"]
    assert not (cohort / "truth" / "PHANTOM-0001_lesion.nrrd").exists()
    for number in (2, 3):
        image = sitk.ReadImage(str(cohort / "truth" / f"PHANTOM-{number:04d}_lesion.nrrd"))
        patient = patients[number]
        assert image.GetPixelID() == sitk.sitkUInt8
        assert np.array_equal(sitk.GetArrayFromImage(image) != 0, patient.lesion)
        spacing, origin, _ = patient.volume.geometry.lps
        assert np.allclose(image.GetOrigin(), origin, atol=1e-3)
        assert np.allclose(image.GetSpacing(), spacing, atol=1e-4)
        row = rows[patient.identifier]
        filled = np.argwhere(sitk.GetArrayFromImage(image))[:, ::-1].mean(axis=0)
        where = image.TransformContinuousIndexToPhysicalPoint(filled.tolist())
        assert np.allclose(where, [float(row[f"lesion_{axis}_mm"]) for axis in "xyz"], atol=5)
        assert float(row["lesion_cm3"]) == pytest.approx(patient.parameters["lesion_cm3"])
