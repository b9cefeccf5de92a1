"""What the headers of the training images tell reaches the bundle, and from there the person with another image."""

import numpy as np
import pytest

from slicervae.data.cache import Cache
from slicervae.data.preparation import decide
from slicervae.recipe import load_recipe
from SlicerVAELib.core.acquisition import Acquisition, TrainingAcquisition
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import stored_ct, write_series


def acquired(kilovoltage, agent):
    def edit(dataset, _):
        dataset.KVP = kilovoltage
        if agent is not None:
            dataset.ContrastBolusAgent = agent

    return edit


@pytest.mark.parametrize(
    ("agent", "has_contrast"), [("Iohexol 350", True), (None, False), ("", False), ("NONE", False)]
)
def test_a_header_tells_how_its_image_was_acquired(tmp_path, agent, has_contrast):
    write_series(tmp_path, stored_ct(), edit=acquired("100", agent))
    assert read_volume(tmp_path).source.acquisition == Acquisition(100.0, has_contrast)


def test_a_run_keeps_what_all_its_images_were_acquired_with(tmp_path):
    for name, kilovoltage, agent in (("a", "100", "Iohexol"), ("b", "120", None)):
        stored = np.random.default_rng(len(name)).integers(0, 2000, (4, 64, 64)).astype(np.uint16)
        write_series(tmp_path / "data" / name, stored, name=name, patient=name, edit=acquired(kilovoltage, agent))
    recipe = load_recipe("vae50", ["size=64", "validation_share=0"])
    network = build(recipe.network.family, recipe.network.settings)
    record = decide(recipe, tmp_path / "data", network, 0, Cache(tmp_path / "cache"), ignore, Cancel())
    assert record.acquisition == TrainingAcquisition((100.0, 120.0), True, True)


def test_files_without_such_a_header_leave_it_open(small_bundle):
    manifest = read_manifest(small_bundle)
    assert manifest.declaration.acquisition == TrainingAcquisition()
    assert manifest.unusual_score is not None and np.isfinite(manifest.unusual_score)
