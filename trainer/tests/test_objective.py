import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import Moment
from slicervae.objectives.vae import VAEObjective, VAESettings
from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import build


def moment(step=0, epoch=0.0, seed=0):
    return Moment(step, 100, epoch, Draws(torch.Generator().manual_seed(seed)))


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("table52_vae", {"size": 64, "latent": 5}).eval()


@pytest.fixture(scope="module")
def batch():
    return Batch(torch.rand(6, 1, 64, 64, generator=torch.Generator().manual_seed(1)))


def terms_of(network, batch, **settings):
    return VAEObjective(network, VAESettings(**settings))(batch, moment())


@pytest.mark.parametrize("prior_variance", [1.0, 0.3, 7.0])
def test_kl_is_that_of_torch_distributions(prior_variance):
    generator = torch.Generator().manual_seed(2)
    mean, log_variance = torch.randn(7, 5, generator=generator), torch.randn(7, 5, generator=generator)
    prior = Normal(0.0, math.sqrt(prior_variance))
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), prior).sum(dim=1)
    torch.testing.assert_close(DiagonalGaussian(mean, log_variance, prior_variance).kl(), expected)


@pytest.mark.parametrize("noise", ["optimal", "fixed"])
def test_the_loss_is_the_negative_log_likelihood_and_beta_times_kl(network, batch, noise):
    terms = terms_of(network, batch, noise=noise, noise_variance=0.02, beta=3.0)
    posterior = network.encode(batch.images)
    epsilon = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    decoded = network.decode(posterior.mean + torch.exp(posterior.log_variance / 2) * epsilon)
    mse = ((batch.images - decoded) ** 2).mean()
    variance = mse if noise == "optimal" else torch.tensor(0.02)
    likelihood = Normal(decoded, variance.sqrt()).log_prob(batch.images).flatten(1).sum(dim=1).mean()
    divergence = kl_divergence(Normal(posterior.mean, torch.exp(posterior.log_variance / 2)), Normal(0.0, 1.0))
    expected = -likelihood + 3.0 * divergence.sum(dim=1).mean()
    torch.testing.assert_close(terms.loss, expected, rtol=1e-5, atol=1e-2)
    torch.testing.assert_close(terms.parts["mse"], mse)


def test_the_optimal_variance_minimises_the_loss(network, batch):
    best = terms_of(network, batch)
    for factor in (0.8, 1.25):
        other = terms_of(network, batch, noise="fixed", noise_variance=float(best.parts["mse"].detach()) * factor)
        assert other.loss > best.loss


def test_left_out_pixels_do_not_count(network, batch):
    kept = torch.ones(6, 1, 64, 64)
    kept[:, :, 10:30, 20:50] = 0
    changed = batch.images.clone()
    changed[kept == 0] = 0.7
    posterior = network.encode(batch.images)  # the input is the same; only what it is held against differs
    reconstructions = network.decode(posterior.mean)
    from slicervae.objectives.likelihood import LikelihoodSettings, negative_log_likelihood

    for settings in (LikelihoodSettings(), LikelihoodSettings(noise="fixed", noise_variance=0.02)):
        first = negative_log_likelihood(Batch(batch.images, kept), reconstructions, settings)
        second = negative_log_likelihood(Batch(changed, kept), reconstructions, settings)
        torch.testing.assert_close(first, second)
        variance = first[1] if settings.noise == "optimal" else torch.tensor(0.02)
        log_prob = Normal(reconstructions, variance.sqrt()).log_prob(batch.images) * kept
        torch.testing.assert_close(first[0], -log_prob.flatten(1).sum(dim=1).mean(), rtol=1e-5, atol=1e-2)
        everything = negative_log_likelihood(Batch(batch.images, torch.ones_like(kept)), reconstructions, settings)
        torch.testing.assert_close(everything, negative_log_likelihood(batch, reconstructions, settings))


def test_the_kl_weight_rises_over_its_warm_up(network, batch):
    objective = VAEObjective(network, VAESettings(beta=4.0, kl_warm_up_epochs=10.0))

    def weight(epoch):
        terms = objective(batch, moment(epoch=epoch))
        return float((terms.loss - terms.parts["reconstruction"]) / terms.parts["kl"])

    assert weight(0.0) == pytest.approx(0.0, abs=1e-3)
    assert weight(2.5) == pytest.approx(1.0, rel=1e-2)
    assert weight(25.0) == pytest.approx(4.0, rel=1e-2)


def test_free_bits_leave_latents_below_them_alone(network, batch):
    posterior = network.encode(batch.images)
    each = posterior.kl_per_latent().mean(dim=0)
    floor = float(each.median())
    terms = terms_of(network, batch, free_bits=floor)
    counted = terms.loss - terms.parts["reconstruction"]
    torch.testing.assert_close(counted, each.clamp_min(floor).sum(), rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(terms.parts["kl"], each.sum())


def test_the_gradient_is_that_of_finite_differences(batch):
    torch.manual_seed(3)
    network = build("table52_vae", {"size": 64, "latent": 3}).eval()
    objective = VAEObjective(network, VAESettings())
    bias = network.decoder[-1].bias
    objective(batch, moment()).loss.backward()
    analytic = float(bias.grad)
    step = 1e-2
    with torch.no_grad():
        bias += step
        above = float(objective(batch, moment()).loss)
        bias -= 2 * step
        below = float(objective(batch, moment()).loss)
    assert (above - below) / (2 * step) == pytest.approx(analytic, rel=2e-2)
