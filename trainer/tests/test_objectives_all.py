"""What holds for every objective: half precision inside the network alone, batches without images, equal draws."""

import pytest
import torch

from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import OBJECTIVES, Moment, objective_for
from slicervae.objectives.autoencoder import AutoencoderSettings
from slicervae.objectives.base import pixels_counted, squared_error
from slicervae.objectives.cevae import CEVAESettings
from slicervae.objectives.hierarchical import HierarchicalSettings
from slicervae.objectives.introvae import IntroVAESettings
from slicervae.objectives.likelihood import LikelihoodSettings, negative_log_likelihood
from slicervae.objectives.pchvae import PrimaryComponentsSettings
from slicervae.objectives.soft_introvae import SoftIntroVAESettings
from slicervae.objectives.structures import StructuresSettings
from slicervae.objectives.vae import VAESettings
from slicervae.objectives.vpga import VPGASettings
from slicervae.objectives.vqvae import VQVAESettings
from SlicerVAELib.core.networks import build

VAE = ("conv_pool_vae", {"size": 16, "filters": 4, "latent": 3})
HIERARCHY = {"size": 64, "high_maps": 2, "low_maps": 1, "width": 2, "hidden": 2}
FIXED = {"noise": "fixed", "noise_variance": 0.01}  # the optimal one's logarithm can be near 0, where 3 % are little
CASES = {
    "autoencoder": ("table52_ae", {"size": 64, "latent": 4}, AutoencoderSettings(**FIXED)),
    "cevae": (*VAE, CEVAESettings(**FIXED)),
    "chvae": ("chvae", HIERARCHY, HierarchicalSettings(**FIXED)),
    "introvae": (*VAE, IntroVAESettings(warm_up_epochs=0)),
    "pchvae": ("pchvae", HIERARCHY, PrimaryComponentsSettings(**FIXED)),
    "soft_introvae": (*VAE, SoftIntroVAESettings(warm_up_epochs=0)),
    "structures": (
        "conv_pool_structures",
        {"size": 64, "structures": 2, "filters": 4, "latent": 3},
        StructuresSettings(**FIXED),
    ),
    "vae": (*VAE, VAESettings(free_bits=0.01, **FIXED)),
    "vpga": (*VAE, VPGASettings(image_latents=0.1)),
    "vqvae": (
        "vqvae2",
        {"size": 64, "codebook_size": 8, "dimension": 4, "filters": 8, "residuals": 1, "hidden": 4},
        VQVAESettings(**FIXED),
    ),
}
EVERY = pytest.mark.parametrize("kind", OBJECTIVES)


def objective_of(kind):
    family, network, settings = CASES[kind]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return objective_for(build(family, network), settings).train()


def images_of(network, count):
    images = torch.rand(count, *network.image_shape, generator=torch.Generator().manual_seed(1))
    first = network.channels - network.structure_channels
    if network.structure_channels:
        classes = images[:, first:].argmax(dim=1)
        images[:, first:] = torch.nn.functional.one_hot(classes, network.structure_channels).movedim(-1, 1)
    return images


def moment(part=0, parts=1):
    return Moment(0, 100, 1.0, Draws(torch.Generator().manual_seed(2), part, parts))


def losses_of(kind, *, rounded, autocast):
    """The loss of every phase for four images, rounded to bfloat16 where asked for, and for autocast or not."""
    objective = objective_of(kind)
    images = images_of(objective.network, 4)
    batch = Batch(images, torch.ones_like(images[:, :1]))
    if rounded:
        batch = Batch(images.bfloat16(), torch.ones_like(images[:, :1]).bfloat16())
    losses = []
    for phase in objective.phases:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            terms = objective(batch, moment(), phase)
            objective.after_step(moment())
        assert {value.dtype for value in terms.parts.values()} == {torch.float32}
        losses.append(terms.loss.detach())
    return torch.stack(losses)


@EVERY
@pytest.mark.parametrize("rounded", [False, True], ids=["images-in-float32", "images-in-bfloat16"])
def test_the_loss_is_taken_in_float32_whatever_the_networks_precision(kind, rounded):
    half, full = losses_of(kind, rounded=rounded, autocast=True), losses_of(kind, rounded=False, autocast=False)
    assert half.dtype == torch.float32
    assert half.isfinite().all()
    torch.testing.assert_close(half, full, rtol=0.03, atol=0)
    assert not torch.equal(half, full)  # the network did compute in half precision


def test_sums_over_pixels_keep_float32_of_a_half_precision_decoder():
    generator = torch.Generator().manual_seed(3)
    images, decoded = (torch.rand(2, 1, 300, 300, generator=generator) for _ in range(2))
    kept = (torch.rand(2, 1, 300, 300, generator=generator) < 0.7).float()
    for dtype in (torch.float16, torch.bfloat16):
        half = Batch(images, kept.to(dtype))
        assert pixels_counted(Batch(images.to(dtype))).tolist() == [90_000, 90_000]  # more than float16 can hold
        assert pixels_counted(half).tolist() == kept.flatten(1).sum(dim=1).tolist()
        rounded = decoded.to(dtype)
        exact = squared_error(Batch(images, kept), rounded.float())
        torch.testing.assert_close(squared_error(half, rounded), exact)
        for settings in (LikelihoodSettings(), LikelihoodSettings(**FIXED)):
            nats = negative_log_likelihood(half, rounded, settings)
            torch.testing.assert_close(nats, negative_log_likelihood(Batch(images, kept), rounded.float(), settings))


@EVERY
@pytest.mark.parametrize("masked", [False, True])
def test_a_process_without_validation_images_measures_nothing(kind, masked):
    objective = objective_of(kind).eval()
    images = images_of(objective.network, 2)[:0]
    with torch.inference_mode():
        measured = objective.measure(Batch(images, images[:, :1] if masked else None))
    assert "mse" in measured
    assert {tuple(values.shape) for values in measured.values()} == {(0,)}


@EVERY
def test_every_part_of_a_step_draws_the_same_numbers(kind):
    objective = objective_of(kind)
    images = images_of(objective.network, 8)
    for _ in range(2):  # the first step may have something to begin
        for phase in objective.phases:
            states = []
            for part, own in enumerate(images.chunk(4)):
                where = moment(part, 4)
                objective(Batch(own), where, phase)
                states.append(where.draws.generator.get_state())
            assert all(torch.equal(state, states[0]) for state in states[1:])
            objective.after_step(where)
