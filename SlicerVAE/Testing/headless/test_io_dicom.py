"""DICOM series become volumes whose values and geometry can be trusted, or one sentence."""

import os
import shutil
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import RLELossless

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry, Modality
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import (
    FRAME_UID,
    STUDY_UID,
    put_pixels,
    series_uid,
    stored_ct,
    write_series,
    write_structures,
)
from Testing.headless.ordinary_person import ordinary_person, reachable_folder

OBLIQUE = (0.9, 0.3, -np.sqrt(1 - 0.9), -0.3 / np.sqrt(0.9), 0.9 / np.sqrt(0.9), 0.0)


def by_simpleitk(folder: Path) -> tuple[np.ndarray, Geometry]:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    geometry = Geometry.from_lps(
        array.shape, spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=image.GetDirection()
    )
    return array, geometry


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(UserError) as caught:
        read_volume(path, **options)
    return str(caught.value)


def test_hounsfield_units_are_exact_and_slices_lie_by_position(tmp_path):
    stored = stored_ct()
    write_series(tmp_path, stored)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, stored.astype(int) - 1024)
    assert volume.array.dtype == np.int16
    assert volume.modality is Modality.CT and not volume.modality_is_inferred
    assert volume.geometry.spacing == pytest.approx([0.8, 0.9, 2.5])
    assert volume.geometry.origin == pytest.approx([100.0, 120.0, 40.0])


def test_the_source_tells_where_a_volume_comes_from(tmp_path):
    write_series(tmp_path / "scan", stored_ct())
    source = read_volume(tmp_path / "scan").source
    assert (source.name, source.patient, source.description, source.body_part) == ("Thorax", "P1", "Thorax", "CHEST")
    assert (source.study_uid, source.series_uid, source.frame_of_reference_uid) == (
        STUDY_UID,
        series_uid("a"),
        FRAME_UID,
    )
    assert source.path == str(tmp_path / "scan")


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (-1, 0, 0, 0, 0, -1), (0, 1, 0, 0, 0, -1), OBLIQUE])
def test_geometry_and_values_equal_simpleitk(tmp_path, orientation):
    write_series(tmp_path, stored_ct(), orientation=orientation)
    array, geometry = by_simpleitk(tmp_path)
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.geometry.matches(geometry, tolerance_mm=1e-4)


@settings(max_examples=15, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-np.pi, np.pi)] * 3),
    spacing=st.tuples(*[st.floats(0.3, 6).map(lambda v: round(v, 4))] * 3),
    origin=st.tuples(*[st.floats(-500, 500).map(lambda v: round(v, 3))] * 3),
)
def test_any_orientation_equals_simpleitk(tmp_path_factory, angles, spacing, origin):
    folder = tmp_path_factory.mktemp("series")
    turn = np.array(sitk.Euler3DTransform((0, 0, 0), *angles).GetMatrix()).reshape(3, 3)
    stored = stored_ct((3, 4, 5))
    write_series(folder, stored, orientation=(*turn[:, 0], *turn[:, 1]), spacing=spacing, origin=origin)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, stored.astype(int) - 1024)
    assert volume.geometry.matches(by_simpleitk(folder)[1], tolerance_mm=1e-3)
    shutil.rmtree(folder)


def test_one_file_stands_for_its_series(tmp_path):
    first = write_series(tmp_path, stored_ct(seed=1), name="a")[0]
    write_series(tmp_path, stored_ct(seed=2), name="b")
    volume = read_volume(first)
    assert volume.source.series_uid == series_uid("a") and volume.array.shape == (5, 12, 10)


def test_series_in_subfolders_are_found(tmp_path):
    write_series(tmp_path / "study" / "series", stored_ct())
    assert read_volume(tmp_path).array.shape == (5, 12, 10)


