"""NIfTI, NRRD and MetaImage files become volumes on the grid that their headers say, or one sentence."""

import gzip
import os
import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume
from Testing.headless.ordinary_person import ordinary_person, reachable_folder

ARRAY = np.random.default_rng(0).integers(0, 2000, (4, 5, 6)).astype(np.int16)  # I, J, K for NIfTI, K, J, I for ITK


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        read_volume(path, **options)
    message = str(caught.value)
    assert "\n" not in message and str(path) in message
    return message


def save_nifti(path: Path, array: np.ndarray = ARRAY, affine: np.ndarray | None = None) -> Path:
    nibabel.save(nibabel.Nifti1Image(array, np.diag([2, 2, 3, 1.0]) if affine is None else affine), path)
    return path


def test_real_nifti_files_lie_where_nibabel_says(shared_data):
    paths = [*shared_data.glob("totalsegmentator/*"), *shared_data.glob("open_ms/*/patient*[01][17]/*.nii.gz")]
    assert len(paths) > 10
    for path in paths:
        image = nibabel.load(path)
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.geometry.ijk_to_ras, image.affine, err_msg=path.name)
        np.testing.assert_array_equal(volume.array, np.asarray(image.dataobj).T, err_msg=path.name)
        assert volume.array.dtype == image.get_data_dtype(), path.name
        assert volume.source.path == str(path) and volume.source.name == path.name.removesuffix(".nii.gz")


@pytest.mark.parametrize(("sform", "qform"), [(0, 0), (0, 1), (1, 0), (2, 1), (4, 2), (1, 1)])
def test_of_two_affines_the_one_that_nibabel_takes_counts(tmp_path, sform, qform):
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.set_sform([[2, 0, 0, 10], [0, 2, 0, 20], [0, 0, 3, 30], [0, 0, 0, 1]], sform)
    image.set_qform([[-2, 0, 0, 11], [0, 2, 0, 21], [0, 0, 3, 31], [0, 0, 0, 1]], qform)
    nibabel.save(image, tmp_path / "a.nii")
    expected = nibabel.load(tmp_path / "a.nii").affine
    np.testing.assert_array_equal(read_volume(tmp_path / "a.nii").geometry.ijk_to_ras, expected)


def test_scaled_nifti_values_are_applied(tmp_path):
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.header.set_slope_inter(0.5, 3)
    nibabel.save(image, tmp_path / "half.nii")
    stored = np.asarray(nibabel.load(tmp_path / "half.nii").dataobj)
    volume = read_volume(tmp_path / "half.nii")
    np.testing.assert_allclose(volume.array, stored.T, rtol=1e-6)
    assert volume.array.dtype == np.float32


def test_integral_scaling_keeps_hounsfield_units_integers(tmp_path):
    image = nibabel.Nifti1Image(ARRAY, np.eye(4))
    image.header.set_slope_inter(1, -1024)
    image.header["scl_slope"], image.header["scl_inter"] = 1, -1024
    path = tmp_path / "offset.nii"
    nibabel.save(image, path)
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([1, -1024], "<f4").tobytes()
    path.write_bytes(raw)
    stored = nibabel.load(path).dataobj.get_unscaled()
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, stored.T.astype(int) - 1024)
    assert volume.array.dtype == np.int16


@pytest.mark.parametrize("ending", ["nrrd", "nhdr", "mha", "mhd", "NRRD"])
@pytest.mark.parametrize("compressed", [True, False])
def test_itk_formats_keep_values_type_and_place(tmp_path, ending, compressed):
    image = sitk.GetImageFromArray(ARRAY)
    image.SetSpacing((0.7, 0.8, 2.5))
    image.SetOrigin((-10, 20, 30))
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0.3, -0.2, 1.0).GetMatrix())
    path = tmp_path / f"scan.{ending}"
    sitk.WriteImage(image, str(path.with_suffix(path.suffix.lower())), compressed)
    path.with_suffix(path.suffix.lower()).rename(path)
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, ARRAY)
    assert volume.array.dtype == np.int16 and volume.source.name == "scan"
    i, j, k = 3, 2, 1
    x, y, z = image.TransformIndexToPhysicalPoint((i, j, k))
    np.testing.assert_allclose(volume.geometry.ijk_to_ras @ (i, j, k, 1), (-x, -y, z, 1), atol=1e-6)


def test_an_nrrd_in_ras_lies_where_it_says(tmp_path):
    header = (
        "NRRD0005\ntype: short\ndimension: 3\nspace: right-anterior-superior\nsizes: 6 5 4\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nkinds: domain domain domain\nendian: little\nencoding: raw\n"
        "space origin: (10,20,30)\n\n"
    )
    (tmp_path / "ras.nrrd").write_bytes(header.encode() + ARRAY.astype("<i2").tobytes())
    matrix = read_volume(tmp_path / "ras.nrrd").geometry.ijk_to_ras
    np.testing.assert_allclose(matrix, [[2, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]], atol=1e-12)


