"""The benchmark of retrieval counts what it says."""

import nibabel
import numpy as np
import pytest
from sklearn.decomposition import PCA

from slicervae.benchmarks import repeat_scans
from slicervae.benchmarks.repeat_scans import ranks_of_own
from slicervae.benchmarks.retrieval import (
    DIRECTIONS,
    Slices,
    both_ways,
    distances,
    figures,
    patient_distances,
    rank_correlation,
    retrievals,
    table,
    top_1,
)
from slicervae.benchmarks.retrieval_cohort import standardised_anatomy
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.patient_similarity import compare
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.core.similarity import Posteriors, divergences
from SlicerVAELib.core.volume import Modality
from Testing.headless.tiny_bundle import write_tiny_bundle


def test_shares_ranks_and_correlations():
    table = np.array([[0.0, 2.0, 3.0], [1.0, 5.0, 2.0], [4.0, 3.0, 1.0]])
    assert top_1(table) == pytest.approx(2 / 3)
    assert rank_correlation(table, table) == pytest.approx(1)
    assert rank_correlation(table, -table) == pytest.approx(-1)
    scans = np.array([[0, 3, 1, 2], [3, 0, 1, 2], [1, 1, 0, 5], [2, 2, 5, 0]], dtype=float)
    assert ranks_of_own(scans, ["a", "a", "b", "b"]).tolist() == [3, 3, 3, 3]
    assert ranks_of_own(scans, ["a", "b", "a", "b"]).tolist() == [1, 2, 1, 1]


def test_anatomy_is_what_differs_between_bodies():
    parameters = [{"sex": "F", "heart_cm3": 500.0 + n, "noise_hu": float(n), "same": 1.0} for n in range(3)]
    anatomy = standardised_anatomy(parameters)
    assert anatomy.shape == (3, 1)
    assert anatomy.mean() == pytest.approx(0)
    assert anatomy.std() == pytest.approx(1)


def stacks(count: int, seed: int) -> list[SliceStack]:
    random = np.random.default_rng(seed)
    positions = np.arange(-60, 60, 10, dtype=np.float32)
    moments = random.normal(size=(count, 2, len(positions), 5)).astype(np.float32)
    return [SliceStack(Posteriors(mean, log_variance), positions, "lungs") for mean, log_variance in moments]


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_patients_are_compared_as_the_library_compares_them(direction):
    queries, stored = stacks(3, 1), stacks(4, 2)
    pixels = [np.zeros((12, 3), np.float32)] * 4
    here, there = (Slices.of(each, pixels[: len(each)], slice(None)) for each in (queries, stored))
    tables = {each: divergences(here.posteriors, there.posteriors, each) for each in DIRECTIONS}
    found = patient_distances(both_ways(tables, direction), here, there)
    expected = [[compare(query, each, direction=direction).distance for each in stored] for query in queries]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_distances_of_slices_are_those_of_the_plain_formulas():
    here, there = stacks(2, 3)
    images = np.random.default_rng(4).random((2, 12, 7)).astype(np.float32)
    first, second = (
        Slices.of([stack], [pixels], slice(None, None, 2)) for stack, pixels in zip((here, there), images, strict=True)
    )
    found = distances(first, second, PCA(3, random_state=0).fit(images[0]))
    for direction in DIRECTIONS:
        expected = divergences(here.posteriors[::2], there.posteriors[::2], direction)
        np.testing.assert_allclose(found[direction], expected, rtol=1e-9)
    apart = images[0, ::2, None].astype(np.float64) - images[1, None, ::2]
    np.testing.assert_allclose(found["pixel MSE"], np.sqrt(np.square(apart).sum(axis=2)), rtol=1e-9)


def test_every_measure_of_every_model_has_its_row_and_its_targets(tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    found, step_mm = retrievals([tmp_path / "bundle"], 1, 4, 32, 24, ignore, Cancel())
    measures = [*DIRECTIONS, "mean-vector L2", "pixel MSE", "PCA-50"]
    assert [(each.model, each.measure) for each in found] == [
        (model, measure) for model in ("tiny-CT", "vae50 of slice 1 alone") for measure in measures
    ]
    assert all(0 <= each.slice_found <= 1 and 0 <= each.patient_found <= 1 for each in found)
    assert all(-1 <= each.slice_rank <= 1 and -1 <= each.patient_rank <= 1 for each in found)
    assert step_mm == pytest.approx(340 / 24, rel=1e-4)
    assert [figure.target for figure in figures(found, 4, step_mm)] == [0.95] * 4
    assert len(table(found).splitlines()) == 2 + len(found)


def test_a_visit_that_is_the_same_scan_is_found_first(real_data, tmp_path):
    for patient in ("patient01", "patient03"):
        image = nibabel.load(real_data / "open_ms" / "longitudinal" / patient / "study1_FLAIR.nii.gz")
        middle = image.shape[2] // 2
        piece = image.slicer[:, :, middle - 2 : middle + 2]
        (tmp_path / patient).mkdir()
        for visit in (1, 2):
            nibabel.save(
                nibabel.Nifti1Image(np.asarray(piece.dataobj, dtype=np.float32), piece.affine),
                tmp_path / patient / f"study{visit}_FLAIR.nii.gz",
            )
    write_tiny_bundle(tmp_path / "bundle", Modality.MR)
    first, median, worst = repeat_scans.measure(tmp_path / "bundle", tmp_path, ignore, Cancel())
    assert "FLAIR" in first.what
    assert (first.value, median.value, worst.value) == (4, 1, 1)
    with pytest.raises(UserError, match="no 4 scans"):
        repeat_scans.measure(tmp_path / "bundle", tmp_path / "bundle", ignore, Cancel())
