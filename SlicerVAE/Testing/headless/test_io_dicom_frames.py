"""Enhanced multi-frame CT and MR give the very volumes that the same slices in files of their own give."""

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import BreastTomosynthesisImageStorage, EnhancedCTImageStorage, EnhancedMRImageStorage, RLELossless

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import discover
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import FRAME_UID, STUDY_UID, save, series_uid, stored_ct, write_series

UPRIGHT = (1, 0, 0, 0, 1, 0)


def group(**values):
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


def write_enhanced(path, stored, *, modality="CT", order=None, each=lambda frame, k: None, edit=lambda dataset: None):
    """One object of the slices ``stored`` (K, J, I), its frames in ``order``."""
    order = np.random.default_rng(3).permutation(len(stored)) if order is None else order
    dataset = Dataset()
    dataset.SOPClassUID = EnhancedCTImageStorage if modality == "CT" else EnhancedMRImageStorage
    dataset.SOPInstanceUID = series_uid(str(path))
    dataset.Modality, dataset.PatientID, dataset.SeriesDescription = modality, "P1", "Enhanced"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, series_uid("enhanced")
    dataset.FrameOfReferenceUID, dataset.SeriesNumber = FRAME_UID, 8
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    shared = Dataset()
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.9, 0.8], SliceThickness=2.5)
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=list(UPRIGHT))
    shared.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=[-100, -120, 40 + 2.5 * int(k)])
        frame.FrameContentSequence = group(StackID="1", InStackPositionNumber=int(k) + 1)
        each(frame, int(k))
        dataset.PerFrameFunctionalGroupsSequence.append(frame)
    dataset.PixelData = stored[order].tobytes()
    edit(dataset)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(dataset, path)
    return path


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_volume(path)
    return str(caught.value)


def test_an_enhanced_ct_equals_its_slices(tmp_path):
    stored = stored_ct()
    write_series(tmp_path / "classic", stored)
    path = write_enhanced(tmp_path / "enhanced" / "a.dcm", stored)
    classic, enhanced = read_volume(tmp_path / "classic"), read_volume(path)
    np.testing.assert_array_equal(enhanced.array, classic.array)
    assert enhanced.array.dtype == classic.array.dtype and enhanced.modality is Modality.CT
    assert enhanced.geometry.matches(classic.geometry)
    assert enhanced.source.frame_of_reference_uid == FRAME_UID and enhanced.source.notes == ()
    np.testing.assert_array_equal(read_volume(tmp_path / "enhanced").array, classic.array)


def test_each_frame_has_its_own_rescaling(tmp_path):
    def rescale(frame, k):
        frame.PixelValueTransformationSequence = group(RescaleSlope=0.5 + k, RescaleIntercept=k)

    stored = stored_ct()
    volume = read_volume(write_enhanced(tmp_path / "a.dcm", stored, modality="MR", each=rescale))
    k = np.arange(5)[:, None, None]
    np.testing.assert_allclose(volume.array, stored * (0.5 + k) + k, rtol=1e-6)


def test_stacks_of_one_object_are_told_apart(tmp_path):
    def turn(frame, k):
        if k >= 4:
            frame.PlaneOrientationSequence = group(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
            frame.PlanePositionSequence = group(ImagePositionPatient=[2.0 * k, 0, 0])
            frame.FrameContentSequence = group(StackID="2")

    stored = stored_ct((9, 12, 10))
    path = write_enhanced(tmp_path / "a.dcm", stored, each=turn)
    message = refusal(path)
    assert "axial, CT, 4 slices" in message and "sagittal, CT, 5 slices" in message
    np.testing.assert_array_equal(read_volume(path, series="axial").array, stored[:4].astype(int) - 1024)
    found = discover(tmp_path)
    assert [item.description for item in found] == ["Enhanced (axial)", "Enhanced (sagittal)"]
    assert [item.read().array.shape[0] for item in found] == [4, 5]


def test_echoes_and_time_points_of_one_object_are_told_apart(tmp_path):
    def echo(frame, k):
        frame.PlanePositionSequence = group(ImagePositionPatient=[0, 0, 2.5 * (k % 4)])
        frame.MREchoSequence = group(EffectiveEchoTime=[10.0, 80.0][k // 4])

    def time(frame, k):
        frame.PlanePositionSequence = group(ImagePositionPatient=[0, 0, 2.5 * (k % 4)])
        frame.FrameContentSequence = group(StackID="1", TemporalPositionIndex=k // 4 + 1)

    stored = stored_ct((8, 12, 10))
    path = write_enhanced(tmp_path / "a" / "a.dcm", stored, modality="MR", each=echo)
    volume = read_volume(path, series="echo time 80 ms")
    np.testing.assert_array_equal(volume.array, stored[4:].astype(int) - 1024)
    path = write_enhanced(tmp_path / "b" / "b.dcm", stored, modality="MR", each=time)
    np.testing.assert_array_equal(read_volume(path, series="8, time point 1").array, stored[:4].astype(int) - 1024)


def test_slices_of_a_tomosynthesis_are_no_projections(tmp_path):
    def of_a_breast(dataset):
        dataset.Modality, dataset.SOPClassUID = "MG", BreastTomosynthesisImageStorage

    volume = read_volume(write_enhanced(tmp_path / "a.dcm", stored_ct(), edit=of_a_breast))
    assert volume.array.shape == (5, 12, 10) and volume.modality is Modality.UNKNOWN
    assert volume.geometry.spacing == pytest.approx([0.8, 0.9, 2.5])


def test_a_compressed_object_gives_the_same_values(tmp_path):
    stored = stored_ct()
    path = write_enhanced(tmp_path / "a.dcm", stored)
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless, encoding_plugin="pydicom")
    dataset.save_as(tmp_path / "rle.dcm")
    path.unlink()
    np.testing.assert_array_equal(read_volume(tmp_path / "rle.dcm").array, stored.astype(int) - 1024)


def test_frames_that_are_not_all_described_are_refused(tmp_path):
    def forget(dataset):
        del dataset.PerFrameFunctionalGroupsSequence[-1]

    assert "damaged" in refusal(write_enhanced(tmp_path / "a.dcm", stored_ct(), edit=forget))

    def shorten(dataset):
        dataset.PixelData = dataset.PixelData[:-240]

    assert "cut off" in refusal(write_enhanced(tmp_path / "b" / "b.dcm", stored_ct(), edit=shorten))

    def more(dataset):
        dataset.PixelData += bytes(240)

    assert "cut off" in refusal(write_enhanced(tmp_path / "c" / "c.dcm", stored_ct(), edit=more))


def test_frames_without_a_place_are_refused(tmp_path):
    def displace(frame, k):
        del frame.PlanePositionSequence

    assert "does not say where its slices lie" in refusal(
        write_enhanced(tmp_path / "a.dcm", stored_ct(), each=displace)
    )