def test_two_series_are_listed_and_one_can_be_chosen(tmp_path):
    write_series(tmp_path, stored_ct(seed=1), name="a", number=3, description="Thorax 3mm")
    write_series(tmp_path, stored_ct((4, 12, 10), seed=2), name="b", number=5, description="Thorax lung", modality="MR")
    message = refusal(tmp_path)
    assert "holds 2 series" in message and "--series" in message
    for shown in ("number 3", "'Thorax 3mm', CT, 5 slices", "number 5", "'Thorax lung', MR, 4 slices"):
        assert shown in message
    assert series_uid("a")[-8:] in message and series_uid("b")[-8:] in message
    for wanted in (series_uid("b"), series_uid("b")[-8:], "5", "thorax LUNG"):
        assert read_volume(tmp_path, series=wanted).source.series_uid == series_uid("b")
    message = refusal(tmp_path, series="17")
    assert "no series '17'" in message and "'Thorax lung'" in message


def test_a_name_that_fits_two_series_is_not_enough(tmp_path):
    write_series(tmp_path, stored_ct(), name="a", number=3)
    write_series(tmp_path, stored_ct(), name="b", number=4)
    message = refusal(tmp_path, series="Thorax")
    assert "2 series called 'Thorax'" in message and "number 4" in message


def test_structure_sets_and_doses_beside_the_series_are_no_choice(tmp_path):
    write_series(tmp_path, stored_ct())
    write_structures(tmp_path / "rs.dcm", [])
    shutil.copy(real_file("rtdose.dcm"), tmp_path)
    shutil.copy(real_file("rtplan.dcm"), tmp_path)
    (tmp_path / "notes.txt").write_text("nothing")
    assert read_volume(tmp_path).source.series_uid == series_uid("a")


def real_file(name: str) -> str:
    path = pydicom.data.get_testdata_file(name)
    assert path
    return str(path)


@pytest.mark.parametrize(
    ("name", "word"), [("rtdose.dcm", "a dose"), ("rtplan.dcm", "a plan"), ("test-SR.dcm", "a report")]
)
def test_what_is_no_image_is_called_by_its_name(tmp_path, name, word):
    shutil.copy(real_file(name), tmp_path)
    assert f"is {word}, not an image" in refusal(tmp_path / name)
    assert f"holds {word}, but no image" in refusal(tmp_path)


def test_a_missing_slice_is_named_by_its_place(tmp_path):
    files = write_series(tmp_path, stored_ct((8, 4, 4)))
    files[3].unlink()
    message = refusal(tmp_path)
    assert "lacks 1 slice between S 45 mm and S 50 mm" in message and "2.5 mm apart" in message
    files[4].unlink()
    assert "lacks 2 slices between S 45 mm and S 52.5 mm" in refusal(tmp_path)


def test_uneven_spacing_is_named_by_its_place(tmp_path):
    def move(dataset, k):
        if k == 5:
            dataset.ImagePositionPatient = [-100, -120, -40 + 5 * 2.5 + 0.9]

    write_series(tmp_path, stored_ct((8, 4, 4)), origin=(-100, -120, -40), edit=move)
    message = refusal(tmp_path)
    assert "unevenly spaced" in message and "3.4 mm between I 30 mm and I 26.6 mm" in message


def test_spacing_that_drifts_is_refused(tmp_path):
    def stretch(dataset, k):
        dataset.ImagePositionPatient = [0, 0, k * 3.0 + max(0, k - 30) * 0.029]

    write_series(tmp_path, stored_ct((60, 2, 2)), edit=stretch)
    assert "drifts from 3.000 to 3.029 mm" in refusal(tmp_path)


def test_positions_rounded_by_the_scanner_are_even(tmp_path):
    def rounded(dataset, k):
        dataset.ImagePositionPatient = [0, 0, round(k * 0.625, 2)]

    write_series(tmp_path, stored_ct((40, 4, 4)), edit=rounded)
    assert read_volume(tmp_path).geometry.spacing[2] == pytest.approx(0.625, abs=1e-3)


