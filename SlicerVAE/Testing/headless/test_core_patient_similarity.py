"""Patients are ranked as the definition says when it is written down with plain loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.patient_similarity import (
    LeftOut,
    PatientMatch,
    compare,
    rank_patients,
    recall,
    similar_on_the_whole,
)
from SlicerVAELib.core.patient_stacks import PatientStacks, SliceStack, moment_matched
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.similarity import Posteriors, kl, reverse_kl, symmetric_kl

TABLES = {"kl": kl, "reverse-kl": reverse_kl, "symmetric-kl": symmetric_kl}


def patient(seed, slices=12, size=6, origin="lungs", shift_mm=0.0, sigma=0.05):
    """A patient whose slices change along the body, and differ from another's by who it is."""
    random = np.random.default_rng(seed)
    positions = (10 * np.arange(slices) - 5 * slices + shift_mm).astype(np.float32)
    level = np.sin(positions[:, None] / 60 + np.arange(size))
    mean = level + 0.3 * random.normal(size=size) + sigma * random.normal(size=(slices, size))
    log_variance = 2 * np.log(sigma) + 0.3 * random.normal(size=(slices, size))
    return SliceStack(Posteriors(mean.astype(np.float32), log_variance.astype(np.float32)), positions, origin)


def scanned_again(stack, seed, shift_mm=3.0):
    random = np.random.default_rng(seed)
    sigma = np.exp(stack.posteriors.log_variance / 2)
    mean = stack.posteriors.mean + 0.2 * sigma * random.normal(size=sigma.shape)
    again = Posteriors(mean.astype(np.float32), stack.posteriors.log_variance)
    return SliceStack(again, stack.positions_mm + np.float32(shift_mm), stack.origin)


def cohort(count, seed=0, **changes):
    random = np.random.default_rng(seed)
    return [
        patient(seed + n, slices=int(random.integers(3, 15)), shift_mm=float(random.normal() * 20), **changes)
        for n in range(count)
    ]


def one_way(query, candidate, divergence, window_mm):
    """Mean over the query's slices of the smallest divergence within the window, and the share that have one."""
    table = divergence(query.posteriors, candidate.posteriors)
    smallest = []
    for n, position in enumerate(query.positions_mm):
        near = [
            table[n, m]
            for m, other in enumerate(candidate.positions_mm)
            if query.origin != candidate.origin or abs(other - position) <= window_mm
        ]
        smallest += [min(near)] if near else []
    return np.mean(smallest) if smallest else np.inf, len(smallest) / len(query.positions_mm)


def by_definition(query, candidate, direction, window_mm):
    onwards, share = one_way(query, candidate, TABLES[direction], window_mm)
    back, _ = one_way(candidate, query, TABLES[direction], window_mm)
    return (onwards + back) / 2, share


@pytest.mark.parametrize("direction", TABLES)
def test_the_distance_is_the_mean_of_both_ways_within_the_window(direction):
    stacks = [*cohort(12, 5), patient(90, origin="scan"), patient(91, shift_mm=70), patient(92, shift_mm=900)]
    for candidate in stacks:
        query = patient(3)
        found = compare(query, candidate, 7, direction=direction, window_mm=25.0)
        expected, share = by_definition(query, candidate, direction, 25.0)
        assert found.patient == 7 and found.share_matched == pytest.approx(share)
        if share < 0.5:
            assert isinstance(found, LeftOut) and f"{share:.0%}" in found.reason
        else:
            assert found.distance == pytest.approx(expected, rel=1e-12)


def test_directions_of_kl_are_not_the_same():
    # A sure query and an unsure candidate tell forward from reverse.
    query, candidate = patient(1, sigma=0.02), patient(2, sigma=0.2)
    pairs = [compare(query, candidate, direction=name).pairs for name in ("kl", "reverse-kl")]
    assert pairs[0][0].divergence < 0.5 * pairs[1][0].divergence


@settings(deadline=None, max_examples=40)
@given(
    direction=st.sampled_from(sorted(TABLES)),
    seed=st.integers(0, 999),
    window_mm=st.sampled_from([0.0, 8.0, 30.0, 500.0]),
    count=st.integers(1, 12),
)
def test_any_cohort_is_ranked_exactly(direction, seed, window_mm, count):
    stacks = [*cohort(8, seed), *cohort(3, seed + 50, origin="scan"), *cohort(3, seed + 80, sigma=1e-3)]
    query = scanned_again(stacks[seed % len(stacks)], seed)
    check_ranking(query, stacks, count, direction, window_mm)


def check_ranking(query, stacks, count, direction, window_mm, among=None):
    ranking = rank_patients(
        query, PatientStacks.of(stacks), count, direction=direction, window_mm=window_mm, among=among
    )
    considered = range(len(stacks)) if among is None else among
    results = [compare(query, stacks[n], n, direction=direction, window_mm=window_mm) for n in considered]
    matches = sorted((r for r in results if isinstance(r, PatientMatch)), key=lambda m: (m.distance, m.patient))
    assert ranking.matches == tuple(matches[:count])
    assert [left.patient for left in ranking.left_out] == [r.patient for r in results if isinstance(r, LeftOut)]
    return ranking


