import numpy as np
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.percentiles import DistanceScale


def test_a_distance_stands_among_pairs_of_different_patients_and_repeat_scans():
    scale = DistanceScale(np.arange(100.0, 0.0, -1.0), np.array([3.0, 1.0, 2.5]))
    assert scale.closer_than(0.0) == 1
    assert scale.closer_than(101.0) == 0
    assert scale.closer_than(3.5) == pytest.approx(0.97)
    assert scale.closer_than(3.0) == pytest.approx(0.975)  # of equal ones half
    assert scale.in_words(3.5) == (
        "Closer than 97 % of pairs of different patients; repeat scans of one patient: median 2.5, this 3.5."
    )


def test_nearly_all_is_not_told_as_all():
    scale = DistanceScale(np.arange(1000.0), np.array([]))
    assert "Closer than 99 % of" in scale.in_words(1.2)
    assert "Closer than 100 % of" in scale.in_words(-1.0)
    assert "no repeat scans" in scale.in_words(1.2)


def test_too_few_pairs_are_refused():
    with pytest.raises(UserError, match=r"19 pairs.*add more patients"):
        DistanceScale(np.arange(19.0), np.array([]))
