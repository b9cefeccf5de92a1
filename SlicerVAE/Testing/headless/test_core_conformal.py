"""Split-conformal p-values: exact ranks, the alarm level that follows from them, and their law."""

import math

import numpy as np
import pytest

from SlicerVAELib.core.conformal import alarm_level, check_rate, fewest_patients, p_value, too_few
from SlicerVAELib.core.errors import UserError


def test_p_counts_the_healthy_patients_that_are_at_least_as_unusual():
    healthy = [1.0, 2.0, 2.0, 5.0]
    assert [p_value(score, healthy) for score in (0.0, 1.0, 2.0, 3.0, 5.0, 9.0)] == [1.0, 1.0, 0.8, 0.4, 0.4, 0.2]


@pytest.mark.parametrize("count", [1, 18, 19, 20, 39, 57])
@pytest.mark.parametrize("rate", [0.01, 0.05, 0.1, 0.5])
def test_the_alarm_level_is_where_p_passes_the_rate(count, rate):
    healthy = np.random.default_rng(count).normal(size=count).tolist()
    level = alarm_level(healthy, rate)
    for score in (*healthy, *np.add(healthy, 1e-9), -9.0, 9.0):
        assert (p_value(score, healthy) <= rate) == (score > level)
    assert math.isinf(level) == (count < fewest_patients(rate)) == bool(too_few(count, rate))


def test_nineteen_patients_are_the_fewest_for_five_percent():
    assert fewest_patients(0.05) == 19
    sentence = too_few(18, 0.05)
    assert "18 healthy patients" in sentence and "at least 19" in sentence and "0.053" in sentence
    assert too_few(19, 0.05) == ""


def test_a_healthy_patients_p_is_uniform_over_its_steps():
    random = np.random.default_rng(0)
    values = [p_value(scores[0], scores[1:]) for scores in random.gamma(2, size=(8000, 10)).tolist()]
    counts = np.bincount(np.rint(np.array(values) * 10).astype(int), minlength=11)[1:]
    assert abs(counts - 800).max() < 4 * math.sqrt(800)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_makes_no_sense_is_refused(rate):
    with pytest.raises(UserError, match="between 0 and 1"):
        check_rate(rate)
