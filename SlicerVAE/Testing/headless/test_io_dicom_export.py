"""What a model made becomes DICOM that others read: the same numbers, the right references, nobody's samples."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.uid import (
    CTImageStorage,
    MRImageStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    generate_uid,
)

from SlicerVAELib.core.engine import Provenance
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.export.folders import export_outputs, export_samples
from SlicerVAELib.io.export.lettering import burn_in_synthetic
from SlicerVAELib.io.export.results import ModelOutputs, Samples, read_model_outputs, read_samples
from SlicerVAELib.io.export.source import SourceSeries, read_source_series
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import FRAME_UID, STUDY_UID, series_uid, stored_ct, write_series

highdicom = pytest.importorskip("highdicom")

SHA = "0123456789abcdef" * 4
UNIT = "σ of the model (uncalibrated)"
WARNING = "unusual field of view"
OBLIQUE = (0.9, 0.3, -np.sqrt(1 - 0.9), -0.3 / np.sqrt(0.9), 0.9 / np.sqrt(0.9), 0.0)
MAPS = {"residual.dcm": ParametricMapStorage, "anomaly.dcm": ParametricMapStorage}
REGIONS = {"field_of_view.dcm": SegmentationStorage, "anomaly_segmentation.dcm": SegmentationStorage}


def provenance(modality: str = "CT") -> Provenance:
    return Provenance(
        f"tiny {modality}", "1.2", SHA, "SlicerVAE 0.1.0", modality, {"smoothing_mm": "2.0"}, warnings=(WARNING,)
    )


def as_a_clinic_has_it(dataset: Dataset, k: int) -> None:
    """What scanners write and the small series leaves out."""
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.PatientName, dataset.PatientBirthDate, dataset.PatientSex = "Müller^Jürgen", "19500101", "M"
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20250102", "101500", "7", "A1"
    dataset.ReferringPhysicianName, dataset.PositionReferenceIndicator = "", ""
    dataset.Manufacturer, dataset.ManufacturerModelName = "Maker", "Scanner 3"
    dataset.AcquisitionNumber, dataset.SliceThickness, dataset.PatientPosition = 1, "2.5", "HFS"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.add_new(0x00091001, "LO", "a private note")
    if dataset.Modality == "CT":
        dataset.KVP, dataset.BitsStored, dataset.HighBit = "120", 12, 11
        dataset.WindowCenter, dataset.WindowWidth = "40", "400"
    else:
        del dataset.RescaleSlope, dataset.RescaleIntercept
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "NONE", ""
        dataset.MRAcquisitionType, dataset.EchoTime, dataset.RepetitionTime = "2D", "20", "500"
        dataset.EchoTrainLength = 1


def outputs_for(source: SourceSeries, values: np.ndarray, modality: str = "CT") -> ModelOutputs:
    """Maps as a model makes them: the first row was not seen, voxel (2, 5, 4) stands out."""
    rng = np.random.default_rng(5)
    seen = np.ones(values.shape, np.uint8)
    seen[:, 0] = 0
    anomaly = rng.gamma(2, 0.3, values.shape).astype(np.float32).clip(max=2.5)
    anomaly[2, 5, 4] = 4.25
    arrays = {
        "reconstruction": (values + rng.normal(0, 20, values.shape)).astype(np.float32),
        "residual": np.where(seen, rng.normal(0, 20, values.shape), 0).astype(np.float32),
        "anomaly": np.where(seen, anomaly, -1).astype(np.float32),
        "field_of_view": seen,
    }
    unit = "HU" if modality == "CT" else ""
    return ModelOutputs(arrays, source.geometry, unit, UNIT, provenance(modality), source.uid, "the result")


@pytest.fixture(scope="module", params=["CT", "MR"])
def exported(request, tmp_path_factory):
    """A series, what a model made of it, and the folder of the export: an upright CT, an oblique MR."""
    modality = request.param
    root = tmp_path_factory.mktemp(modality)
    orientation = OBLIQUE if modality == "MR" else (1, 0, 0, 0, 1, 0)
    write_series(
        root / "in", stored_ct(), modality=modality, orientation=orientation, edit=as_a_clinic_has_it, patient="P7"
    )
    source = read_source_series(root / "in")
    outputs = outputs_for(source, read_volume(root / "in").array, modality)
    export_outputs(outputs, source, root / "out", threshold=3.0)
    return source, outputs, root


def read(root: Path, name: str) -> Dataset:
    return pydicom.dcmread(root / "out" / name)


def slices(root: Path) -> list[Dataset]:
    return [pydicom.dcmread(path) for path in sorted((root / "out" / "reconstruction").iterdir())]


def validate(files: list[Path]) -> None:
    validator = shutil.which("dciodvfy")
    if validator is None:
        assert not os.environ.get("CI"), "dciodvfy (Debian's dicom3tools) must be installed in CI"
        pytest.skip("dciodvfy is not installed; it comes with Debian's dicom3tools")
    for file in files:
        outcome = subprocess.run([validator, str(file)], capture_output=True, text=True, check=False)
        said = outcome.stdout + outcome.stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], f"{file}: {said}"
        assert outcome.returncode == 0
        kinds = ("CTImage", "MRImage", "ParametricMap", "Segmentation", "SCImage")
        assert any(line in kinds for line in said.splitlines()), said


def test_the_validator_finds_no_errors(exported):
    *_, root = exported
    files = sorted((root / "out").rglob("*.dcm"))
    assert {file.name for file in files} >= {"0001.dcm", *MAPS, *REGIONS}
    validate(files)


def order(dataset: Dataset, source: SourceSeries) -> list[int]:
    """Which frame lies at each slice of the source; an object may have its frames in any order."""
    frames = dataset.PerFrameFunctionalGroupsSequence
    places = [list(frame.PlanePositionSequence[0].ImagePositionPatient) for frame in frames]
    return [places.index(list(original.ImagePositionPatient)) for original in source.slices]


def test_maps_come_back_float_exact_with_their_unit(exported):
    source, outputs, root = exported
    for name in ("residual", "anomaly"):
        dataset = read(root, f"{name}.dcm")
        assert dataset.SOPClassUID == ParametricMapStorage
        assert dataset.pixel_array.dtype == np.float32
        assert np.array_equal(dataset.pixel_array[order(dataset, source)], outputs.arrays[name])
    anomaly = read(root, "anomaly.dcm")
    assert anomaly.FloatPixelPaddingValue == -1
    (mapping,) = anomaly.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert (mapping.RealWorldValueSlope, mapping.RealWorldValueIntercept) == (1, 0)
    assert mapping.DoubleFloatRealWorldValueFirstValueMapped == 0
    assert mapping.DoubleFloatRealWorldValueLastValueMapped == 4.25
    assert (mapping.LUTExplanation, mapping.MeasurementUnitsCodeSequence[0].CodeValue) == (UNIT, "1")
    assert mapping.MeasurementUnitsCodeSequence[0].CodeMeaning == UNIT
    (mapping,) = read(root, "residual.dcm").SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.MeasurementUnitsCodeSequence[0].CodeValue == ("[hnsf'U]" if outputs.unit else "[arb'U]")


def test_every_frame_of_a_map_lies_where_its_slice_does(exported):
    source, _, root = exported
    for name in MAPS:
        dataset = read(root, name)
        shared = dataset.SharedFunctionalGroupsSequence[0]
        first = source.slices[0]
        assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == first.ImageOrientationPatient
        assert shared.PixelMeasuresSequence[0].PixelSpacing == first.PixelSpacing
        assert shared.PixelMeasuresSequence[0].SpacingBetweenSlices == pytest.approx(2.5)
        assert dataset.NumberOfFrames == len(source.slices)
        for number, original in zip(order(dataset, source), source.slices, strict=True):
            frame = dataset.PerFrameFunctionalGroupsSequence[number]
            (reference,) = frame.DerivationImageSequence[0].SourceImageSequence
            assert reference.ReferencedSOPInstanceUID == original.SOPInstanceUID


def test_a_folder_with_maps_beside_the_series_is_still_that_series(exported, tmp_path):
    _, _, root = exported
    shutil.copytree(root / "in", tmp_path / "study")
    for name in (*MAPS, *REGIONS):
        shutil.copy(root / "out" / name, tmp_path / "study" / name)
    np.testing.assert_array_equal(read_volume(tmp_path / "study").array, read_volume(root / "in").array)
    with pytest.raises(UserError, match="is a parametric map, not an image"):
        read_volume(tmp_path / "study" / "residual.dcm")


def test_the_threshold_becomes_the_segment_anomaly(exported):
    _, outputs, root = exported
    segmentation = highdicom.seg.segread(root / "out" / "anomaly_segmentation.dcm")
    (segment,) = segmentation.SegmentSequence
    assert (segment.SegmentLabel, segment.SegmentAlgorithmType) == ("Anomaly", "AUTOMATIC")
    (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
    assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("SlicerVAE", "0.1.0")
    assert f"Threshold=above 3, {UNIT}" in algorithm.AlgorithmParameters
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "49755003"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Abnormality"
    assert segmentation.SegmentationType == "BINARY"
    expected = outputs.arrays["anomaly"] > 3
    assert expected.sum() == 1
    assert np.array_equal(frames_of(segmentation, expected), expected)
    field = highdicom.seg.segread(root / "out" / "field_of_view.dcm")
    seen = outputs.arrays["field_of_view"] != 0
    assert np.array_equal(frames_of(field, seen), seen)


def frames_of(segmentation, like: np.ndarray) -> np.ndarray:
    """The segment on the source's grid; slices without it are not stored."""
    uids = [str(uid) for _, _, uid in segmentation.get_source_image_uids()]
    mask = segmentation.get_pixels_by_source_instance(uids, combine_segments=True)
    assert mask.shape == like.shape
    return mask != 0


