"""Tilted, incomplete and doubled stacks become upright and complete ones, with a note, or are refused."""

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import stored_ct, write_series


def refusal(path):
    with pytest.raises(UserError) as caught:
        read_volume(path)
    return str(caught.value)


def tilt(degrees, spacing=2.5, sideways=0.0):
    """Moves slice k along the table rather than along its normal."""

    def edit(dataset, k):
        shift = k * spacing * np.tan(np.radians(degrees))
        dataset.ImagePositionPatient = [sideways * k, round(shift, 6), k * spacing]

    return edit


def test_a_whole_shift_moves_pixels_and_adds_the_lowest_value(tmp_path):
    stored = stored_ct((6, 12, 10))
    angle = np.degrees(np.arctan(0.9 / 2.5))  # one pixel of 0.9 mm a slice
    write_series(tmp_path, stored, edit=tilt(angle))
    volume = read_volume(tmp_path)
    expected = np.full((6, 17, 10), int(stored.min()) - 1024)
    for k in range(6):
        expected[k, k : k + 12] = stored[k].astype(int) - 1024
    np.testing.assert_allclose(volume.array, expected, atol=1)
    assert volume.array.dtype == np.int16
    (note,) = volume.source.notes
    assert "tilted by 19.8 degrees" in note
    spacing, origin, _ = volume.geometry.lps
    assert spacing == pytest.approx([0.8, 0.9, 2.5]) and origin == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(("degrees", "sideways"), [(15, 0.0), (-22, 0.0), (10, 0.33)])
def test_a_tilted_scan_shows_the_body_where_it_is(tmp_path, degrees, sideways):
    """A smooth body sampled on the tilted slices comes back at its own place on the upright grid."""
    spacing, shape = (0.8, 0.9, 2.5), (8, 40, 36)

    def body(x, y, z):
        return 1000 + 400 * np.sin(x / 7) * np.cos(y / 9) + 30 * z

    k, j, i = np.meshgrid(*map(np.arange, shape), indexing="ij")
    slope = np.tan(np.radians(degrees))
    stored = np.rint(body(i * 0.8 + sideways * k, j * 0.9 + k * 2.5 * slope, k * 2.5)).astype(np.uint16)
    write_series(tmp_path, stored, intercept=0, spacing=spacing, edit=tilt(degrees, sideways=sideways))
    volume = read_volume(tmp_path)
    k, j, i = np.meshgrid(*map(np.arange, volume.geometry.shape), indexing="ij")
    x, y, z, _ = np.moveaxis(np.stack([i, j, k, np.ones_like(i)], axis=-1) @ volume.geometry.ijk_to_ras.T, -1, 0)
    seen = volume.array > volume.array.min() + 1
    inner = seen.copy()
    inner[:, 1:-1, 1:-1] = seen[:, :-2, 1:-1] & seen[:, 2:, 1:-1] & seen[:, 1:-1, :-2] & seen[:, 1:-1, 2:]
    inner[:, [0, -1]], inner[:, :, [0, -1]] = False, False
    assert inner.sum() > 0.8 * stored.size
    np.testing.assert_allclose(volume.array[inner], body(-x, -y, z)[inner], atol=4)


def test_a_tilt_equals_simpleitk_resampling_of_each_slice(tmp_path):
    stored = stored_ct((5, 12, 10))
    write_series(tmp_path, stored, edit=tilt(12))
    volume = read_volume(tmp_path)
    slope = np.tan(np.radians(12))
    for k in range(5):
        image = sitk.GetImageFromArray(stored[k].astype(np.float64) - 1024)
        image.SetSpacing((0.8, 0.9))
        image.SetOrigin((0, k * 2.5 * slope))
        grid = sitk.Image(volume.array.shape[2], volume.array.shape[1], sitk.sitkFloat64)
        grid.SetSpacing((0.8, 0.9))
        resampled = sitk.GetArrayFromImage(sitk.Resample(image, grid, sitk.Transform(), sitk.sitkLinear, np.nan))
        inside = np.isfinite(resampled)
        # ITK's border reaches half a pixel out and is repeated there; only what lies between centres is compared.
        rows = (np.arange(volume.array.shape[1]) * 0.9 >= k * 2.5 * slope) & (
            np.arange(volume.array.shape[1]) * 0.9 <= k * 2.5 * slope + 11 * 0.9
        )
        inside &= rows[:, None]
        assert inside.sum() >= 11 * 10
        np.testing.assert_allclose(volume.array[k][inside], resampled[inside], atol=0.51)


