"""Grey PNG and JPEG pictures become X-ray volumes of one slice, or one sentence."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume

GREY = np.random.default_rng(0).integers(0, 256, (24, 32)).astype(np.uint8)


def save(path: Path, array: np.ndarray) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=array.ndim == 3), str(path))
    return path


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        read_volume(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_grey_picture_is_a_volume_of_one_slice(tmp_path, kind):
    array = GREY.astype(kind) * (1 if kind is np.uint8 else 257)
    volume = read_volume(save(tmp_path / "chest.PNG", array))
    np.testing.assert_array_equal(volume.array, array[None])
    assert volume.array.dtype == kind
    assert volume.modality is Modality.XRAY and not volume.modality_is_inferred
    assert volume.geometry.spacing == pytest.approx([1, 1, 1])
    assert volume.source.name == "chest" and "spacing is unknown" in volume.source.notes[0]


def test_a_jpeg_is_read_as_itk_decodes_it(tmp_path):
    path = save(tmp_path / "chest.jpg", GREY)
    np.testing.assert_array_equal(read_volume(path).array[0], sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


def test_equal_channels_are_grey_and_others_are_not(tmp_path):
    same = np.repeat(GREY[..., None], 3, axis=2)
    np.testing.assert_array_equal(read_volume(save(tmp_path / "rgb.png", same)).array[0], GREY)
    opaque = np.concatenate([same, np.full_like(GREY, 255)[..., None]], axis=2)
    np.testing.assert_array_equal(read_volume(save(tmp_path / "rgba.png", opaque)).array[0], GREY)
    assert "transparency" in refusal(save(tmp_path / "ga.png", opaque[..., 2:]))
    same[3, 4, 1] ^= 1
    assert "in colour" in refusal(save(tmp_path / "colour.png", same))
    opaque[3, 4, 3] = 0
    assert "transparent" in refusal(save(tmp_path / "clear.png", opaque))


def test_other_pictures_and_choices_are_refused(tmp_path):
    assert "grey PNG" in refusal(save(tmp_path / "a.bmp", GREY))
    png = save(tmp_path / "a.png", GREY)
    assert "leave --series out" in refusal(png, series="3")
    assert "leave --frame out" in refusal(png, frame=1)
    cut = tmp_path / "cut.png"
    cut.write_bytes(png.read_bytes()[:200])
    assert "damaged" in refusal(cut)


def test_one_slice_is_enough_for_an_x_ray_only(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(GREY[None]), str(tmp_path / "a.nrrd"))
    assert "single slice" in refusal(tmp_path / "a.nrrd")
    assert read_volume(tmp_path / "a.nrrd", modality=Modality.XRAY).array.shape == (1, 24, 32)
    assert "single slice" in refusal(save(tmp_path / "a.png", GREY), modality=Modality.CT)
