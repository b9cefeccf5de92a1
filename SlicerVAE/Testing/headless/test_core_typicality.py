"""An image unlike the training images is told apart from one with a lesion."""

import dataclasses

import numpy as np
import pytest
import torch

from SlicerVAELib.core.bundle import write_bundle
from SlicerVAELib.core.engine import Hardware, ReconstructRequest
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.typicality import doubts_about, seldom_exceeded, shows_something
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest

KNOWN = dataclasses.replace(tiny_manifest(), unusual_score=100.0)
IMAGES = torch.linspace(0, 1, 9 * 16).reshape(9, 1, 4, 4)


def test_one_score_in_a_hundred_exceeds_the_limit():
    assert seldom_exceeded(torch.arange(1001.0)) == pytest.approx(990.0)


def test_most_slices_have_to_be_unusual():
    of_a_lesion, of_another_region = torch.full((9,), 50.0), torch.full((9,), 150.0)
    of_a_lesion[:4], of_another_region[:4] = 5000.0, 50.0
    assert doubts_about(of_a_lesion, IMAGES, KNOWN) == ()
    (sentence,) = doubts_about(of_another_region, IMAGES, KNOWN)
    assert "99 % of its validation slices" in sentence
    assert doubts_about(of_another_region, IMAGES, dataclasses.replace(KNOWN, unusual_score=None)) == ()


def test_slices_of_air_do_not_hide_an_unusual_image():
    images, scores = IMAGES.clone(), torch.full((9,), 150.0)
    images[:6], scores[:6] = 0.0, 1.0
    assert shows_something(images).tolist() == [False] * 6 + [True] * 3
    assert len(doubts_about(scores, images, KNOWN)) == 1


@pytest.mark.parametrize(("limit", "is_told"), [(-1e9, True), (1e9, False)])
def test_the_engine_tells_it_with_the_result(engine, tmp_path, limit, is_told):
    manifest = dataclasses.replace(tiny_manifest(), unusual_score=limit)
    network = build(manifest.network.family, manifest.network.settings)
    write_bundle(tmp_path / "model", manifest, network, card="# Small\n", preview=PREVIEW_PNG)
    array = np.random.default_rng(0).integers(-1000, 600, (4, 40, 40), dtype=np.int16)
    volume = Volume(array, Geometry(array.shape, np.diag([-8.0, -8.0, 5.0, 1.0])), Modality.CT, source=Source("x"))
    result = engine.reconstruct(ReconstructRequest(tmp_path / "model", volume, ("residual",), hardware=Hardware("cpu")))
    for told in (result.notices, result.provenance.warnings):
        assert any("look less like the training images" in sentence for sentence in told) is is_told