def test_all_objects_refer_to_their_source_and_its_patient(exported):
    source, _, root = exported
    for name in (*MAPS, *REGIONS):
        dataset = read(root, name)
        (series,) = dataset.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == series_uid("a")
        referenced = [item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence]
        assert referenced == [header.SOPInstanceUID for header in source.slices]
    for dataset, original in zip(slices(root), source.slices, strict=True):
        (image,) = dataset.SourceImageSequence
        assert image.ReferencedSOPInstanceUID == original.SOPInstanceUID
        assert image.ReferencedSOPClassUID == original.SOPClassUID == dataset.SOPClassUID
        assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == series_uid("a")
    everything = [*slices(root), *(read(root, name) for name in (*MAPS, *REGIONS))]
    assert len({dataset.SOPInstanceUID for dataset in everything}) == len(everything)
    assert len({dataset.SeriesInstanceUID for dataset in everything}) == 5
    for dataset in everything:
        assert dataset.SeriesInstanceUID != series_uid("a")
        assert (dataset.StudyInstanceUID, dataset.FrameOfReferenceUID) == (STUDY_UID, FRAME_UID)
        assert (dataset.PatientID, str(dataset.PatientName)) == ("P7", "Müller^Jürgen")
        assert dataset.SeriesDescription.startswith("RESEARCH ")


