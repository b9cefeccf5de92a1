"""The window of input values that a model sees."""

import numpy as np
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.records import from_data
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Modality, Volume
from Testing.headless.twins import grid


def pixels_of(array: np.ndarray, intensity) -> np.ndarray:
    volume = Volume(array, grid(array.shape, (2.0, 2.0, 3.0)), Modality.CT)
    stack = prepare(volume, Preprocessing(intensity, array.shape[1], 2.0))
    return stack.pixels[:, 0].flip(1, 2).numpy()  # the stack runs to the left and to the back


def test_hounsfield_units_are_clipped_and_mapped_to_zero_and_one():
    array = np.array([-3024, -1000, -800, -50, 700, 3071], np.int16)[:, None, None] * np.ones((1, 4, 4), np.int16)
    pixels = pixels_of(array, HounsfieldWindow())
    np.testing.assert_allclose(pixels[:, 0, 0], [0, 0, 0, 0.5, 1, 1], atol=1e-6)


def test_mr_is_scaled_by_percentiles_of_the_whole_volume_not_of_a_slice():
    array = np.random.default_rng(0).gamma(2.0, 100.0, (6, 20, 20))
    array[:, :, :8] = 0  # air
    array[3] *= 0.5  # a darker slice stays a darker slice
    low, high = ForegroundPercentiles().window(array)
    ordered = np.sort(array[array > array.mean()])
    assert low == 0
    assert ordered[int(0.99 * len(ordered))] < high <= ordered[-1]
    pixels = pixels_of(array, ForegroundPercentiles())
    np.testing.assert_allclose(pixels, np.clip((array - low) / (high - low), 0, 1), atol=1e-5)


def test_mr_does_not_depend_on_its_arbitrary_unit():
    array = np.random.default_rng(1).gamma(2.0, 100.0, (4, 12, 12))
    np.testing.assert_allclose(
        pixels_of(array, ForegroundPercentiles()), pixels_of(7.3 * array, ForegroundPercentiles()), atol=1e-5
    )


@pytest.mark.parametrize("intensity", [HounsfieldWindow(), ForegroundPercentiles()], ids=lambda i: i.kind)
@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "float64", "bool"])
@pytest.mark.parametrize("value", [0, 1, 1000])
def test_a_constant_image_gives_constant_pixels_in_range(value, dtype, intensity):
    pixels = pixels_of(np.full((3, 6, 6), value).astype(dtype), intensity)
    assert np.ptp(pixels) < 1e-6
    assert 0 <= pixels.min() <= pixels.max() <= 1


@pytest.mark.parametrize("offset", [1e6, -1e6, 3e4])
def test_a_narrow_range_far_from_zero_stays_in_range(offset):
    array = offset + np.random.default_rng(2).random((3, 6, 6)) * 0.1
    pixels = pixels_of(array, ForegroundPercentiles())
    assert 0 <= pixels.min() <= pixels.max() <= 1


@pytest.mark.parametrize(("lower", "upper"), [(700.0, -800.0), (40.0, 40.0)])
def test_a_window_without_width_is_refused(lower, upper):
    data = {"kind": "hounsfield", "lower": lower, "upper": upper}
    with pytest.raises(UserError, match=r"lower.*upper|upper.*lower"):
        from_data(HounsfieldWindow, data, "recipe.yaml, intensity")


def test_the_field_of_view_is_the_side_of_the_square():
    assert Preprocessing(HounsfieldWindow(), 256, 1.5).field_of_view_mm == 384
