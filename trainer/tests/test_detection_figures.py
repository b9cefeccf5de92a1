"""The figures of detection against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from slicervae.detection.bootstrap import drawn, interval, patient_weights
from slicervae.detection.counts import Counts, as_counted
from slicervae.detection.regions import regions_of
from slicervae.detection.slices import anomalous_slices, auroc, average_precision, slice_scores
from SlicerVAELib.core.volume import Geometry

SCORES = st.lists(st.tuples(st.floats(-1e5, 1e5, width=32), st.booleans()), min_size=2, max_size=60).filter(
    lambda pairs: len({truth for _, truth in pairs}) == 2
)


def split(pairs):
    scores, truth = zip(*pairs, strict=True)
    return np.array(scores, np.float32), np.array(truth)


@settings(deadline=None)
@given(SCORES)
def test_voxel_figures_are_those_of_scikit_learn_at_eleven_bits(pairs):
    scores, truth = split(pairs)
    counts = Counts.of([(scores, truth)])
    counted = as_counted(scores).astype(np.float64)
    assert float(counts.average_precision()) == pytest.approx(average_precision_score(truth, counted))
    assert float(counts.auroc()) == pytest.approx(roc_auc_score(truth, counted))
    assert set(counts.scores) == set(counted)


@settings(deadline=None)
@given(SCORES)
def test_slice_figures_are_those_of_scikit_learn(pairs):
    scores, truth = split(pairs)
    assert average_precision(scores, truth) == pytest.approx(average_precision_score(truth, scores))
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores))


def test_patients_are_added_up_as_often_as_they_are_drawn():
    rng = np.random.default_rng(0)
    patients = [(rng.normal(size=50).astype(np.float32), rng.random(50) < 0.3) for _ in range(3)]
    counts = Counts.of(patients)
    doubled = [patients[0], patients[0], patients[2]]
    scores, truth = (np.concatenate(parts) for parts in zip(*doubled, strict=True))
    expected = average_precision_score(truth, as_counted(scores))
    assert counts.average_precision(np.array([[2, 0, 1]]))[0] == pytest.approx(expected)


def test_coarser_counts_tell_nearly_the_same():
    rng = np.random.default_rng(2)
    truth = rng.random(200_000) < 0.01
    scores = rng.normal(size=truth.size).astype(np.float32) + truth
    counts = Counts.of([(scores, truth)])
    coarse = counts.coarser(4096)
    assert len(counts.scores) > 10_000 and len(coarse.scores) <= 4096
    assert coarse.sound.sum() == counts.sound.sum() and coarse.anomalous.sum() == counts.anomalous.sum()
    assert float(coarse.auroc()) == pytest.approx(float(counts.auroc()), abs=1e-3)
    assert float(coarse.average_precision()) == pytest.approx(float(counts.average_precision()), rel=5e-3)


def test_dice_at_thresholds():
    scores, truth = np.array([0.1, 0.4, 0.6, 0.9], np.float32), np.array([False, True, False, True])
    counts = Counts.of([(scores, truth)])
    np.testing.assert_allclose(counts.dice(), [4 / 6, 4 / 5, 2 / 4, 2 / 3])
    assert counts.best_threshold() == pytest.approx(0.4, abs=1e-3)
    assert counts.dice_from(0.5) == pytest.approx(2 / 4) and counts.dice_from(2.0) == 0


def test_an_interval_holds_the_truth_about_as_often_as_it_says():
    rng, hits = np.random.default_rng(1), 0
    for trial in range(60):
        means = rng.normal(1.0, 0.5, size=40)
        weights = patient_weights(40, trial, draws=300)
        found = interval(drawn(lambda part, means=means: part @ means / 40, weights), 40)
        hits += found.low <= 1.0 <= found.high
    assert 50 <= hits <= 60
    assert np.isnan(interval(np.array([1.0, 2.0]), 1).low)


def test_regions_are_lesions_found_and_false_alarms():
    truth, marked = np.zeros((4, 9, 9), bool), np.zeros((4, 9, 9), bool)
    truth[0, :2, :2] = truth[3, 7:, 7:] = True
    marked[0, 1:4, 1:4] = True  # touches the first lesion
    marked[2, 5, 0] = True  # one voxel of no lesion
    marked[1:3, 8, 3] = True  # two voxels of no lesion
    found = regions_of(marked, truth, voxel_cm3=1.0, smallest_cm3=2.0)
    assert (found.lesions, found.found, found.false_alarms) == (2, 1, 1)
    assert regions_of(marked, truth, 1.0, 0.0).false_alarms == 2
    assert regions_of(np.zeros_like(marked), truth, 1.0, 0.0).found == 0


@pytest.mark.parametrize(("plane", "axis"), [("axial", 0), ("coronal", 1), ("sagittal", 2)])
@pytest.mark.parametrize("flip", [1, -1])
def test_slices_are_told_by_where_they_lie(plane, axis, flip):
    """A volume of 2 mm voxels, its axes to the right, back and head or the other way, seen in slices of 4 mm."""
    matrix = np.diag([flip * 2.0, -flip * 2.0, flip * 2.0, 1.0])
    matrix[:3, 3] = (10, 20, 30)
    geometry = Geometry((12, 12, 12), matrix)
    lps = matrix.copy()
    lps[:2] *= -1
    of_array_axis = 2 - axis
    ends = sorted((lps[of_array_axis, 3], lps[of_array_axis, 3] + 11 * lps[of_array_axis, of_array_axis]))
    positions = np.arange(ends[0], ends[1] + 1, 4.0)
    truth = np.zeros((12, 12, 12), bool)
    place = [5, 6, 7]
    truth[tuple(place)] = True
    at = lps[of_array_axis, 3] + place[axis] * lps[of_array_axis, of_array_axis]
    shown = anomalous_slices(truth, geometry, plane, positions)
    assert shown.sum() == 1 and abs(positions[shown.argmax()] - at) <= 2
    whole_slice = np.zeros(truth.shape)
    np.moveaxis(whole_slice, axis, 0)[place[axis]] = 1
    scores = slice_scores(whole_slice, np.ones_like(truth), geometry, plane, positions)
    assert scores.argmax() == shown.argmax() and np.isfinite(scores).all()
    assert not anomalous_slices(np.zeros_like(truth), geometry, plane, positions).any()
