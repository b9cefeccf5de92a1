from hypothesis import given
from hypothesis import strategies as st

from slicervae.data.split import split_patients

NAMES = st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=40)


@given(NAMES, st.floats(0, 0.9), st.integers(0, 2**31))
def test_nobody_is_on_both_sides_or_lost(names, share, seed):
    training, validation = split_patients(names, share, seed)
    assert not set(training) & set(validation)
    assert sorted([*training, *validation]) == sorted(names)
    assert training, "somebody must train"
    assert bool(validation) == (len(names) >= 3 and share > 0)


@given(NAMES, st.integers(0, 2**31))
def test_the_order_in_which_patients_are_found_does_not_matter(names, seed):
    assert split_patients(names, 0.3, seed) == split_patients(reversed(names), 0.3, seed)
