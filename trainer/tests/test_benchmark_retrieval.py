"""The benchmark of retrieval counts what it says."""

import nibabel
import numpy as np
import pytest

from slicervae.benchmarks.retrieval import (
    phantoms,
    rank_correlation,
    ranks_of_own,
    repeat_scans,
    standardised_anatomy,
    top_1,
)
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, ignore
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


def test_every_measure_of_phantoms_has_its_figures(tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    figures = phantoms(tmp_path / "bundle", 3, 32, 10, ignore, Cancel())
    names = {figure.what.partition(":")[0] for figure in figures}
    assert names == {"kl", "reverse-kl", "symmetric-kl", "mean-vector L2", "pixel MSE", "PCA-50"}
    assert [figure.target for figure in figures if figure.target] == [0.95, 0.95]
    assert all(-1 <= figure.value <= 1 for figure in figures)


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
    first, median, worst = repeat_scans(tmp_path / "bundle", tmp_path, "FLAIR", ignore, Cancel())
    assert (first.value, median.value, worst.value) == (1, 1, 1)
    with pytest.raises(UserError, match="0 scans"):
        repeat_scans(tmp_path / "bundle", tmp_path, "T1W", ignore, Cancel())
