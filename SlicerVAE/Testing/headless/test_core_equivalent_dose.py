"""Doses of different fractions in one measure."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from SlicerVAELib.core.dvh import dvh
from SlicerVAELib.core.equivalent_dose import OrganDose, eqd2, eqd2_curve, eqd2_figures
from SlicerVAELib.core.errors import UserError


def test_known_schedules():
    assert float(eqd2(50.0, 25, 3.0)) == pytest.approx(50.0)  # 2 Gy fractions are themselves
    assert float(eqd2(40.05, 15, 10.0)) == pytest.approx(42.29, abs=0.01)  # 2.67 Gy
    assert float(eqd2(54.0, 3, 3.0)) == pytest.approx(226.8)  # 18 Gy


@given(st.floats(0, 100), st.floats(0, 100), st.integers(1, 40), st.floats(0.5, 20))
def test_more_dose_is_more_equivalent_dose(first, second, fractions, alpha_beta):
    low, high = sorted((first, second))
    assert eqd2(low, fractions, alpha_beta) <= eqd2(high, fractions, alpha_beta)


def test_figures_are_those_of_the_equivalent_dose_in_every_voxel():
    rng = np.random.default_rng(0)
    doses = rng.gamma(3, 8, (20, 20, 20)).astype(np.float32)
    mask = np.ones(doses.shape, dtype=bool)
    histogram = dvh(doses, mask, 0.01)
    given_ = histogram.statistics()
    figures = OrganDose(given_.mean_gy, given_.d0_03cc_gy, given_.d2_gy, given_.d50_gy, given_.d95_gy, given_.d98_gy)
    found = eqd2_figures(figures, histogram.curve(0.1), 20, 3.0)
    expected = dvh(eqd2(doses, 20, 3.0).astype(np.float32), mask, 0.01).statistics()
    assert found.mean_gy == pytest.approx(expected.mean_gy, rel=1e-3)
    assert found.d0_03cc_gy == pytest.approx(expected.d0_03cc_gy, rel=1e-5)
    assert (found.d2_gy, found.d98_gy) == pytest.approx((expected.d2_gy, expected.d98_gy), rel=1e-5)
    curve = eqd2_curve(histogram.curve(0.1), 20, 3.0)
    half = float(np.interp(expected.d50_gy, curve.dose_gy, curve.volume_cm3))
    assert half == pytest.approx(histogram.volume_cm3 / 2, rel=0.01)


@pytest.mark.parametrize(("fractions", "alpha_beta"), [(0, 3.0), (5, 0.0), (5, -1.0), (5, float("nan"))])
def test_what_has_no_equivalent_is_refused(fractions, alpha_beta):
    with pytest.raises(UserError, match="α/β"):
        eqd2(10.0, fractions, alpha_beta)