def test_doubled_slices_are_dropped_when_they_are_equal_and_named_when_not(tmp_path):
    files = write_series(tmp_path, stored_ct())
    shutil.copy(files[2], tmp_path / "copy.dcm")
    volume = read_volume(tmp_path)
    assert volume.source.notes == ("1 slice that the series holds twice was dropped",)
    np.testing.assert_array_equal(volume.array, stored_ct().astype(int) - 1024)
    dataset = pydicom.dcmread(tmp_path / "copy.dcm")
    dataset.PixelData = stored_ct(seed=1)[0].tobytes()
    dataset.save_as(tmp_path / "copy.dcm")
    message = refusal(tmp_path)
    assert "1 slice position twice with different pixels (first at S 45 mm" in message
    assert "copy.dcm" in message and files[2].name in message


@pytest.mark.parametrize("kept", [-2, 0.5, 700, 140])
def test_a_cut_off_file_is_named(tmp_path, kept):
    files = write_series(tmp_path, stored_ct((6, 64, 64)))
    data = files[0].read_bytes()
    files[0].write_bytes(data[: int(kept * len(data)) if 0 < kept < 1 else kept])
    message = refusal(tmp_path)
    assert str(files[0]) in message and "cut off" in message and "\n" not in message


@pytest.mark.skipif(os.name != "posix", reason="rights are told otherwise there")
def test_a_file_that_may_not_be_read_is_named():
    with reachable_folder() as folder:
        forbidden = write_series(folder, stored_ct())[2]
        forbidden.chmod(0)
        with ordinary_person():
            assert f"{forbidden} can't be read (Permission denied)" in refusal(folder)


def test_an_empty_dicom_file_is_named(tmp_path):
    write_series(tmp_path, stored_ct())
    (tmp_path / "x.dcm").touch()
    assert f"{tmp_path / 'x.dcm'} is damaged" in refusal(tmp_path)


def test_colour_is_refused(tmp_path):
    def paint(dataset, k):
        put_pixels(dataset, np.zeros((12, 10, 3), np.uint8))

    write_series(tmp_path, stored_ct(), edit=paint)
    assert "colour image" in refusal(tmp_path)


def test_a_single_slice_is_refused(shared_data):
    assert "is a single slice (ct.0.dcm), but a volume needs at least two" in refusal(shared_data / "rt")


def test_a_film_is_refused(tmp_path):
    def add_frames(dataset, k):
        dataset.NumberOfFrames = 2
        dataset.PixelData = dataset.PixelData * 2

    write_series(tmp_path, stored_ct((1, 4, 4)), edit=add_frames)
    assert "film of 2 frames" in refusal(tmp_path)


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_slices_without_a_place_are_refused(tmp_path, keyword):
    write_series(tmp_path, stored_ct(), edit=lambda dataset, k: delattr(dataset, keyword))
    assert "does not say where its slices lie" in refusal(tmp_path)


def test_values_keep_their_type_and_become_float_only_where_needed(tmp_path):
    stored = stored_ct()
    write_series(tmp_path / "mr", stored, modality="MR", slope=1, intercept=0)
    write_series(tmp_path / "scaled", stored, modality="MR", slope=0.25, intercept=3)
    write_series(tmp_path / "wide", stored, slope=40, intercept=-5)
    plain, scaled, wide = (read_volume(tmp_path / name).array for name in ("mr", "scaled", "wide"))
    assert plain.dtype == np.uint16 and scaled.dtype == np.float32 and wide.dtype == np.int32
    np.testing.assert_array_equal(plain, stored)
    np.testing.assert_array_equal(scaled, stored * 0.25 + 3)
    np.testing.assert_array_equal(wide, stored.astype(int) * 40 - 5)


def test_each_slice_has_its_own_rescaling(tmp_path):
    def rescale(dataset, k):
        dataset.RescaleSlope = 0.5 + k

    stored = stored_ct()
    write_series(tmp_path, stored, modality="MR", intercept=0, edit=rescale)
    np.testing.assert_allclose(read_volume(tmp_path).array, stored * (0.5 + np.arange(5))[:, None, None], rtol=1e-6)