def test_all_objects_name_the_model_and_the_scanner(exported):
    *_, root = exported
    for dataset in [*slices(root), *(read(root, name) for name in (*MAPS, *REGIONS))]:
        assert dataset.ManufacturerModelName.startswith("tiny ")
        assert dataset.ManufacturerModelName.endswith(" 1.2")
        assert (dataset.DeviceSerialNumber, dataset.SoftwareVersions) == (SHA, "SlicerVAE 0.1.0")
        contributions = {item.Manufacturer: item for item in dataset.ContributingEquipmentSequence}
        assert contributions["Maker"].PurposeOfReferenceCodeSequence[0].CodeMeaning == "Acquisition Equipment"
        assert WARNING in contributions["SlicerVAE"].ContributionDescription
        assert "smoothing_mm=2.0" in contributions["SlicerVAE"].ContributionDescription
    assert "1.2" in read(root, "anomaly.dcm").ContentDescription


def test_the_reconstruction_has_the_geometry_and_the_steps_of_its_source(exported):
    source, outputs, root = exported
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(root / "out" / "reconstruction")))
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry.from_lps(
        array.shape, spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=image.GetDirection()
    )
    assert geometry.matches(source.geometry)
    low, high = (-1024, 3071) if outputs.unit else (0, 65535)
    assert np.array_equal(array, np.rint(outputs.arrays["reconstruction"]).clip(low, high))
    first, original = slices(root)[0], source.slices[0]
    assert first.ImageType[:2] == ["DERIVED", "SECONDARY"]
    assert first.SOPClassUID == (CTImageStorage if outputs.unit else MRImageStorage)
    assert "tiny" in first.DerivationDescription
    assert (first.BitsStored, first.get("RescaleIntercept")) == (original.BitsStored, original.get("RescaleIntercept"))
    assert 0x00091001 not in first


