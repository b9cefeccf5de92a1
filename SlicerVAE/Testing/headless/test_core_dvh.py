"""Doses on an image's grid, and the dose–volume histograms of structures: against closed forms, and for any input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from SlicerVAELib.core.dose import covered_shares, dose_on
from SlicerVAELib.core.dvh import Dvh, dvh
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume

RADIUS = 20.0
VOLUME = 4 / 3 * np.pi * RADIUS**3 / 1000


def grid(shape=(47, 61, 53), spacing=(0.8, 0.7, 0.9), origin=None, direction=None) -> Geometry:
    """Around the origin by default."""
    if origin is None:
        origin = tuple(-(n - 1) / 2 * step for n, step in zip(shape[::-1], spacing, strict=True))
    return Geometry.from_lps(shape, spacing=spacing, origin=origin, direction=direction)


def places(geometry: Geometry) -> np.ndarray:
    """RAS positions (K, J, I, 3) of the voxel centres."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij")
    return np.stack([i, j, k], axis=-1) @ geometry.ijk_to_ras[:3, :3].T + geometry.ijk_to_ras[:3, 3]


def dose_volume(geometry: Geometry, field) -> Volume:
    return Volume(field(places(geometry)).astype(np.float32), geometry, Modality.DOSE)


@pytest.fixture(scope="module")
def sphere() -> tuple[Geometry, np.ndarray]:
    geometry = grid()
    return geometry, np.linalg.norm(places(geometry), axis=-1) <= RADIUS


def rotation() -> np.ndarray:
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    tilt = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
    return turn @ tilt


# --- Dose on a grid --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("direction", [np.eye(3), np.diag([-1.0, -1.0, 1.0]), rotation()])
def test_a_linear_dose_is_the_same_on_every_grid(direction):
    def field(at):
        return 20 + 0.3 * at[..., 0] - 0.2 * at[..., 1] + 0.1 * at[..., 2]

    dose = dose_volume(grid((40, 40, 40), (3.0, 3.0, 2.5)), field)
    target = grid((9, 11, 12), (4.0, 2.0, 5.0), direction=direction, origin=tuple(direction @ (-20, -10, -20)))
    np.testing.assert_allclose(dose_on(dose, target), field(places(target)), atol=2e-5)


def test_a_coarse_image_gets_the_dose_at_its_points_and_no_average():
    field = np.zeros((9, 9, 9), np.float32)
    field[4, 4, 4] = 8
    dose = Volume(field, grid((9, 9, 9), (1.0, 1.0, 1.0)), Modality.DOSE)
    assert dose_on(dose, grid((3, 3, 3), (4.0, 4.0, 4.0)))[1, 1, 1] == 8


def test_there_is_no_dose_outside_of_the_dose_points():
    dose = dose_volume(grid((3, 3, 3), (2.0, 2.0, 2.0)), lambda at: np.full(at.shape[:-1], 5.0))  # −2 to 2 mm
    target = grid((1, 1, 9), (0.8, 1.0, 1.0))  # −3.2 to 3.2 mm
    np.testing.assert_array_equal(np.isfinite(dose_on(dose, target))[0, 0], [0, 0, 1, 1, 1, 1, 1, 0, 0])


def test_rounding_of_the_outermost_dose_points_loses_no_slice():
    shifted = grid((3, 3, 3), (2.0, 2.0, 2.0), origin=(-2.0, -2.0, -1.999))
    dose = dose_volume(shifted, lambda at: np.full(at.shape[:-1], 5.0))
    assert np.isfinite(dose_on(dose, grid((3, 3, 3), (2.0, 2.0, 2.0)))).all()


def test_the_input_stays_as_it_was():
    dose = dose_volume(grid((4, 4, 4), (2.0, 2.0, 2.0)), lambda at: at[..., 0])
    before = dose.array.copy()
    dose.array.flags.writeable = False
    dose_on(dose, grid((6, 6, 6), (1.0, 1.0, 1.0)))
    np.testing.assert_array_equal(dose.array, before)


def test_an_image_is_no_dose():
    image = Volume(np.zeros((4, 4, 4)), grid((4, 4, 4)), Modality.CT, source=Source(name="Thorax"))
    with pytest.raises(UserError, match="Thorax is not a dose"):
        dose_on(image, image.geometry)