def test_monochrome1_is_inverted_but_hounsfield_units_are_not(tmp_path):
    def negative(dataset, k):
        dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit = "MONOCHROME1", 12, 11

    stored = stored_ct()
    write_series(tmp_path / "mr", stored, modality="MR", slope=2, intercept=10, edit=negative)
    write_series(tmp_path / "ct", stored, edit=negative)
    np.testing.assert_array_equal(read_volume(tmp_path / "mr").array, (4095 - stored.astype(int)) * 2 + 10)
    np.testing.assert_array_equal(read_volume(tmp_path / "ct").array, stored.astype(int) - 1024)


def test_a_named_modality_wins(tmp_path):
    write_series(tmp_path, stored_ct())
    volume = read_volume(tmp_path, modality=Modality.MR)
    assert volume.modality is Modality.MR and not volume.modality_is_inferred


REAL = "MR_small.dcm"
ENCODED = [
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_padded.dcm",
]


@pytest.mark.parametrize("name", ENCODED)
def test_every_encoding_of_the_same_real_slice_gives_the_same_values(tmp_path, name):
    for place, source in (("plain", REAL), ("encoded", name)):
        (tmp_path / place).mkdir()
        for k in range(2):
            dataset = pydicom.dcmread(real_file(source))
            x, y, z = dataset.ImagePositionPatient
            dataset.ImagePositionPatient = [x, y, z + k]
            dataset.save_as(tmp_path / place / f"{k}.dcm")
    plain, encoded = read_volume(tmp_path / "plain"), read_volume(tmp_path / "encoded")
    np.testing.assert_array_equal(plain.array[0], pydicom.dcmread(real_file(REAL)).pixel_array)
    np.testing.assert_array_equal(plain.array, encoded.array)
    assert plain.geometry.matches(encoded.geometry)


def test_a_cut_off_compressed_file_is_named(tmp_path):
    files = write_series(tmp_path, stored_ct((4, 64, 64)))
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.compress(RLELossless, encoding_plugin="pydicom")
        dataset.save_as(path)
    files[1].write_bytes(files[1].read_bytes()[:-3000])
    assert str(files[1]) in refusal(tmp_path)


def test_a_real_ct_slice_keeps_its_hounsfield_units(tmp_path, shared_data):
    original = pydicom.dcmread(shared_data / "rt" / "ct.0.dcm")
    pixels = original.pixel_array.copy()
    x, y, z = original.ImagePositionPatient
    for k in range(2):
        original.ImagePositionPatient = [x, y, z + 3 * k]
        original.save_as(tmp_path / f"{k}.dcm")
    volume = read_volume(tmp_path)
    np.testing.assert_array_equal(volume.array[1], pixels)
    assert volume.array.dtype == np.int16 and volume.geometry.spacing == pytest.approx([1.074219, 1.074219, 3])


def test_files_without_preamble_are_read(tmp_path):
    for path in write_series(tmp_path, stored_ct()):
        dataset = pydicom.dcmread(path)
        dataset.file_meta = pydicom.dataset.FileMetaDataset()
        pydicom.dcmwrite(path, pydicom.Dataset(dataset), implicit_vr=True, little_endian=True)
    np.testing.assert_array_equal(read_volume(tmp_path).array, stored_ct().astype(int) - 1024)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_gives_a_volume_or_a_sentence(tmp_path, seed):
    rng = np.random.default_rng(seed)
    files = write_series(tmp_path, stored_ct((4, 8, 8)))
    whole = {path: path.read_bytes() for path in files}
    expected = read_volume(tmp_path).geometry
    for _ in range(60):
        path = files[rng.integers(len(files))]
        data = bytearray(whole[path])
        for place in rng.integers(0, len(data), rng.integers(1, 6)):
            data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            volume = read_volume(tmp_path)
        except UserError as error:
            assert len(str(error)) < 2000
        else:
            assert volume.array.ndim == 3 and np.isfinite(volume.geometry.ijk_to_ras).all()
            assert volume.geometry.shape[1:] == expected.shape[1:]
        path.write_bytes(whole[path])
