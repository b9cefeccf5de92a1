"""IntroVAE and Soft-IntroVAE against the formulas, computed anew on copies of the network."""

import copy
import dataclasses

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slicervae.data.batch import Batch
from slicervae.objectives.introspection import WARM_UP
from slicervae.objectives.introvae import IntroVAEObjective, IntroVAESettings
from slicervae.objectives.soft_introvae import SoftIntroVAEObjective, SoftIntroVAESettings
from slicervae.objectives.vae import VAEObjective, VAESettings
from SlicerVAELib.core.networks import build
from tests.small_vae import LATENT, finite_difference, moment, noise, small_vae

COUNT, PIXELS = 6, 64
INTRO = IntroVAESettings(warm_up_epochs=2, margin=2.0, reconstruction=7.0, encoder_hinge=0.3, generator_kl=0.6)
FIXED = SoftIntroVAESettings(
    warm_up_epochs=2, noise="fixed", noise_variance=0.3, beta_rec=1.5, beta_kl=0.2, beta_neg=0.9, alpha=0.4
)
OPTIMAL = SoftIntroVAESettings(warm_up_epochs=2, noise="optimal", beta_rec=1.5, beta_kl=0.2, beta_neg=0.9, alpha=0.4)
GAME = {"epoch": 2.0}
WITHOUT_GAME = {IntroVAEObjective: {"encoder_hinge": 0.0, "generator_kl": 0.0}, SoftIntroVAEObjective: {"alpha": 0.0}}
BOTH = pytest.mark.parametrize(
    ("kind", "settings"),
    [(IntroVAEObjective, INTRO), (SoftIntroVAEObjective, FIXED), (SoftIntroVAEObjective, OPTIMAL)],
    ids=["introvae", "soft", "soft-optimal"],
)


@pytest.fixture
def network():
    return small_vae(prior_variance=1.5)


@pytest.fixture(scope="module")
def batch():
    return Batch(torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double())


def kl(posterior):
    deviation = torch.exp(posterior.log_variance / 2)
    return kl_divergence(Normal(posterior.mean, deviation), Normal(0.0, 1.5**0.5)).sum(dim=1)


def drawn(posterior, epsilon):
    return posterior.mean + torch.exp(posterior.log_variance / 2) * epsilon


def variance(settings, mse):
    """σ², without a gradient."""
    return settings.noise_variance if settings.noise == "fixed" else mse.detach()


def encoder_loss(network, images, settings, seed, fixed=None, of_all=None):
    """L_E; ``fixed`` are generated images to hold constant, and ``of_all`` the squared error that σ² is made of, for
    finite differences."""
    epsilon, prior, *later = noise(COUNT, seed=seed, calls=4)
    posterior = network.encode(images)
    reconstructed = network.decode(drawn(posterior, epsilon))
    sampled = network.decode(prior * 1.5**0.5)
    generated = [reconstructed, sampled] if fixed is None else fixed
    mse = ((reconstructed - images) ** 2).mean()
    if isinstance(settings, IntroVAESettings):
        margin = settings.margin * LATENT
        hinges = sum(torch.relu(margin - kl(network.encode(image))).mean() for image in generated)
        return kl(posterior).mean() + settings.encoder_hinge * hinges + settings.reconstruction * LATENT * mse
    twice = 2 * variance(settings, mse if of_all is None else of_all)
    loss = settings.beta_rec * mse / twice + settings.beta_kl * kl(posterior).mean() / PIXELS
    for image, epsilon in zip(generated, later, strict=True):
        its = network.encode(image)
        error = ((image - network.decode(drawn(its, epsilon))) ** 2).flatten(1).sum(dim=1)
        # The specification's form: both terms sums over the image, and their sum divided by its C·H·W values.
        elbo = -(settings.beta_rec * error / twice + settings.beta_neg * PIXELS / LATENT * kl(its)) / PIXELS
        loss = loss + settings.alpha * 0.5 * torch.exp(2 * elbo).mean()
    return loss


