import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slicervae.objectives import VAEObjective
from slicervae.recipe import ObjectiveSettings
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.posterior import DiagonalGaussian


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("table52_vae", {"size": 64, "latent": 5})


@pytest.fixture(scope="module")
def images():
    return torch.rand(6, 1, 64, 64, generator=torch.Generator().manual_seed(1))


def test_kl_is_that_of_torch_distributions():
    generator = torch.Generator().manual_seed(2)
    mean, log_variance = torch.randn(7, 5, generator=generator), torch.randn(7, 5, generator=generator)
    expected = kl_divergence(Normal(mean, torch.exp(log_variance / 2)), Normal(0.0, 1.0)).sum(dim=1)
    torch.testing.assert_close(DiagonalGaussian(mean, log_variance).kl(), expected)


@pytest.mark.parametrize("noise", ["optimal", "fixed"])
def test_the_loss_is_the_negative_log_likelihood_and_beta_times_kl(network, images, noise):
    settings = ObjectiveSettings(noise=noise, noise_variance=0.02, beta=3.0)
    objective = VAEObjective(network.eval(), settings)
    terms = objective(images, None)
    posterior = network.encode(images)
    decoded = network.decode(posterior.mean)
    variance = ((images - decoded) ** 2).mean() if noise == "optimal" else torch.tensor(0.02)
    likelihood = Normal(decoded, variance.sqrt()).log_prob(images).flatten(1).sum(dim=1).mean()
    divergence = kl_divergence(Normal(posterior.mean, torch.exp(posterior.log_variance / 2)), Normal(0.0, 1.0))
    expected = -likelihood + 3.0 * divergence.sum(dim=1).mean()
    torch.testing.assert_close(terms.loss, expected, rtol=1e-5, atol=1e-2)
    torch.testing.assert_close(terms.mse, ((images - decoded) ** 2).mean())


def test_the_optimal_variance_minimises_the_loss(network, images):
    best = VAEObjective(network.eval(), ObjectiveSettings())(images, None)
    for factor in (0.8, 1.25):
        settings = ObjectiveSettings(noise="fixed", noise_variance=float(best.mse.detach()) * factor)
        assert VAEObjective(network, settings)(images, None).loss > best.loss


def test_the_gradient_is_that_of_finite_differences(images):
    torch.manual_seed(3)
    network = build("table52_vae", {"size": 64, "latent": 3}).eval()
    objective = VAEObjective(network, ObjectiveSettings())
    bias = network.decoder[-1].bias
    objective(images, None).loss.backward()
    analytic = float(bias.grad)
    step = 1e-2
    with torch.no_grad():
        bias += step
        above = float(objective(images, None).loss)
        bias -= 2 * step
        below = float(objective(images, None).loss)
    assert (above - below) / (2 * step) == pytest.approx(analytic, rel=2e-2)