def test_the_share_that_the_dose_covers():
    dose = np.full((2, 2, 5), np.nan, np.float32)
    dose[..., :3] = 1
    left, all_of_it = np.zeros(dose.shape, bool), np.ones(dose.shape, bool)
    left[..., 2:4] = True
    masks = {"half": left, "all": all_of_it, "none": np.zeros(dose.shape, bool)}
    assert covered_shares(dose, masks) == {"half": 0.5, "all": 0.6, "none": 0.0}


# --- Closed forms ----------------------------------------------------------------------------------------------------
def test_a_sphere_in_a_linear_gradient(sphere):
    geometry, mask = sphere
    dose = 30 + 0.5 * places(geometry)[..., 0]
    histogram = dvh(dose, mask, geometry.voxel_volume_cm3)
    assert histogram.volume_cm3 == pytest.approx(VOLUME, rel=2e-3)
    assert histogram.mean_gy == pytest.approx(30, abs=1e-3)
    assert histogram.max_gy == pytest.approx(40, abs=0.5 * 0.8) and histogram.min_gy == pytest.approx(20, abs=0.4)
    for x in (-15.3, -7.1, 0.3, 4.7, 12.9, 17.3):  # between the voxels' planes
        cap = np.pi * (RADIUS - x) ** 2 * (2 * RADIUS + x) / 3 / 1000
        layer = np.pi * (RADIUS**2 - x**2) * 0.8 / 2 / 1000
        assert histogram.volume_at(30 + 0.5 * x) == pytest.approx(cap, abs=layer + 2e-3 * VOLUME)
        assert histogram.percent_at(30 + 0.5 * x) == pytest.approx(100 * cap / VOLUME, abs=100 * layer / VOLUME + 0.4)
        assert histogram.dose_to_cm3(cap) == pytest.approx(30 + 0.5 * x, abs=0.25)


def test_a_sphere_in_a_radial_dose(sphere):
    geometry, mask = sphere
    dose = 60 * (1 - np.linalg.norm(places(geometry), axis=-1) / (2 * RADIUS))
    histogram = dvh(dose.astype(np.float32), mask, geometry.voxel_volume_cm3)
    assert histogram.mean_gy == pytest.approx(60 * (1 - 3 / 8), rel=1e-3)  # the mean distance is 3/4 of the radius
    for percent in (2, 50, 95, 98):
        expected = 60 * (1 - (percent / 100) ** (1 / 3) / 2)
        assert histogram.dose_to_percent(percent) == pytest.approx(expected, abs=0.05)
    assert histogram.dose_to_cm3(0.03) == pytest.approx(60 * (1 - (0.03 / VOLUME) ** (1 / 3) / 2), abs=0.3)
    assert histogram.volume_at(45) == pytest.approx(VOLUME / 8, rel=5e-3)
    d2, d50, d98 = (60 * (1 - share ** (1 / 3) / 2) for share in (0.02, 0.5, 0.98))
    assert histogram.homogeneity == pytest.approx((d2 - d98) / d50, abs=2e-3)


# --- Definitions -----------------------------------------------------------------------------------------------------
def of(*doses: float, voxel_cm3: float = 0.1) -> Dvh:
    array = np.array(doses, np.float32)[None, None]
    return dvh(array, np.ones(array.shape, bool), voxel_cm3)


def test_ten_voxels_by_hand():
    histogram = of(*range(1, 11))
    assert [histogram.dose_to_percent(p) for p in (2, 10, 11, 50, 95, 100)] == [10, 10, 9, 6, 1, 1]
    assert [histogram.dose_to_cm3(v) for v in (0.03, 0.1, 0.11, 1.0)] == [10, 10, 9, 1]
    assert histogram.volume_at(6) == pytest.approx(0.5) and histogram.percent_at(6.01) == pytest.approx(40)
    assert histogram.volume_at(10.5) == 0 and histogram.percent_at(0) == pytest.approx(100)


def test_at_least_means_at_least_whatever_the_decimals():
    assert of(0.1, 0.7, 45.1).percent_at(45.1) == pytest.approx(100 / 3)
    assert of(0.1, 0.7, 45.1).percent_at(0.7) == pytest.approx(200 / 3)