def test_a_named_modality_is_not_inferred(shared_data):
    path = shared_data / "totalsegmentator" / "chest_abdomen_ct_30slices.nii.gz"
    inferred, named = read_volume(path), read_volume(path, modality=Modality.MR)
    assert (inferred.modality, inferred.modality_is_inferred) == (Modality.CT, True)
    assert (named.modality, named.modality_is_inferred) == (Modality.MR, False)


def test_a_frame_of_a_time_series_can_be_chosen(tmp_path):
    frames = np.stack([ARRAY, ARRAY + 1, ARRAY + 2], axis=3)
    for name in ("t.nii.gz", "t.nii"):
        path = save_nifti(tmp_path / name, frames)
        message = refusal(path)
        assert "4 dimensions" in message and "3 volumes" in message and "--frame 1 to 3" in message
        for frame in (1, 3):
            volume = read_volume(path, frame=frame)
            np.testing.assert_array_equal(volume.array, ARRAY.T + frame - 1)
            assert volume.source.name == f"t frame {frame}"
        assert "has no frame 4" in refusal(path, frame=4) and "has no frame 0" in refusal(path, frame=0)
    assert read_volume(save_nifti(tmp_path / "one.nii"), frame=1).array.shape == (6, 5, 4)
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(tmp_path / "a.nrrd"))
    assert "leave --frame out" in refusal(tmp_path / "a.nrrd", frame=1)
    assert "leave --frame out" in refusal(tmp_path, frame=1)


def test_a_frame_is_scaled_as_the_whole_is(tmp_path):
    image = nibabel.Nifti1Image(np.stack([ARRAY, ARRAY * 2], axis=3).astype(np.float32), np.eye(4))
    image.set_data_dtype(np.int16)
    nibabel.save(image, tmp_path / "t.nii")
    expected = nibabel.load(tmp_path / "t.nii").get_fdata()[..., 1].T
    np.testing.assert_allclose(read_volume(tmp_path / "t.nii", frame=2).array, expected, rtol=1e-6)


def test_affines_that_disagree_are_noted(tmp_path):
    def notes(qform: np.ndarray, sform_code: int = 1, qform_code: int = 1) -> tuple[str, ...]:
        image = nibabel.Nifti1Image(ARRAY, np.eye(4))
        image.set_sform(np.diag([2, 2, 3, 1.0]), sform_code)
        image.set_qform(qform, qform_code)
        nibabel.save(image, tmp_path / "a.nii")
        return read_volume(tmp_path / "a.nii").source.notes

    agreeing, near, apart = (np.diag([2, 2, 3, 1.0]) for _ in range(3))
    near[0, 3], apart[0, 3] = 0.09, 0.11
    assert notes(agreeing) == notes(near) == notes(apart, sform_code=0) == notes(apart, qform_code=0) == ()
    (note,) = notes(apart)
    assert "disagree by 0.11 mm" in note and "sform was taken" in note
    (note,) = notes(agreeing, 0, 0)
    assert "does not say how the image lies" in note


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_sizes_that_do_not_fit_the_file_are_refused(tmp_path, name):
    raw = bytearray(save_nifti(tmp_path / "whole.nii").read_bytes())
    raw[46:48] = np.array([5], "<i2").tobytes()  # of 6 slices
    (tmp_path / name).write_bytes(gzip.compress(bytes(raw)) if name.endswith("gz") else raw)
    assert "damaged" in refusal(tmp_path / name)


def test_a_flipped_bit_in_a_packed_file_never_passes(tmp_path):
    data = save_nifti(tmp_path / "a.nii.gz").read_bytes()
    for place in range(len(data) // 2, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 4
        (tmp_path / "b.nii.gz").write_bytes(changed)
        refusal(tmp_path / "b.nii.gz")


def test_a_time_series_of_one_is_a_volume(tmp_path):
    single = save_nifti(tmp_path / "one.nii.gz", ARRAY[..., None])
    np.testing.assert_array_equal(read_volume(single).array, ARRAY.T)


def test_flat_images_are_refused(tmp_path):
    assert "flat" in refusal(save_nifti(tmp_path / "flat.nii", ARRAY[:, :, 0]))
    assert "single slice" in refusal(save_nifti(tmp_path / "slice.nii", ARRAY[:, :, :1]))
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY[0]), str(tmp_path / "flat.mha"))
    assert "flat" in refusal(tmp_path / "flat.mha")