def generator_loss(network, images, settings, seed, latents=None, of_all=None):
    """L_G, with the latents of the images as constants, and what σ² is made of."""
    epsilon, prior = noise(COUNT, seed=seed, calls=2)
    latents = drawn(network.encode(images), epsilon).detach() if latents is None else latents
    reconstructed, sampled = network.decode(latents), network.decode(prior * 1.5**0.5)
    mse = ((reconstructed - images) ** 2).mean()
    divergences = sum(kl(network.encode(image)).mean() for image in (reconstructed, sampled))
    if isinstance(settings, IntroVAESettings):
        return settings.generator_kl * divergences + settings.reconstruction * LATENT * mse
    twice = 2 * variance(settings, mse if of_all is None else of_all)
    return settings.beta_rec * mse / twice + settings.alpha * settings.beta_kl * divergences / PIXELS


@BOTH
def test_the_encoders_loss_is_the_formula(kind, settings, network, batch):
    terms = kind(network, settings)(batch, moment(**GAME, seed=3), "encoder")
    torch.testing.assert_close(terms.loss, encoder_loss(network, batch.images, settings, 3))


@BOTH
def test_the_decoders_loss_is_computed_anew_with_the_encoder_after_its_step(kind, settings, network, batch):
    objective = kind(network, settings)
    optimizer = torch.optim.SGD(objective.parameters_of("encoder"), lr=0.05)
    before = copy.deepcopy(network)
    objective(batch, moment(**GAME, seed=3), "encoder").loss.backward()
    optimizer.step()
    terms = objective(batch, moment(**GAME, seed=4), "generator")
    torch.testing.assert_close(terms.loss, generator_loss(network, batch.images, settings, 4))
    assert abs(float(terms.loss.detach() - generator_loss(before, batch.images, settings, 4).detach())) > 1e-3
    terms.loss.backward()  # a graph through the encoder's old weights would raise here


@BOTH
@pytest.mark.parametrize("phase", ["encoder", "generator"])
def test_each_phase_trains_its_own_part_alone(kind, settings, network, batch, phase):
    objective = kind(network, settings)
    objective(batch, moment(**GAME), phase).loss.backward()
    own = {id(weight) for weight in objective.parameters_of(phase)}
    part = network.encoder if phase == "encoder" else network.decoder
    assert own == {id(weight) for weight in part.parameters()}
    for weight in network.parameters():
        assert (weight.grad is not None and bool(weight.grad.abs().sum() > 0)) == (id(weight) in own)


@BOTH
def test_gradients_are_those_of_finite_differences(kind, settings, network, batch):
    objective = kind(network, settings)
    epsilon, prior = noise(COUNT, seed=3, calls=2)
    with torch.no_grad():
        latents = drawn(network.encode(batch.images), epsilon)
        fixed = [network.decode(latents), network.decode(prior * 1.5**0.5)]
        of_all = ((fixed[0] - batch.images) ** 2).mean()
    objective(batch, moment(**GAME, seed=3), "encoder").loss.backward()
    objective(batch, moment(**GAME, seed=3), "generator").loss.backward()
    for weight, index in ((network.encoder[0].weight, (1, 0, 2, 2)), (network.encoder[4].bias, (LATENT,))):
        expected = finite_difference(
            lambda: encoder_loss(network, batch.images, settings, 3, fixed, of_all), weight, index, step=1e-6
        )
        assert float(weight.grad[index]) == pytest.approx(expected, rel=1e-4, abs=1e-9)
    for weight, index in ((network.decoder[0].weight, (5, 1)), (network.decoder[4].weight, (2, 0, 1, 1))):
        expected = finite_difference(
            lambda: generator_loss(network, batch.images, settings, 3, latents, of_all), weight, index, step=1e-6
        )
        assert float(weight.grad[index]) == pytest.approx(expected, rel=1e-4, abs=1e-9)


