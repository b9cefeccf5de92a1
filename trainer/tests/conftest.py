"""What several tests of the trainer need: real images in small pieces, and a small trained run."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
SMALL = ["--set", "size=64", "--set", "latent=8", "--set", "batch_size=8"]


def shared_data() -> Path:
    """The folder of real patient data; tests that need it are skipped where it is not, and never in CI."""
    folder = Path(os.environ.get("SLICERVAE_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{folder} is missing; CI must have the real data")
        pytest.skip(f"the real data is not at {folder}; set SLICERVAE_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    return shared_data()


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Nothing is left in the user's cache, by child processes neither."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLICERVAE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def mr_cohort(tmp_path_factory) -> Path:
    """Six middle slices of FLAIR of four real patients, as NIfTI in a folder each."""
    longitudinal = shared_data() / "open_ms" / "longitudinal"
    cohort = tmp_path_factory.mktemp("mr-cohort")
    for patient in ("patient01", "patient03", "patient04", "patient12"):
        image = nibabel.load(longitudinal / patient / "study1_FLAIR.nii.gz")
        middle = image.shape[2] // 2
        piece = image.slicer[:, :, middle - 3 : middle + 3]
        (cohort / patient).mkdir()
        nibabel.save(
            nibabel.Nifti1Image(np.asarray(piece.dataobj, dtype=np.float32), piece.affine),
            cohort / patient / "FLAIR.nii.gz",
        )
    return cohort


@pytest.fixture(scope="session")
def small_run(mr_cohort, tmp_path_factory) -> Path:
    """A finished run of ``vae50`` at 64 pixels on that cohort."""
    from slicervae.cli import main

    run = tmp_path_factory.mktemp("small") / "run"
    assert main(["fit", "vae50", "--data", str(mr_cohort), "--out", str(run), "--max-epochs", "4", *SMALL]) == 0
    return run


@pytest.fixture(scope="session")
def small_bundle(small_run) -> Path:
    """The bundle of that run."""
    from slicervae.cli import main

    bundle = small_run.parent / "bundle"
    assert main(["export", str(small_run), "--out", str(bundle)]) == 0
    return bundle