def test_many_blocks_are_ranked_exactly_and_few_patients_need_the_plain_formula(monkeypatch):
    monkeypatch.setattr("SlicerVAELib.core.patient_similarity.BOUNDS_AT_ONCE", 500)
    stacks = cohort(150, 3)
    query = scanned_again(stacks[77], 1)
    ranking = check_ranking(query, stacks, 10, "symmetric-kl", 30.0)
    assert ranking.matches[0].patient == 77
    assert ranking.evaluated < 15
    some = np.array([140, 3, 4, 5, 80, 79])
    check_ranking(query, stacks, 4, "kl", 30.0, among=np.sort(some))
    assert rank_patients(query, PatientStacks.of(stacks), 4, among=some).matches[0].patient in some


@pytest.mark.parametrize("direction", TABLES)
def test_patients_who_are_nearly_equally_far_are_ranked_exactly(direction):
    # Repeat scans of one patient: some distances differ by less than a thousandth.
    stacks = [scanned_again(patient(1, slices=40, size=30, sigma=1e-3), seed) for seed in range(60)]
    query = scanned_again(patient(2, slices=40, size=30, sigma=1e-3), 99)
    ranking = check_ranking(query, stacks, 20, direction, 30.0)
    distances = np.array([match.distance for match in ranking.matches])
    assert (np.diff(distances) / distances[:-1]).min() < 1e-3


def test_the_pairs_to_show_are_the_nearest_slices():
    candidate = patient(4)
    query = scanned_again(candidate, 2)
    found = compare(query, candidate)
    assert [(pair.query, pair.candidate) for pair in found.pairs] == [(n, n) for n in range(12)]
    table = symmetric_kl(query.posteriors, candidate.posteriors)
    assert [pair.divergence for pair in found.pairs] == table.diagonal().tolist()


def test_another_origin_means_the_whole_scan_and_that_is_told():
    query, far = patient(1), patient(1, shift_mm=900)
    assert isinstance(compare(query, far), LeftOut)
    elsewhere = SliceStack(far.posteriors, far.positions_mm, "scan")
    found = compare(query, elsewhere)
    assert not found.in_window and found.share_matched == 1 and "compared with all" in found.remark
    assert compare(query, query).remark == ""
    assert compare(query, query).distance == 0


def test_equal_patients_come_in_the_order_of_their_indices():
    stacks = [patient(5), patient(1), patient(1), patient(1), patient(9)]
    ranking = rank_patients(patient(1), PatientStacks.of(stacks), 3)
    assert [match.patient for match in ranking.matches] == [1, 2, 3]


def test_one_gaussian_for_a_patient_has_the_moments_of_its_slices():
    stacks = cohort(5, 8)
    found = moment_matched(PatientStacks.of(stacks))
    random = np.random.default_rng(0)
    for n, stack in enumerate(stacks):
        pick = random.integers(len(stack.posteriors), size=200_000)
        sigma = np.exp(stack.posteriors.log_variance[pick] / 2)
        draws = stack.posteriors.mean[pick] + sigma * random.standard_normal(sigma.shape)
        np.testing.assert_allclose(found.mean[n], draws.mean(axis=0), atol=0.01)
        np.testing.assert_allclose(np.exp(found.log_variance[n]), draws.var(axis=0), rtol=0.02)


def test_the_coarse_pass_finds_the_same_patient_and_its_recall_is_measured():
    stacks = cohort(120, 20)
    library = PatientStacks.of(stacks)
    query = scanned_again(stacks[60], 4)
    exact = rank_patients(query, library, 10)
    coarse = rank_patients(query, library, 10, among=similar_on_the_whole(query, moment_matched(library), 40))
    assert coarse.matches[0] == exact.matches[0]
    assert recall(exact, exact) == 1
    assert 0.3 <= recall(coarse, exact) <= 1
    none = rank_patients(query, library, 10, among=np.array([0]))
    assert recall(none, exact) == (0.1 if 0 in {match.patient for match in exact.matches} else 0)


def test_ranking_tells_how_far_it_is_and_stops_when_asked():
    library, seen = PatientStacks.of(cohort(6, 1)), []
    rank_patients(patient(1), library, 3, progress=seen.append)
    assert seen[-1].fraction == 1
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        rank_patients(patient(1), library, 3, cancel=cancel)


def test_what_can_not_be_compared_is_refused():
    stack = patient(1)
    with pytest.raises(UserError, match=r"no slice to compare; encode"):
        SliceStack(stack.posteriors[:0], stack.positions_mm[:0], "lungs")
    broken = SliceStack(
        Posteriors(stack.posteriors.mean * np.float32(np.nan), stack.posteriors.mean), stack.positions_mm, ""
    )
    with pytest.raises(UserError, match="not numbers"):
        rank_patients(broken, PatientStacks.of([stack]))
    for starts in ([0, 5], [0, 12, 12], [1, 12]):
        with pytest.raises(ValueError):
            PatientStacks(
                stack.posteriors, stack.positions_mm, np.array(starts), np.array(["lungs"] * (len(starts) - 1))
            )