@BOTH
def test_in_the_warm_up_both_parts_step_after_one_pass(kind, settings, network, batch):
    objective = kind(network, settings)
    ((name, together),) = objective.passes(epoch=1.9).items()
    assert tuple(together) == objective.phases == tuple(objective.passes(epoch=2.0))
    terms = objective(batch, moment(epoch=1.9), name)
    assert set(terms.parts) == {"mse", "kl"}
    alone = dataclasses.replace(settings, **WITHOUT_GAME[kind])
    torch.testing.assert_close(terms.loss, encoder_loss(network, batch.images, alone, 0))
    terms.loss.backward()
    assert all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in network.parameters())


def test_with_the_optimal_variance_the_warm_up_is_the_training_of_a_vae(network, batch):
    soft = SoftIntroVAEObjective(network, SoftIntroVAESettings(warm_up_epochs=2))
    soft(batch, moment(epoch=1.9), WARM_UP).loss.backward()
    gradients = [weight.grad * PIXELS for weight in network.parameters()]
    network.zero_grad()
    VAEObjective(network, VAESettings())(batch, moment()).loss.backward()
    for gradient, weight in zip(gradients, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, weight.grad)
    assert soft.judge({"mse": 0.01, "kl": 5.0}) * PIXELS == pytest.approx(
        VAEObjective(network, VAESettings()).judge({"mse": 0.01, "kl": 5.0})
    )


@BOTH
def test_running_statistics_are_those_of_images_and_their_reconstructions(kind, settings, network, batch):
    alone = copy.deepcopy(network)
    alone.encode(batch.images)
    epsilon = noise(COUNT, seed=4)[0]
    latents = drawn(copy.deepcopy(network).encode(batch.images), epsilon)
    alone.decode(latents)
    objective = kind(network, settings)
    objective(batch, moment(**GAME, seed=3), "encoder")
    objective(batch, moment(**GAME, seed=4), "generator")
    for (name, buffer), (_, expected) in zip(network.named_buffers(), alone.named_buffers(), strict=True):
        torch.testing.assert_close(buffer, expected, msg=name)


def test_generated_images_beyond_the_margin_do_not_pull(network, batch):
    without = IntroVAESettings(warm_up_epochs=0, margin=0.0)
    terms = IntroVAEObjective(network, without)(batch, moment(), "encoder")
    assert float(terms.loss.detach()) == pytest.approx(
        float(terms.parts["kl"].detach() + without.reconstruction * LATENT * terms.parts["mse"].detach())
    )


def test_the_exponential_neither_overflows_nor_becomes_no_number(batch):
    network = small_vae().float()
    with torch.no_grad():
        network.encoder[4].bias[:] = 60.0  # a KL of e⁶⁰
    single = Batch(batch.images.float())
    objective = SoftIntroVAEObjective(network, SoftIntroVAESettings(warm_up_epochs=0, beta_rec=1e5, beta_neg=1e5))
    terms = objective(single, moment(), "encoder")
    for name in ("exponential_reconstructed", "exponential_sampled"):
        assert 0 <= float(terms.parts[name].detach()) <= 1


@BOTH
def test_the_last_weights_of_the_game_are_kept_and_never_those_of_the_warm_up(kind, settings, network):
    objective = kind(network, settings)
    means = {"mse": 0.01, "kl": 5.0}
    plain = objective.judge(means)
    assert plain == objective.real_loss(0.01, 5.0)
    objective.after_step(moment(step=7, epoch=1.9))
    assert objective.judge(means) == plain
    seen = []
    for step in (8, 9, 20):
        objective.after_step(moment(step=step, epoch=2.0))
        seen.append(objective.judge({"mse": 0.01 * step, "kl": 5.0}))
    assert plain > seen[0] > seen[1] > seen[2]
    copied = kind(small_vae(), settings)
    copied.load_state_dict(objective.state_dict())  # as a resumed run does
    assert copied.judge(means) == seen[2]


@BOTH
def test_a_network_without_single_posteriors_is_refused(kind, settings):
    assert "Gaussian" in kind.reason_against(build("table52_vqvae", {"size": 64}), settings)
    assert kind.reason_against(small_vae().float(), settings) == ""
