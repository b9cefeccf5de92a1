"""Facts about latents, kept in a bundle."""

import dataclasses

import numpy as np
import pytest

from SlicerVAELib.core.bundle_parts import write_parts
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent_facts import LatentFact, LatentFacts, read_latent_facts, write_latent_facts
from SlicerVAELib.core.manifest import read_manifest
from Testing.headless.tiny_bundle import write_tiny_bundle

FACTS = LatentFacts(
    weights_sha256="",
    patients=4,
    slices=40,
    unit="HU",
    active=2,
    latents=(
        LatentFact(3, 2.5, 0.9, 12.0, {"age_years": -0.8}, "latent 3: age years (r=-0.80)"),
        LatentFact(0, 0.1, 0.02, 1.0, {}, "latent 0"),
    ),
)
MAPS = np.arange(2 * 16, dtype=np.float32).reshape(2, 4, 4)


@pytest.fixture
def bundle(tmp_path):
    write_tiny_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


def test_facts_come_back_as_they_were_put_in(bundle):
    assert read_latent_facts(bundle, read_manifest(bundle)) is None
    manifest = write_latent_facts(bundle, read_manifest(bundle), FACTS, MAPS)
    facts, maps = read_latent_facts(bundle, manifest)
    assert facts == dataclasses.replace(FACTS, weights_sha256=manifest.files["weights.safetensors"].sha256)
    np.testing.assert_array_equal(maps, MAPS)


def test_facts_about_another_model_are_refused(bundle, tmp_path):
    write_latent_facts(bundle, read_manifest(bundle), FACTS, MAPS)
    other = tmp_path / "other"
    write_tiny_bundle(other, seed=3)
    contents = {name: (bundle / name).read_bytes() for name in ("latents.json", "latents.safetensors")}
    manifest = write_parts(other, contents)
    with pytest.raises(UserError, match="another model"):
        read_latent_facts(other, manifest)


@pytest.mark.parametrize("maps", [MAPS[:1], MAPS[0], MAPS * np.nan])
def test_maps_that_do_not_fit_the_facts_are_refused(bundle, maps):
    manifest = write_latent_facts(bundle, read_manifest(bundle), FACTS, maps)
    with pytest.raises(UserError, match="describe-latents"):
        read_latent_facts(bundle, manifest)