def test_the_hottest_bit_of_a_smaller_structure_has_no_meaning():
    histogram = of(3, 4, voxel_cm3=0.01)
    assert histogram.dose_to_cm3(0.03) is None and histogram.statistics().d0_03cc_gy is None


def test_a_uniform_dose_is_homogeneous_and_no_dose_is_neither():
    assert of(2, 2, 2).homogeneity == 0
    assert of(0, 0, 0).homogeneity is None


@pytest.mark.parametrize("percent", [0, -1, 101])
def test_a_share_beyond_the_whole_is_a_mistake(percent):
    with pytest.raises(ValueError, match="percentage"):
        of(1, 2).dose_to_percent(percent)


def test_what_the_dose_does_not_cover_counts_as_uncovered_only():
    dose = np.array([[[1, 2, 3, np.nan]]], np.float32)
    histogram = dvh(dose, np.ones(dose.shape, bool), 0.5)
    assert histogram.covered_share == 0.75 and histogram.volume_cm3 == 1.5
    assert histogram.mean_gy == 2 and histogram.min_gy == 1


def test_voxels_that_belong_in_part_count_in_part():
    dose = np.array([[[10, 20]]], np.float32)
    histogram = dvh(dose, np.array([[[0.25, 0.75]]]), 2.0)
    assert histogram.volume_cm3 == 2 and histogram.mean_gy == 17.5
    assert histogram.dose_to_percent(75) == 20 and histogram.dose_to_percent(76) == 10


@pytest.mark.parametrize(("marked", "why"), [(False, "no voxel;"), (True, "no voxel that the dose covers")])
def test_a_structure_without_dose_is_refused(marked, why):
    with pytest.raises(UserError, match=f"Heart has {why}"):
        dvh(np.full((2, 2, 2), np.nan), np.full((2, 2, 2), marked), 1.0, "Heart")


def test_the_curve_is_exact_at_its_doses():
    histogram = of(0.5, 1.0, 1.2, 3.0)
    curve = histogram.curve(bin_width_gy=0.5)
    np.testing.assert_allclose(curve.dose_gy, np.arange(8) * 0.5)
    np.testing.assert_allclose(curve.volume_cm3, [0.4, 0.4, 0.3, 0.1, 0.1, 0.1, 0.1, 0.0], atol=1e-12)


# --- For any input ---------------------------------------------------------------------------------------------------
SHAPE = (3, 4, 5)
DOSES = hnp.arrays(np.float32, SHAPE, elements=st.floats(0, 80, width=32))
SHARES = hnp.arrays(np.float64, SHAPE, elements=st.sampled_from([0.0, 0.2, 0.5, 1.0])).filter(lambda a: a.any())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(DOSES, SHARES, st.floats(1e-3, 1))
def test_histograms_hold_together(dose, shares, voxel):
    histogram = dvh(dose, shares, voxel)
    assert histogram.volume_cm3 == pytest.approx(shares.sum() * voxel)
    slack = 1e-9 * (1 + histogram.max_gy)
    assert histogram.min_gy - slack <= histogram.mean_gy <= histogram.max_gy + slack
    percents = np.linspace(0.5, 100, 40)
    doses = [histogram.dose_to_percent(p) for p in percents]
    assert (np.diff(doses) <= 0).all()
    assert doses[-1] == histogram.min_gy and set(doses) <= set(histogram.doses_gy.tolist())
    curve = histogram.curve(1.0)
    assert curve.volume_cm3[0] == pytest.approx(histogram.volume_cm3) and curve.volume_cm3[-1] == 0
    assert (np.diff(curve.volume_cm3) <= 0).all()


@settings(max_examples=150, deadline=None, derandomize=True)
@given(DOSES, SHARES, st.floats(0.01, 1))
def test_dose_and_volume_are_each_others_inverse_within_a_voxel(dose, shares, part):
    # Ranks, so that every dose is there once: a group of voxels with one dose is entered and left as a whole.
    dose = np.argsort(np.argsort(dose.ravel())).reshape(SHAPE).astype(np.float32)
    histogram = dvh(dose, shares, 0.1)
    volume = part * histogram.volume_cm3
    reached = histogram.volume_at(histogram.dose_to_cm3(volume))
    assert volume * (1 - 1e-6) <= reached <= volume + 0.1 + 1e-9
