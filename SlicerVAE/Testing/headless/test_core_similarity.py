import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Normal, kl_divergence

from SlicerVAELib.core.similarity import (
    Posteriors,
    divergences,
    kl,
    lifted_columns,
    lifted_items,
    lifted_queries,
    paired_divergences,
    reverse_kl,
    symmetric_kl,
)

DIRECTIONS = ("kl", "reverse-kl", "symmetric-kl")


def posteriors(count, size, seed, log_variance=-2.0, spread=3.0):
    random = np.random.default_rng(seed)
    mean = random.normal(size=(count, size)).astype(np.float32)
    return Posteriors(mean, (log_variance + spread * random.normal(size=(count, size))).astype(np.float32))


def by_torch(first, second):
    """D(first n‖second m) by torch.distributions in double precision, (N, M)."""
    here, there = (
        Normal(torch.from_numpy(p.mean).double(), torch.from_numpy(p.log_variance).double().div(2).exp())
        for p in (first, second)
    )
    wide = Normal(here.loc[:, None], here.scale[:, None])
    return kl_divergence(wide, Normal(there.loc[None], there.scale[None])).sum(dim=-1).numpy()


@settings(deadline=None, max_examples=25)
@given(size=st.integers(1, 64), seed=st.integers(0, 99), log_variance=st.floats(-14, 4), spread=st.floats(0, 3))
def test_divergences_are_those_of_torch_distributions(size, seed, log_variance, spread):
    queries, stored = (posteriors(n, size, seed + n, log_variance, spread) for n in (3, 5))
    forward, backward = by_torch(queries, stored), by_torch(stored, queries).T
    np.testing.assert_allclose(kl(queries, stored), forward, rtol=1e-9)
    np.testing.assert_allclose(reverse_kl(queries, stored), backward, rtol=1e-9)
    np.testing.assert_allclose(symmetric_kl(queries, stored), forward + backward, rtol=1e-9)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_divergence_does_not_depend_on_what_it_is_computed_with(direction):
    # 3,000 posteriors of 50 latents are several blocks.
    queries, stored = posteriors(2, 50, 1), posteriors(3000, 50, 2)
    table = divergences(queries, stored, direction)
    for m in (0, 1, 1499, 2999):
        assert divergences(queries[1:2], stored[m : m + 1], direction)[0, 0] == table[1, m]
    some = np.array([2999, 7, 1500])
    assert np.array_equal(divergences(queries, stored[some], direction), table[:, some])
    assert np.array_equal(
        paired_divergences(queries[np.array([0, 1, 0])], stored[some], direction), table[[0, 1, 0], some]
    )


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_near_duplicates_do_not_cancel(direction):
    # By the formula's series: a mean that is 10⁻³ σ aside is half a millionth of a nat away.
    one = Posteriors(np.full((1, 1), 3.0, np.float32), np.full((1, 1), -14.0, np.float32))
    other = Posteriors(one.mean + np.float32(1e-6), one.log_variance)
    moved = (float(other.mean[0, 0]) - 3.0) ** 2 * np.exp(14.0) / 2
    expected = moved * (2 if direction == "symmetric-kl" else 1)
    assert divergences(one, other, direction)[0, 0] == pytest.approx(expected, rel=1e-12)
    assert divergences(one, one, direction)[0, 0] == 0


@settings(deadline=None, max_examples=25)
@given(size=st.integers(1, 64), seed=st.integers(0, 99), direction=st.sampled_from(DIRECTIONS))
def test_the_lifting_turns_twice_the_divergence_into_an_inner_product(size, seed, direction):
    queries, stored = posteriors(4, size, seed), posteriors(6, size, seed + 1)
    wide = [values.astype(np.float64) for p in (queries, stored) for values in (p.mean, p.log_variance)]
    vectors, constants = lifted_queries(*wide[:2], direction)
    items = lifted_items(*wide[2:], direction)
    columns = lifted_columns(size, direction)
    assert columns == (4 * size + 1 if direction == "symmetric-kl" else 2 * size + 1)
    assert vectors.shape == (4, columns) and items.shape == (6, columns)
    np.testing.assert_allclose(
        vectors @ items.T + constants[:, None], 2 * divergences(queries, stored, direction), rtol=1e-9
    )


def test_posteriors_of_another_type_or_shape_are_a_fault_of_the_caller():
    right = np.zeros((2, 3), np.float32)
    for mean, log_variance in ((right, right[:1]), (right[0], right[0]), (right.astype(float), right)):
        with pytest.raises(ValueError):
            Posteriors(mean, log_variance)
