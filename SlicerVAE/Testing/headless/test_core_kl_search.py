"""The search is right when it returns what sorting the plain formula returns, to the last index."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core import kl_search
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.kl_search import SearchMatrix, nearest
from SlicerVAELib.core.similarity import Posteriors, divergences

DIRECTIONS = ("kl", "reverse-kl", "symmetric-kl")
KINDS = ("random", "clustered", "near duplicates", "far from the origin", "one alone differs", "mixed variances")


def library(kind, count, size, seed):
    random = np.random.default_rng(seed)
    mean, log_variance = random.normal(size=(count, size)), -3 + 1.5 * random.normal(size=(count, size))
    if kind in ("clustered", "near duplicates"):
        sigma = 1e-3 if kind == "near duplicates" else 0.05
        mean = random.normal(size=(8, size))[random.integers(8, size=count)] + sigma * mean
        log_variance = 2 * np.log(sigma) + 0.01 * random.normal(size=(count, size))
    elif kind == "far from the origin":
        mean, log_variance = 500 + 1e-2 * mean, np.full((count, size), -9.0)
    elif kind == "one alone differs":
        mean, log_variance = np.zeros((count, size)), np.zeros((count, size))
        mean[count // 2] = 1e3
    elif kind == "mixed variances":
        log_variance = random.uniform(-20, 20, size=(count, 1)) + 0.1 * log_variance
    return Posteriors(mean.astype(np.float32), log_variance.astype(np.float32))


def near(stored, rows, seed):
    """Posteriors that lie beside some of the stored ones."""
    random = np.random.default_rng(seed)
    beside = 0.3 * np.exp(stored.log_variance[rows] / 2) * random.normal(size=stored.mean[rows].shape)
    return Posteriors((stored.mean[rows] + beside).astype(np.float32), stored.log_variance[rows])


def check_exact(stored, queries, direction, counts):
    table = divergences(queries, stored, direction)
    order = np.argsort(table, axis=1, kind="stable")
    matrix = SearchMatrix.of(stored, direction)
    for count in counts:
        found = nearest(queries, matrix, stored, count)
        expected = order[:, :count]
        assert np.array_equal(found.indices, expected)
        assert np.array_equal(found.distances, np.take_along_axis(table, expected, axis=1))
    return found


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_recall_is_one_and_the_order_that_of_the_plain_formula(kind, direction):
    stored = library(kind, 4000, 50, 1)
    queries = near(stored, np.array([0, 1999, 3999]), 2)
    check_exact(stored, queries, direction, (1, 10, 100))


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    direction=st.sampled_from(DIRECTIONS),
    size=st.integers(1, 64),
    count=st.integers(1, 300),
    seed=st.integers(0, 999),
)
def test_any_library_is_searched_exactly(kind, direction, size, count, seed):
    stored = library(kind, count, size, seed)
    queries = near(stored, np.array([0, count // 2]), seed)
    check_exact(stored, queries, direction, (1, min(10, count), count))


@settings(deadline=None, max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    direction=st.sampled_from(DIRECTIONS),
    size=st.integers(1, 64),
    seed=st.integers(0, 999),
)
def test_the_product_is_never_above_the_divergence(kind, direction, size, seed):
    stored = library(kind, 200, size, seed)
    queries = near(stored, np.arange(5), seed)
    matrix = SearchMatrix.of(stored, direction)
    vectors = matrix.lifting.queries(queries)
    table = divergences(queries, stored, direction)
    assert (vectors @ matrix.items.T <= table).all()
    # Each column could be rounded the worst way, which no processor does; exact arithmetic leaves the whole margin.
    exact = vectors.astype(np.float64) @ matrix.items.astype(np.float64).T
    margin = vectors[:, -1:].astype(np.float64) * matrix.items[:, -1].astype(np.float64)
    assert (np.abs(exact - margin - table) <= -margin).all()


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("kind", ["random", "clustered", "near duplicates"])
def test_no_more_than_a_cluster_is_evaluated(kind, direction):
    stored = library(kind, 8000, 50, 3)
    found = check_exact(stored, near(stored, np.array([5, 4000]), 4), direction, (100,))
    assert found.evaluated.max() < 2000


def test_equal_distances_come_in_the_order_of_their_indices():
    stored = Posteriors(np.zeros((500, 4), np.float32), np.zeros((500, 4), np.float32))
    stored.mean[[499, 3, 250]] = 0.5
    query = Posteriors(np.full((1, 4), 0.5, np.float32), np.zeros((1, 4), np.float32))
    found = nearest(query, SearchMatrix.of(stored, "kl"), stored, 5)
    assert found.indices.tolist() == [[3, 250, 499, 0, 1]]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_equal_distances_come_in_that_order_though_their_bounds_differ(direction):
    # All to the same distance from the query, in different directions: which bound is smallest is chance.
    signs = np.random.default_rng(1).choice([-1, 1], size=(600, 12))
    stored = Posteriors((0.5 * signs).astype(np.float32), np.full((600, 12), -2.0, np.float32))
    query = Posteriors(np.zeros((1, 12), np.float32), np.full((1, 12), -2.0, np.float32))
    matrix = SearchMatrix.of(stored, direction)
    assert len(np.unique(matrix.lifting.queries(query) @ matrix.items.T)) > 1
    found = nearest(query, matrix, stored, 5)
    assert found.indices.tolist() == [[0, 1, 2, 3, 4]]
    assert found.evaluated.tolist() == [600]


def test_more_queries_than_share_a_product_and_more_wanted_than_there_are():
    stored = library("random", 30, 6, 5)
    queries = library("random", 40, 6, 6)
    check_exact(stored, queries, "kl", (30, 1))
    found = nearest(queries, SearchMatrix.of(stored, "kl"), stored, 1000)
    assert found.indices.shape == (40, 30)
    assert nearest(queries[:0], SearchMatrix.of(stored, "kl"), stored, 3).indices.shape == (0, 3)
    empty = stored[:0]
    assert nearest(queries, SearchMatrix.of(empty, "kl"), empty, 3).indices.shape == (40, 0)


def test_threads_share_the_product_and_change_nothing(monkeypatch):
    monkeypatch.setattr(kl_search, "SHARE_OF_A_THREAD", 10)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    stored = library("random", 1001, 7, seed=8)
    check_exact(stored, near(stored, [1000], seed=9), "kl", (1, 100, 1001))


def test_a_matrix_may_be_a_mapped_file(tmp_path):
    stored = library("clustered", 3000, 12, 7)
    plain = SearchMatrix.of(stored, "symmetric-kl")
    shape = (3000, plain.lifting.columns)
    SearchMatrix.of(stored, "symmetric-kl", np.memmap(tmp_path / "matrix", np.float32, "w+", shape=shape)).items.flush()
    mapped = SearchMatrix(plain.lifting, np.memmap(tmp_path / "matrix", np.float32, "r", shape=shape))
    queries = near(stored, np.arange(0, 3000, 700), 8)
    assert np.array_equal(nearest(queries, mapped, stored, 20).indices, nearest(queries, plain, stored, 20).indices)


@pytest.mark.parametrize("value", [np.nan, np.inf, 60.0])
def test_values_that_are_no_numbers_are_refused_in_a_sentence(value):
    stored = library("random", 200, 3, 9)
    broken = Posteriors(stored.mean, stored.log_variance.copy())
    broken.log_variance[117, 1] = value
    with pytest.raises(UserError, match=r"not numbers.*encode"):
        SearchMatrix.of(broken, "kl")
    with pytest.raises(UserError, match="not numbers"):
        nearest(broken, SearchMatrix.of(stored, "kl"), stored, 1)
    if not np.isfinite(value):
        with pytest.raises(UserError, match="not numbers"):
            SearchMatrix.of(Posteriors(broken.log_variance, stored.log_variance), "reverse-kl")


def test_a_matrix_of_other_posteriors_is_a_fault_of_the_caller():
    stored = library("random", 20, 3, 9)
    with pytest.raises(ValueError):
        nearest(stored, SearchMatrix.of(stored, "kl"), stored[:10], 1)


@given(count=st.integers(1, 700), kinds=st.sampled_from([2, 50, 10**6]), seed=st.integers(0, 99), data=st.data())
@settings(max_examples=60, deadline=None)
def test_the_value_of_a_rank_is_that_of_sorting(count, kinds, seed, data):
    rank = data.draw(st.integers(1, count))
    values = np.random.default_rng(seed).integers(kinds, size=count).astype(np.float32)
    assert kl_search._smallest(values, rank) == np.sort(values)[rank - 1]