def test_colour_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6, 3), np.uint8), isVector=True), str(tmp_path / "rgb.nrrd"))
    assert "colour" in refusal(tmp_path / "rgb.nrrd")
    rgb = np.zeros((4, 5, 6), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "colour" in refusal(save_nifti(tmp_path / "rgb.nii", rgb))


def test_values_that_are_no_numbers_are_counted(tmp_path):
    broken = ARRAY.astype(np.float32)
    broken[0, 0, 0], broken[1, 2, 3] = np.nan, np.inf
    assert "holds 2 values that are not finite" in refusal(save_nifti(tmp_path / "nan.nii", broken))
    broken[0, 0, 0] = 0
    assert "holds 1 value that is not finite" in refusal(save_nifti(tmp_path / "inf.nii", broken))


def test_slanted_axes_are_refused(tmp_path):
    slanted = np.array([[2, 0.4, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]])
    assert "right angles" in refusal(save_nifti(tmp_path / "a.nii", affine=slanted))


def test_a_useless_affine_is_refused(tmp_path):
    path = save_nifti(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[280:328] = bytes(48)  # srow_x, srow_y, srow_z
    path.write_bytes(raw)
    assert "no usable spacing or directions" in refusal(path)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "raw.nrrd", "packed.nrrd", "raw.mha", "packed.mha"])
def test_cut_off_files_are_named_and_nothing_else_is_said(tmp_path, name, share, capfd):
    path = tmp_path / name
    array = np.random.default_rng(1).integers(0, 2000, (20, 20, 20)).astype(np.int16)
    if ".nii" in name:
        save_nifti(path, array)
    else:
        sitk.WriteImage(sitk.GetImageFromArray(array), str(path), name.startswith("packed"))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    capfd.readouterr()
    assert "damaged or cut off" in refusal(path)
    assert capfd.readouterr() == ("", "")


def test_a_real_file_cut_off_is_never_read_as_zeros(tmp_path, shared_data):
    data = (shared_data / "totalsegmentator" / "thorax_ct_a.nii.gz").read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(data[: len(data) // 2])
    assert "cut off" in refusal(tmp_path / "half.nii.gz")


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path):
    path = save_nifti(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[42:48] = np.array([30000, 30000, 30000], "<i2").tobytes()
    path.write_bytes(raw)
    refusal(path)
    (tmp_path / "a.nii.gz").write_bytes(gzip.compress(bytes(raw)))
    refusal(tmp_path / "a.nii.gz")


def test_a_header_without_its_data_file_is_refused(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(tmp_path / "a.mhd"))
    (tmp_path / "a.raw").unlink()
    refusal(tmp_path / "a.mhd")


def test_what_is_not_there_or_of_another_kind_is_named(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere.nii")
    (tmp_path / "notes.txt").write_text("nothing")
    assert "kind that can't be read" in refusal(tmp_path / "notes.txt")
    (tmp_path / "words.nrrd").write_text("hello " * 100)
    assert "damaged" in refusal(tmp_path / "words.nrrd")


def test_folders_without_series_say_what_they_hold(tmp_path):
    (tmp_path / "empty").mkdir()
    assert "it is empty" in refusal(tmp_path / "empty")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").touch()
    assert "1 × .txt" in refusal(tmp_path / "texts")
    (tmp_path / "volumes").mkdir()
    save_nifti(tmp_path / "volumes" / "t1.nii.gz")
    assert str(tmp_path / "volumes" / "t1.nii.gz") in refusal(tmp_path / "volumes")


def test_a_series_cannot_be_chosen_from_one_volume(tmp_path):
    assert "leave --series out" in refusal(save_nifti(tmp_path / "a.nii"), series="3")


def test_the_file_is_left_as_it_was(tmp_path):
    path = save_nifti(tmp_path / "a.nii")
    before = path.read_bytes()
    volume = read_volume(path)
    volume.array[...] = 7
    assert path.read_bytes() == before


@pytest.mark.skipif(os.name != "posix", reason="rights are told otherwise there")
def test_a_file_that_may_not_be_read_is_named():
    with reachable_folder() as folder:
        paths = [save_nifti(folder / "a.nii"), folder / "a.mha"]
        sitk.WriteImage(sitk.GetImageFromArray(ARRAY), str(paths[1]))
        for path in paths:
            path.chmod(0)
            with ordinary_person():
                assert "can't be read (Permission denied)" in refusal(path)


def test_slicer_without_nibabel_is_told_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    path = tmp_path / "a.nii"
    path.write_bytes(b"\0" * 400)
    assert "nibabel" in refusal(path)


def test_reading_does_not_import_torch():
    check = "import sys, SlicerVAELib.io.read, SlicerVAELib.io.discover, SlicerVAELib.io.structures\n"
    check += "import SlicerVAELib.io.write, SlicerVAELib.core.modality, SlicerVAELib.core.contours\n"
    check += "sys.exit('torch' in sys.modules)"
    package = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", check], check=True, env={**os.environ, "PYTHONPATH": str(package)})
