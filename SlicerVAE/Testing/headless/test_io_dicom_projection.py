"""Projection X-ray images are volumes of one slice."""

import shutil

import numpy as np
import pydicom.data
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import put_pixels, stored_ct, write_projection

PIXELS = stored_ct((1, 30, 20))


@pytest.mark.parametrize("modality", ["CR", "DX", "XA", "MG", "RF"])
def test_a_projection_is_a_volume_of_one_slice(tmp_path, modality):
    path = write_projection(tmp_path, modality=modality)
    for place in (path, tmp_path):
        volume = read_volume(place)
        np.testing.assert_array_equal(volume.array, PIXELS)
        assert volume.modality is Modality.XRAY
        spacing, origin, direction = volume.geometry.lps
        assert spacing == pytest.approx([0.1, 0.2, 1]) and origin == pytest.approx([0, 0, 0])
        np.testing.assert_array_equal(direction, np.eye(3))
        assert "spacing is that on the detector" in volume.source.notes[0]


def test_a_calibrated_spacing_comes_first_and_none_is_noted(tmp_path):
    def calibrate(dataset):
        dataset.PixelSpacing = [0.15, 0.08]

    volume = read_volume(write_projection(tmp_path / "a", edit=calibrate))
    assert volume.geometry.spacing == pytest.approx([0.08, 0.15, 1]) and volume.source.notes == ()
    volume = read_volume(write_projection(tmp_path / "b", edit=lambda dataset: delattr(dataset, "ImagerPixelSpacing")))
    assert volume.geometry.spacing == pytest.approx([1, 1, 1]) and "unknown" in volume.source.notes[0]


def test_two_views_are_two_images(tmp_path):
    write_projection(tmp_path / "pa", number=1)
    side = write_projection(tmp_path / "lat", number=2, pixels=stored_ct((1, 30, 20), seed=5))
    with pytest.raises(UserError, match="holds 2 series") as caught:
        read_volume(tmp_path)
    assert all(f"'Thorax', image {number}, DX, 1 slice" in str(caught.value) for number in (1, 2))
    np.testing.assert_array_equal(read_volume(tmp_path, series="3, image 2").array, stored_ct((1, 30, 20), seed=5))
    np.testing.assert_array_equal(read_volume(side).array, stored_ct((1, 30, 20), seed=5))


def test_monochrome1_is_inverted(tmp_path):
    def invert(dataset):
        dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit = "MONOCHROME1", 12, 11

    np.testing.assert_array_equal(read_volume(write_projection(tmp_path, edit=invert)).array, 4095 - PIXELS.astype(int))


def test_films_and_colours_are_refused(tmp_path):
    def film(dataset):
        dataset.NumberOfFrames, dataset.PixelData = 2, dataset.PixelData * 2

    with pytest.raises(UserError, match="film of 2 frames"):
        read_volume(write_projection(tmp_path / "film", modality="XA", edit=film))
    with pytest.raises(UserError, match="colour"):
        read_volume(
            write_projection(tmp_path / "c", edit=lambda dataset: put_pixels(dataset, np.zeros((4, 4, 3), np.uint8)))
        )


def test_a_real_projection_is_read(tmp_path):
    real = pydicom.data.get_testdata_file("dicomdirtests/77654033/CR1/6154", download=False)
    shutil.copy(str(real), tmp_path / "a.dcm")
    volume = read_volume(tmp_path)
    assert volume.modality is Modality.XRAY and volume.array.shape[0] == 1 and np.ptp(volume.array) > 0