def test_signed_pixels_and_a_slope_are_kept(tmp_path):
    stored = np.random.default_rng(1).integers(-300, 300, (4, 6, 5)).astype(np.int16)
    write_series(tmp_path / "in", stored, slope=2.5, intercept=10.0)
    source = read_source_series(tmp_path / "in")
    values = read_volume(tmp_path / "in").array
    outputs = outputs_for(source, values)
    outputs.arrays["reconstruction"][:] = values + 1  # less than half a step
    export_outputs(outputs, source, tmp_path / "out")
    first = pydicom.dcmread(tmp_path / "out" / "reconstruction" / "0001.dcm")
    assert np.array_equal(first.pixel_array, stored[0])
    assert (first.PixelRepresentation, first.RescaleSlope, first.RescaleIntercept) == (1, 2.5, 10)
    assert not (tmp_path / "out" / "anomaly_segmentation.dcm").exists()


def test_headers_that_say_little_are_enough(tmp_path):
    """No birth date, study date, manufacturer: what de-identification leaves."""

    def without(dataset: Dataset, k: int) -> None:
        del dataset.PatientName, dataset.BodyPartExamined

    write_series(tmp_path / "in", stored_ct(), edit=without)
    source = read_source_series(tmp_path / "in")
    exported = export_outputs(outputs_for(source, stored_ct()), source, tmp_path / "out", threshold=3)
    assert len(exported.files) == 5 + 4
    dataset = pydicom.dcmread(tmp_path / "out" / "anomaly.dcm")
    assert (dataset.PatientID, str(dataset.PatientName)) == ("P1", "")
    validate(list(exported.files))


def test_nothing_above_the_threshold_is_told_and_does_not_read_normal(exported, tmp_path):
    source, outputs, _ = exported
    result = export_outputs(outputs, source, tmp_path / "out", threshold=9)
    assert not (tmp_path / "out" / "anomaly_segmentation.dcm").exists()
    (notice,) = result.notices
    assert "4.25" in notice
    assert "does not mean normal" in notice


