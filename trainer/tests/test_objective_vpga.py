import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slicervae.data.batch import Batch
from slicervae.objectives.vpga import VPGAObjective, VPGASettings
from SlicerVAELib.core.networks import build
from tests.small_vae import LATENT, finite_difference, moment, noise, small_vae

COUNT = 6
WEIGHTS = VPGASettings(prior_latents=0.3, image_latents=0.2, noisy_latents=0.7, kl=0.05)


@pytest.fixture
def network():
    return small_vae(prior_variance=2.0)


@pytest.fixture(scope="module")
def batch():
    return Batch(torch.rand(COUNT, 1, 8, 8, generator=torch.Generator().manual_seed(1)).double())


def returned(network, latents):
    return network.encode(network.decode(latents)).mean


def terms_by_hand(network, images):
    """Every term with all its gradients, by equations 4.6 to 4.9 alone, squares as means over their numbers."""
    epsilon, prior = noise(COUNT, calls=2)
    prior = prior * 2.0**0.5
    posterior = network.encode(images)
    mean, deviation = posterior.mean, torch.exp(posterior.log_variance / 2)
    divergence = kl_divergence(Normal(mean, deviation), Normal(0.0, 2.0**0.5)).sum(dim=1).mean()
    noisy = returned(network, mean + deviation * epsilon) - returned(network, mean)
    return {
        "mse": ((network.decode(mean) - images) ** 2).mean(),
        "kl": divergence,
        "prior_latents": ((returned(network, prior) - prior) ** 2).mean() / 2,
        "image_latents": ((returned(network, mean.detach()) - mean.detach()) ** 2).mean() / 2,
        "noisy_latents": (noisy**2).mean() / 2,
    }


def test_the_loss_is_the_weighted_sum_of_its_terms(network, batch):
    terms = VPGAObjective(network, WEIGHTS)(batch, moment())
    expected = terms_by_hand(network, batch.images)
    for name, value in expected.items():
        torch.testing.assert_close(terms.parts[name], value)
    whole = (
        expected["mse"] / 2
        + 0.3 * expected["prior_latents"]
        + 0.2 * expected["image_latents"]
        + 0.7 * expected["noisy_latents"]
        + 0.05 / LATENT * expected["kl"]
    )
    torch.testing.assert_close(terms.loss, whole)


def test_only_the_reconstruction_and_the_noisy_latents_train_the_decoder(network, batch):
    VPGAObjective(network, WEIGHTS)(batch, moment()).loss.backward()
    trained = [weight.grad.clone() for weight in network.decoder.parameters()]
    network.zero_grad()
    expected = terms_by_hand(network, batch.images)
    (expected["mse"] / 2 + 0.7 * expected["noisy_latents"]).backward()
    for gradient, weight in zip(trained, network.decoder.parameters(), strict=True):
        torch.testing.assert_close(gradient, weight.grad)
    assert max(float(gradient.abs().max()) for gradient in trained) > 1e-3


def test_the_encoder_follows_all_terms(network, batch):
    VPGAObjective(network, WEIGHTS)(batch, moment()).loss.backward()
    fixed = network.encode(batch.images).mean.detach()  # L_lr,H takes its latents as constants

    def loss():
        parts = terms_by_hand(network, batch.images)
        latents = 0.2 * ((returned(network, fixed) - fixed) ** 2).mean() / 2
        others = 0.3 * parts["prior_latents"] + 0.7 * parts["noisy_latents"] + 0.05 / LATENT * parts["kl"]
        return parts["mse"] / 2 + latents + others

    biases = ((network.encoder[4].bias, (index,)) for index in (0, LATENT + 1))  # of a mean and of a variance
    for weight, index in ((network.encoder[0].weight, (1, 0, 2, 2)), *biases):
        assert float(weight.grad[index]) == pytest.approx(finite_difference(loss, weight, index), rel=1e-5)


def test_the_noisy_latents_train_encoder_and_decoder(network, batch):
    objective = VPGAObjective(network, VPGASettings(prior_latents=0, image_latents=0, noisy_latents=1.0, kl=0))
    ours = torch.autograd.grad(objective(batch, moment()).parts["noisy_latents"], list(network.parameters()))
    theirs = torch.autograd.grad(terms_by_hand(network, batch.images)["noisy_latents"], list(network.parameters()))
    for gradient, expected in zip(ours, theirs, strict=True):
        torch.testing.assert_close(gradient, expected)
    assert float(ours[0].abs().max()) > 1e-6


def test_running_statistics_are_those_of_the_images_and_their_reconstructions(network, batch):
    alone = small_vae(prior_variance=2.0)
    alone.decode(alone.encode(batch.images).mean)
    VPGAObjective(network, WEIGHTS)(batch, moment())
    for (name, buffer), (_, expected) in zip(network.named_buffers(), alone.named_buffers(), strict=True):
        torch.testing.assert_close(buffer, expected, msg=name)


def test_weights_of_zero_cost_nothing(network, batch):
    terms = VPGAObjective(network, VPGASettings())(batch, moment())
    assert set(terms.parts) == {"mse", "kl", "prior_latents", "noisy_latents"}


def test_the_validation_loss_is_that_of_the_means(network, batch):
    network.eval()
    objective = VPGAObjective(network, WEIGHTS)
    measured = objective.measure(batch)
    mean = network.encode(batch.images).mean
    latents = ((returned(network, mean) - mean) ** 2).mean(dim=1) / 2
    torch.testing.assert_close(measured["image_latents"], latents)
    means = {name: float(values.detach().mean()) for name, values in measured.items()}
    expected = means["mse"] / 2 + 1.2 * means["image_latents"] + 0.05 / LATENT * means["kl"]
    assert objective.judge(means) == pytest.approx(expected)


def test_a_network_without_single_posteriors_is_refused():
    codes = build("table52_vqvae", {"size": 64})
    assert "Gaussian" in VPGAObjective.reason_against(codes, VPGASettings())
    assert VPGAObjective.reason_against(small_vae().float(), VPGASettings()) == ""


def test_training_lowers_every_term(batch):
    network = small_vae()
    objective = VPGAObjective(network, VPGASettings())
    optimizer = torch.optim.Adam(objective.parameters_of("all"), lr=1e-2)
    seen = []
    for step in range(150):
        optimizer.zero_grad()
        terms = objective(batch, moment(step, seed=step))
        terms.loss.backward()
        optimizer.step()
        seen.append({name: float(value.detach()) for name, value in terms.parts.items()})
    for name in ("mse", "prior_latents"):
        assert sum(part[name] for part in seen[-10:]) < 0.5 * sum(part[name] for part in seen[:10])
