"""The engine with a model of every kind: codes, hierarchies, points, cubes, several images, structures."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.engine import AnomalyOptions, Hardware, ReconstructRequest, SynthesizeRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import NetworkDescription, read_manifest
from SlicerVAELib.core.measures import measure_named
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.stack import prepare, slices_of
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest
from Testing.headless.twins import body, grid, rotation

CPU = Hardware("cpu")
SIZE, SPACING_MM = 64, 6.0
SMALL = {"size": SIZE}
KINDS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "gaussian": ("table52_vae", {**SMALL, "latent": 5}, {}),
    "coronal": ("table52_vae", {**SMALL, "latent": 5}, {"plane": "coronal"}),
    "maps": ("table52_svae", SMALL, {}),
    "codes": ("table52_vqvae", SMALL, {}),
    "code levels": ("vqvae2", SMALL, {}),
    "hierarchy": ("pchvae", SMALL, {}),
    "point": ("table52_ae", {**SMALL, "latent": 5}, {}),
    "cube": ("conv_pool_vae", {"size": 32, "dimensions": 3, "filters": 4}, {"size": 32, "depth": "cube"}),
    "channels": ("table52_vae", {**SMALL, "latent": 5, "channels": 3}, {"channels": ("CT", "T1", "T2")}),
    "structures": (
        "conv_pool_structures",
        {"size": SIZE, "structures": 2, "filters": 4},
        {"structures": ("Lung", "Spinal Cord")},
    ),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("families")
    for number, (kind, (family, settings, changes)) in enumerate(KINDS.items()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            network = build(family, settings)
        fields = {"intensity": HounsfieldWindow(), "size": SIZE, "spacing_mm": SPACING_MM} | changes
        manifest = tiny_manifest(
            name=kind, network=NetworkDescription(family, settings), preprocessing=Preprocessing(**fields)
        )
        write_bundle(folder / kind, manifest, network, card="# Small\n", preview=PREVIEW_PNG)
    return {kind: folder / kind for kind in KINDS}


@pytest.fixture(scope="module")
def local():
    return LocalEngine()


@pytest.fixture(scope="module")
def volume() -> Volume:
    """An oblique body with two further images and two structures."""
    plain = body(grid((7, 24, 30), (10.0, 12.0, 11.0), rotation((0.1, 0.2, 1), 15))).replace(source=Source(name="one"))
    array = plain.array.astype(np.float32)
    lung, cord = array < -300, np.zeros(array.shape, dtype=bool)
    cord[:, 11:13, 14:16] = True
    return plain.replace(
        channels={"T1": 300 - array / 2, "T2": np.abs(array)}, masks={"Lung": lung, "Spinal Cord": cord}
    )


def modelled(bundle: Path, volume: Volume):
    """Stack, slices of the reconstruction, and the encodings' divergence, by the bundle's own network."""
    stack, network = prepare(volume, read_manifest(bundle).preprocessing), load_network(bundle)
    with torch.inference_mode():
        encodings = [network.encode(image[None]) for image in stack.images]
        images = torch.cat([network.decode(encoding.mode) for encoding in encodings])
        divergence = torch.cat([encoding.divergence() for encoding in encodings])
    return stack, slices_of(images), divergence


def all_outputs(local, bundles, kind, volume, **changes):
    wanted = ("reconstruction", "residual", "anomaly", "structures")
    options = AnomalyOptions(smoothing_mm=0.0)
    return local.reconstruct(ReconstructRequest(bundles[kind], volume, wanted, options, hardware=CPU, **changes))


@every_kind
def test_maps_are_those_of_the_network_for_every_image_apart(local, bundles, volume, kind):
    result = all_outputs(local, bundles, kind, volume)
    stack, made, _ = modelled(bundles[kind], volume)
    images = len(stack.windows)
    names = ["", *(f" {name}" for name in KINDS[kind][2].get("channels", ())[1:])]
    assert len(names) == images
    for index, name in enumerate(names):
        expected = stack.to_source((made[:, index] * 1500 - 800).clone(), fill=-800.0)
        np.testing.assert_allclose(result.arrays[f"reconstruction{name}"], expected, atol=0.1)
        expected = stack.to_source((stack.pixels[:, index] - made[:, index]) * 1500, fill=0.0)
        np.testing.assert_allclose(result.arrays[f"residual{name}"], expected, atol=0.1)
    squares = (stack.pixels[:, :images] - made[:, :images]).double().square()
    fused = (squares.mean(dim=1) / 0.02).sqrt().float()
    np.testing.assert_allclose(result.arrays["anomaly"], stack.to_source(fused, fill=-1.0), atol=2e-3)
    structures = {name for name in result.arrays if name.startswith("structure")}
    assert structures == {f"structure {name}" for name in KINDS[kind][2].get("structures", ())}
    assert all(array.shape == volume.array.shape for array in result.arrays.values())


@every_kind
def test_slice_scores_are_the_likelihood_of_the_images_and_the_divergence(local, bundles, volume, kind):
    result = all_outputs(local, bundles, kind, volume)
    stack, made, divergence = modelled(bundles[kind], volume)
    images = len(stack.windows)
    normal = torch.distributions.Normal(made[:, :images].double(), math.sqrt(0.02))
    likelihood = normal.log_prob(stack.pixels[:, :images].double()).flatten(1).sum(dim=1)
    assert len(result.slice_scores) == len(result.slice_positions_mm) == len(stack.pixels)
    if kind == "cube":
        assert sum(result.slice_scores) == pytest.approx(float(divergence[0] - likelihood.sum()), rel=1e-4)
        divergence = divergence.expand(32) / 32
    np.testing.assert_allclose(result.slice_scores, (divergence - likelihood).numpy(), rtol=1e-4, atol=0.5)


@pytest.mark.parametrize("kind", ["codes", "code levels", "point"])
def test_a_seed_where_nothing_is_random_changes_nothing_and_is_told(local, bundles, volume, kind):
    plain = all_outputs(local, bundles, kind, volume)
    seeded = all_outputs(local, bundles, kind, volume, sample_seed=5)
    for name, array in plain.arrays.items():
        np.testing.assert_array_equal(seeded.arrays[name], array)
    (told,) = set(seeded.notices) - set(plain.notices)
    assert "nothing is random" in told and told.count(".") == 2  # one of them in "1.0"
    assert seeded.provenance.parameters["reconstruction of"] in ("codes", "latents")


@pytest.mark.parametrize("kind", ["gaussian", "maps", "hierarchy", "cube", "structures"])
def test_a_seeded_draw_differs_from_the_mean_and_repeats(local, bundles, volume, kind):
    plain = all_outputs(local, bundles, kind, volume)
    drawn, again = (all_outputs(local, bundles, kind, volume, sample_seed=5) for _ in range(2))
    np.testing.assert_array_equal(drawn.arrays["reconstruction"], again.arrays["reconstruction"])
    assert np.abs(drawn.arrays["reconstruction"] - plain.arrays["reconstruction"]).max() > 0.01
    assert drawn.provenance.parameters["reconstruction of"] == "draw 5"


def test_structures_are_probabilities_and_nothing_where_nothing_was_seen(local, bundles, volume):
    result = all_outputs(local, bundles, "structures", volume)
    stack, made, _ = modelled(bundles["structures"], volume)
    unseen = result.arrays["field_of_view"] == 0
    for channel, name in enumerate(("Lung", "Spinal Cord"), start=1):
        array = result.arrays[f"structure {name}"]
        np.testing.assert_allclose(array, stack.to_source(made[:, channel].clone(), fill=0.0), atol=1e-5)
        assert array.min() >= 0 and array.max() <= 1 and not array[unseen].any()


def test_what_the_model_needs_and_the_volume_lacks_is_named(local, bundles, volume):
    for kind, changes, name in (("channels", {"channels": {}}, "'T1'"), ("structures", {"masks": {}}, "'Lung'")):
        with pytest.raises(UserError, match=name):
            all_outputs(local, bundles, kind, volume.replace(**changes))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "point"])
def test_samples_are_the_decoded_draws_of_the_models_own_prior(local, bundles, kind):
    result = local.synthesize(SynthesizeRequest(bundles[kind], count=2, seed=3, hardware=CPU))
    network, generator = load_network(bundles[kind]), torch.Generator().manual_seed(3)
    latents = [network.draw(generator) for _ in range(2)]
    with torch.inference_mode():
        expected = slices_of(torch.cat([network.decode(z[None]) for z in latents]))[:, 0] * 1500 - 800
    assert result.images.shape == ((64, 32, 32) if kind == "cube" else (2, SIZE, SIZE))
    np.testing.assert_allclose(result.images, expected.numpy(), atol=0.1)
    is_codes = network.latent.kind == "codes"
    assert result.provenance.parameters["prior"] == ("uniform codes" if is_codes else "N(0, I)")
    assert ("temperature" in result.provenance.parameters) != is_codes


def test_uniform_codes_say_that_they_have_no_temperature(local, bundles):
    asked = SynthesizeRequest(bundles["codes"], count=1, temperature=0.5, hardware=CPU)
    assert any("temperature" in notice for notice in local.synthesize(asked).notices)


def test_a_plain_autoencoder_has_nothing_to_draw_from(local, bundles):
    with pytest.raises(UserError, match="no prior to draw from"):
        local.synthesize(SynthesizeRequest(bundles["point"], count=1, hardware=CPU))


@every_kind
def test_every_kind_can_be_searched_by_its_first_measure(bundles, volume, kind):
    network = load_network(bundles[kind])
    images = prepare(volume, read_manifest(bundles[kind]).preprocessing).images[:3]
    with torch.inference_mode():
        encoding = network.encode(images)
        table = measure_named(network.latent.similarity[0], network.latent).between(encoding, encoding)
    assert table.shape == (len(images), len(images))
    torch.testing.assert_close(table.diagonal(), table.min(dim=1).values, atol=1e-9, rtol=0)


def test_further_images_may_lie_on_grids_of_their_own(local, bundles, volume):
    """On the same grid nothing changes by it; on a coarser one the image is resampled, and the provenance tells."""
    plain = volume.replace(channels={})
    own = {name: volume.replace(array=array, channels={}, masks={}) for name, array in volume.channels.items()}
    whole = all_outputs(local, bundles, "channels", volume)
    apart = all_outputs(local, bundles, "channels", plain, channels=own)
    for name, array in whole.arrays.items():
        assert np.array_equal(array, apart.arrays[name]), name
    assert apart.provenance.parameters["channel T1"] == "one" and "channel T1" not in whole.provenance.parameters
    matrix = volume.geometry.ijk_to_ras @ np.diag([2.0, 2.0, 1.0, 1.0])
    array = own["T1"].array[:, ::2, ::2]
    coarse = Volume(array, Geometry(array.shape, matrix), volume.modality, source=Source(name="coarse"))
    near = all_outputs(local, bundles, "channels", plain, channels=own | {"T1": coarse})
    assert 0 < np.abs(near.arrays["residual T2"] - whole.arrays["residual T2"]).mean() < 100
    broken = own["T2"].replace(array=np.full_like(own["T2"].array, np.nan), source=Source(name="broken"))
    with pytest.raises(UserError, match="'broken' holds values that are not numbers"):
        all_outputs(local, bundles, "channels", plain, channels=own | {"T2": broken})


def test_only_real_values_of_the_modality_matter_for_further_images(local, bundles, volume):
    """A further image is never taken for the volume itself."""
    swapped = volume.replace(channels={"T1": volume.channels["T2"], "T2": volume.channels["T1"]})
    one, other = (all_outputs(local, bundles, "channels", each) for each in (volume, swapped))
    assert np.abs(one.arrays["residual T1"] - other.arrays["residual T1"]).max() > 1
    assert volume.modality is Modality.CT