def test_another_series_and_another_grid_are_refused(exported, tmp_path):
    source, outputs, _ = exported
    write_series(tmp_path / "in", stored_ct(), name="b", edit=as_a_clinic_has_it)
    other = read_source_series(tmp_path / "in")
    with pytest.raises(UserError, match="made from the series"):
        export_outputs(outputs, other, tmp_path / "out")
    moved = Geometry(source.geometry.shape, np.diag([1, 1, 1.01, 1]) @ source.geometry.ijk_to_ras)
    with pytest.raises(UserError, match="does not lie on the grid"):
        export_outputs(ModelOutputs(**(vars(outputs) | {"geometry": moved})), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_leaves_nothing(exported, tmp_path, monkeypatch):
    source, outputs, _ = exported
    save, count = Dataset.save_as, iter(range(100))

    def save_some(self, *arguments, **options):
        if next(count) == 6:
            raise OSError(28, "No space left on device")
        save(self, *arguments, **options)

    monkeypatch.setattr(Dataset, "save_as", save_some)
    with pytest.raises(UserError, match="full"):
        export_outputs(outputs, source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_files_is_left_alone(exported, tmp_path):
    source, outputs, _ = exported
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(UserError, match="new folder"):
        export_outputs(outputs, source, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


@pytest.mark.parametrize("threshold", [float("nan"), float("inf"), -1.0])
def test_a_threshold_that_no_map_can_pass_is_refused(exported, tmp_path, threshold):
    source, outputs, _ = exported
    with pytest.raises(UserError, match="threshold"):
        export_outputs(outputs, source, tmp_path / "out", threshold=threshold)


def test_without_highdicom_one_sentence_and_no_files(exported, tmp_path, monkeypatch):
    source, outputs, _ = exported
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    with pytest.raises(UserError, match="pip install highdicom"):
        export_outputs(outputs, source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_source_without_frame_of_reference_is_refused(tmp_path):
    write_series(tmp_path, stored_ct(), edit=lambda dataset, k: delattr(dataset, "FrameOfReferenceUID"))
    with pytest.raises(UserError, match="FrameOfReferenceUID"):
        read_source_series(tmp_path)


def test_a_series_that_lacks_a_slice_is_refused(tmp_path):
    """The readers fill a gap in, but there is no file that the slice could refer to."""
    files = write_series(tmp_path, stored_ct((30, 6, 5)))
    files[12].unlink()
    with pytest.raises(UserError, match=r"no file for slice 13 of 30"):
        read_source_series(tmp_path)


def test_headers_that_make_no_sense_are_one_sentence(tmp_path):
    def nonsense(dataset: Dataset, k: int) -> None:
        dataset.SliceThickness = "2.5"
        dataset["SliceThickness"] = RawDataElement(dataset["SliceThickness"].tag, "DS", 4, b"????", 0, False, True)

    write_series(tmp_path / "in", stored_ct(), edit=nonsense)
    source = read_source_series(tmp_path / "in")
    with pytest.raises(UserError, match="export the original series"):
        export_outputs(outputs_for(source, stored_ct()), source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_neither_ct_nor_mr_is_refused(tmp_path):
    write_series(tmp_path, stored_ct(), modality="PT")
    with pytest.raises(UserError, match="give a CT or MR series"):
        read_source_series(tmp_path)


def test_one_volume_of_a_series_of_several_is_meant(tmp_path):
    """Two echoes lie at the same positions, under one SeriesInstanceUID."""

    def echo(number: int):
        def edit(dataset: Dataset, k: int) -> None:
            as_a_clinic_has_it(dataset, k)
            dataset.EchoNumbers, dataset.EchoTime = number, 20 * number
            dataset.SOPInstanceUID = generate_uid(entropy_srcs=[f"echo {number}", f"slice {k}"])

        return edit

    for number in (1, 2):
        write_series(tmp_path / str(number), stored_ct(), modality="MR", edit=echo(number))
    second = read_source_series(tmp_path, series="3, echo 2")
    assert [header.EchoNumbers for header in second.slices] == [2] * 5
    with pytest.raises(UserError, match="choose one with --series"):
        read_source_series(tmp_path)


def test_an_inverted_image_is_stored_upright(tmp_path):
    def inverted(dataset: Dataset, k: int) -> None:
        as_a_clinic_has_it(dataset, k)
        dataset.PhotometricInterpretation = "MONOCHROME1"

    write_series(tmp_path / "in", stored_ct(), modality="MR", edit=inverted)
    source, values = read_source_series(tmp_path / "in"), read_volume(tmp_path / "in").array
    outputs = outputs_for(source, values, "MR")
    outputs.arrays["reconstruction"][:] = values
    export_outputs(outputs, source, tmp_path / "out")
    assert np.array_equal(read_volume(tmp_path / "out" / "reconstruction").array, values)


@pytest.mark.parametrize(("name", "content"), [("result.json", None), ("result.json", "{"), ("result.json", "[]")])
def test_a_folder_that_is_no_result_is_refused(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_text(content)
    for reading in (read_model_outputs, read_samples):
        with pytest.raises(UserError, match=r"slicervae (reconstruct|sample)' wrote"):
            reading(tmp_path)


def some_samples(modality: str = "CT", size: int = 64) -> Samples:
    rng = np.random.default_rng(2)
    images = rng.normal(0, 1, (3, size, size)).cumsum(axis=1).cumsum(axis=2).astype(np.float32)
    if modality == "MR":
        images = (images - images.min()) / np.ptp(images)
    grid = Geometry.from_lps(images.shape, spacing=(3.0, 3.0, 3.0), origin=(-94.5, -94.5, -3.0))
    return Samples(images, grid, provenance(modality))


@pytest.mark.parametrize("modality", ["CT", "MR"])
def test_samples_belong_to_nobody(modality, tmp_path):
    samples = some_samples(modality)
    export_samples(samples, tmp_path / "out")
    files = sorted((tmp_path / "out").iterdir())
    validate(files)
    written = [pydicom.dcmread(file) for file in files]
    for dataset, marked in zip(written, burn_in_synthetic(samples.images), strict=True):
        assert dataset.SOPClassUID == SecondaryCaptureImageStorage
        assert dataset.ConversionType == "SYN"
        assert dataset.PatientName == "SYNTHETIC^SLICERVAE"
        assert dataset.PatientID.startswith("SYNTHETIC-")
        assert not dataset.PatientBirthDate
        assert dataset.SeriesDescription.startswith("SYNTHETIC ")
        assert dataset.BurnedInAnnotation == "YES"
        assert dataset.DeviceSerialNumber == SHA
        assert "SourceImageSequence" not in dataset
        assert "ReferencedSeriesSequence" not in dataset
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.abs(values - marked).max() <= 0.51 * float(dataset.RescaleSlope)
        assert dataset.RescaleType == ("HU" if modality == "CT" else "US")
    assert [dataset.ImagePositionPatient[2] for dataset in written] == [-3, 0, 3]
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({dataset[keyword].value for dataset in written}) == 1
    export_samples(samples, tmp_path / "again")
    again = pydicom.dcmread(tmp_path / "again" / "0001.dcm")
    assert again.PatientID == written[0].PatientID
    assert again.StudyInstanceUID != written[0].StudyInstanceUID


@pytest.mark.parametrize("size", [32, 64, 128, 256])
def test_the_word_can_be_read_on_every_sample(size):
    images = some_samples(size=size).images
    marked = burn_in_synthetic(images)
    lines, rows = (3, 27) if size < 64 else (1, 9 * max(1, size // 80))
    band = marked[:, :rows]
    assert set(np.unique(band)) == {images.min(), images.max()}
    assert (band == band[0]).all()
    letters = 0
    for line in np.split(band[0] == images.max(), lines):
        inked = np.concatenate([[0], line.any(axis=0), [0]])
        letters += np.count_nonzero(np.diff(inked) == 1)  # no letter touches the next
    assert letters == len("SYNTHETIC")
    assert np.array_equal(marked[:, rows:], images[:, rows:])


def test_images_too_small_for_the_word_are_refused(tmp_path):
    with pytest.raises(UserError, match="too small"):
        export_samples(some_samples(size=16), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