@pytest.mark.parametrize("wrong", ["one slice", "too steep", "two slices"])
def test_shifts_that_no_gantry_makes_are_refused(tmp_path, wrong):
    def shift(dataset, k):
        y = {"one slice": 3.0 * (k == 3), "too steep": 4.0 * k, "two slices": 0.5 * k}[wrong]
        dataset.ImagePositionPatient = [0, y, 2.5 * k]

    write_series(tmp_path, stored_ct((2 if wrong == "two slices" else 6, 12, 10)), edit=shift)
    assert "shifted sideways" in refusal(tmp_path)


def without(files, *missing):
    for k in missing:
        files[k].unlink()


@pytest.mark.parametrize("missing", [(7,), (7, 8), (7, 20)])
def test_few_missing_slices_are_interpolated(tmp_path, missing):
    stored = stored_ct((40, 6, 5))
    without(write_series(tmp_path, stored), *missing)
    volume = read_volume(tmp_path)
    values = stored.astype(float) - 1024
    expected = values.copy()
    present = [k for k in range(40) if k not in missing]
    for k in missing:
        low, high = max(p for p in present if p < k), min(p for p in present if p > k)
        expected[k] = values[low] + (values[high] - values[low]) * (k - low) / (high - low)
    np.testing.assert_allclose(volume.array, expected, atol=0.5 + 1e-9)
    np.testing.assert_array_equal(volume.array[present], expected[present])
    assert volume.array.dtype == np.int16 and volume.geometry.spacing[2] == pytest.approx(2.5)
    notes = volume.source.notes
    assert len(notes) == (1 if missing == (7, 8) else len(missing))
    first = (
        "2 missing slices between S 55 mm and S 62.5 mm were" if missing == (7, 8) else "1 missing slice between S 55"
    )
    assert notes[0].startswith(first) and notes[0].endswith("interpolated")


@pytest.mark.parametrize("missing", [(7, 8, 9), (7, 15, 23)])
def test_many_missing_slices_are_refused(tmp_path, missing):
    without(write_series(tmp_path, stored_ct((40, 4, 4))), *missing)
    assert "lacks" in refusal(tmp_path) and "S 5" in refusal(tmp_path)


def test_a_tilted_scan_may_lack_a_slice(tmp_path):
    stored = np.full((30, 12, 10), 1500, np.uint16)
    without(write_series(tmp_path, stored, edit=tilt(12)), 11)
    volume = read_volume(tmp_path)
    assert volume.array.shape[0] == 30 and len(volume.source.notes) == 2
    assert (volume.array[11] == 476).any()


def test_a_doubled_slice_of_another_scale_is_no_double(tmp_path):
    files = write_series(tmp_path, stored_ct())
    dataset = pydicom.dcmread(files[2])
    dataset.RescaleIntercept = -1000
    dataset.save_as(tmp_path / "copy.dcm")
    assert "twice with different pixels" in refusal(tmp_path)


def test_a_series_copied_twice_is_read_once(tmp_path):
    for folder in ("a", "b"):
        write_series(tmp_path / folder, stored_ct())
    volume = read_volume(tmp_path)
    assert volume.source.notes == ("5 slices that the series holds twice were dropped",)
    assert isinstance(volume.geometry, Geometry) and volume.array.shape == (5, 12, 10)


def test_slices_all_at_one_place_are_refused(tmp_path):
    def flatten(dataset, k):
        dataset.ImagePositionPatient = [0, 0, 0]

    write_series(tmp_path, np.zeros((3, 4, 4), np.uint16), edit=flatten)
    assert "all its slices at one place" in refusal(tmp_path)
