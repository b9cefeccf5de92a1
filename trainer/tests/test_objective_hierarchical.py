"""The objectives of source 003, against torch.distributions and the source's equation written out."""

import math

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import Moment, objective_for
from slicervae.objectives.hierarchical import HierarchicalSettings
from slicervae.objectives.pchvae import PrimaryComponentsSettings
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build

TINY = {"size": 64, "high_maps": 2, "low_maps": 1, "width": 2, "hidden": 2}
HIGH = 2 * 4 * 4
LAMBDAS = {"lambda_1": 0.5, "lambda_2": 2.0, "lambda_3": 3.0, "lambda_4": 0.7, "lambda_5": 1.3}


def moment(epoch=0.0, part=0, parts=1):
    return Moment(0, 100, epoch, Draws(torch.Generator().manual_seed(0), part, parts))


@pytest.fixture(scope="module", params=["chvae", "pchvae"])
def network(request):
    return tiny(request.param)


def tiny(family):
    torch.manual_seed(0)
    network = build(family, TINY)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)  # no term is zero by its start
    return network


@pytest.fixture(scope="module")
def batch():
    return Batch(torch.rand(5, 1, 64, 64, generator=torch.Generator().manual_seed(1)))


def normal(posterior):
    return Independent(Normal(posterior.mean, torch.exp(posterior.log_variance / 2)), 1)


def prior_of(posterior):
    return Independent(Normal(torch.zeros_like(posterior.mean), torch.ones_like(posterior.mean)), 1)


def by_hand(network, images, noise, again):
    """z₁ ~ q(z₁|x), z₂ ~ q(z₂|x, z₁) with given noise, and the two divergences; g₁, g₂ and the zero part."""
    encoding = network.encode(images)
    first = encoding.first.mean + torch.exp(encoding.first.log_variance / 2) * noise[:, :HIGH]
    second_posterior = encoding.second_given(first)
    second = second_posterior.mean + torch.exp(second_posterior.log_variance / 2) * noise[:, HIGH:]
    divergences = [kl_divergence(normal(q), prior_of(q)).mean() for q in (encoding.first, second_posterior)]
    low = network.low_level(first, second)
    if again is None:
        return divergences, low
    seen = network.encode(low).first
    zero = network.high_level(seen.mean + torch.exp(seen.log_variance / 2) * again)
    return divergences, network.high_level(first), low, zero


def nll(images, reconstructions, variance):
    return -Normal(reconstructions, math.sqrt(variance)).log_prob(images).flatten(1).sum(dim=1).mean()


@pytest.mark.parametrize("noise", ["optimal", "fixed"])
def test_chvae_is_the_negative_evidence_lower_bound(batch, noise):
    network = tiny("chvae")
    settings = HierarchicalSettings(noise=noise, noise_variance=0.03, beta=1.5)
    terms = objective_for(network, settings)(batch, moment())
    drawn = torch.randn(5, network.latent.size, generator=torch.Generator().manual_seed(0))
    (high, low), images = by_hand(network, batch.images, drawn, None)
    mse = (batch.images - images).square().mean()
    variance = float(mse.detach()) if noise == "optimal" else 0.03
    torch.testing.assert_close(
        terms.loss, nll(batch.images, images, variance) + 1.5 * (high + low), rtol=1e-5, atol=0.01
    )
    torch.testing.assert_close(terms.parts["mse"], mse)
    torch.testing.assert_close(terms.parts["kl_high"], high)
    torch.testing.assert_close(terms.parts["kl_low"], low)


@pytest.mark.parametrize("noise", ["optimal", "fixed"])
def test_pchvae_is_equation_nine_of_the_source(batch, noise):
    network = tiny("pchvae")
    settings = PrimaryComponentsSettings(noise=noise, noise_variance=0.03, beta=1.5, **LAMBDAS)
    terms = objective_for(network, settings)(batch, moment())
    generator = torch.Generator().manual_seed(0)
    drawn, again = torch.randn(5, network.latent.size, generator=generator), torch.randn(5, HIGH, generator=generator)
    (kl_1, kl_2), g_1, g_2, zero = by_hand(network, batch.images, drawn, again)
    x = batch.images
    c_1, c_2 = float((x - g_1).square().mean().detach()), float((x - g_1 - g_2).square().mean().detach())
    if noise == "fixed":
        c_1 = c_2 = 0.03
    expected = (
        0.5 * nll(x, g_1, c_1)
        + 2.0 * nll(x, g_1 + g_2, c_2)
        + 3.0 * (nll(zero, torch.zeros_like(zero), c_2) - nll(0 * zero, 0 * zero, c_2))  # ‖zero‖² without its constant
        + 1.5 * (0.7 * kl_1 + 1.3 * kl_2)
    )
    torch.testing.assert_close(terms.loss, expected, rtol=1e-5, atol=0.01)
    torch.testing.assert_close(terms.parts["mse"], (x - g_1 - g_2).square().mean())


def test_fixed_noise_weights_the_squares_as_the_source_does(batch):
    """With one constant c, L is a constant and 1/2c times the squares of equation 9, λ₄ = λ₅ = 2c apart."""
    network, c = tiny("pchvae"), 0.05
    settings = PrimaryComponentsSettings(noise="fixed", noise_variance=c)
    other = build("pchvae", TINY)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        other.decoder["high"][-1].bias += 0.1

    def source(net):
        generator = torch.Generator().manual_seed(0)
        drawn, again = torch.randn(5, net.latent.size, generator=generator), torch.randn(5, HIGH, generator=generator)
        (kl_1, kl_2), g_1, g_2, zero = by_hand(net, batch.images, drawn, again)
        squares = (batch.images - g_1).square() + (batch.images - g_1 - g_2).square() + zero.square()
        return squares.flatten(1).sum(dim=1).mean() + 2 * c * (kl_1 + kl_2)

    ours = [objective_for(net, settings)(batch, moment()).loss for net in (network, other)]
    theirs = [source(net) for net in (network, other)]
    torch.testing.assert_close((ours[1] - ours[0]) * 2 * c, theirs[1] - theirs[0], rtol=1e-3, atol=0.01)


def test_the_third_term_reaches_every_part_of_the_network(batch):
    """g₂ must learn to hide from f₁, and f₁ and g₁ not to look."""
    network = tiny("pchvae")
    zero = dict.fromkeys(LAMBDAS, 0.0)
    settings = PrimaryComponentsSettings(noise="fixed", **{**zero, "lambda_3": 1.0})
    objective_for(network, settings)(batch, moment()).loss.backward()
    for part in (network.encoder["high"], network.decoder["high"], network.decoder["low"], network.decoder["lift"]):
        assert any(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in part.parameters())


def test_an_ever_fainter_zero_part_is_not_rewarded_without_bound(batch):
    network = tiny("pchvae")
    with torch.no_grad():
        network.decoder["low"][-1].weight.zero_()
        network.decoder["low"][-1].bias.zero_()
        network.decoder["high"][-1].weight.zero_()
        network.decoder["high"][-1].bias.zero_()
    terms = objective_for(network, PrimaryComponentsSettings())(batch, moment())
    assert float(terms.parts["zero"].detach()) == 0.0
    assert math.isfinite(float(terms.loss.detach()))


def test_left_out_pixels_do_not_count(network):
    kept = torch.ones(5, 1, 64, 64)
    kept[:, :, 5:40, 7:30] = 0
    images = torch.rand(5, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    kind = HierarchicalSettings if network.latent and not hasattr(network, "components") else PrimaryComponentsSettings
    objective = objective_for(network, kind())
    everything = objective(Batch(images, torch.ones_like(kept)), moment())
    torch.testing.assert_close(everything.loss, objective(Batch(images), moment()).loss)
    part = objective(Batch(images, kept), moment())
    drawn = torch.randn(5, network.latent.size, generator=torch.Generator().manual_seed(0))
    again = torch.randn(5, HIGH) if hasattr(network, "components") else None
    image = sum(by_hand(network, images, drawn, again)[1:3])
    expected = ((images - image).square() * kept).sum() / kept.sum()
    torch.testing.assert_close(part.parts["mse"], expected)


def test_the_gradient_is_that_of_finite_differences(network, batch):
    kind = PrimaryComponentsSettings if hasattr(network, "components") else HierarchicalSettings
    objective = objective_for(network, kind())
    bias = network.decoder["low"][-1].bias
    (analytic,) = torch.autograd.grad(objective(batch, moment()).loss, bias)
    step, values = 3e-3, []
    for sign in (1, -1):
        with torch.no_grad():
            bias += sign * step
            values.append(float(objective(batch, moment()).loss))
            bias -= sign * step
    numeric = (values[0] - values[1]) / (2 * step)
    assert numeric == pytest.approx(float(analytic), rel=3e-2)


def test_parts_of_a_batch_see_the_numbers_of_the_whole(network, batch):
    kind = PrimaryComponentsSettings if hasattr(network, "components") else HierarchicalSettings
    objective = objective_for(network, kind(noise="fixed"))
    whole = objective(Batch(batch.images[:4]), moment()).loss
    halves = [objective(Batch(batch.images[2 * n : 2 * n + 2]), moment(part=n, parts=2)).loss for n in (0, 1)]
    torch.testing.assert_close(sum(halves) / 2, whole, rtol=1e-5, atol=0.01)


def test_the_validation_loss_is_that_of_the_posterior_means(batch):
    network = tiny("pchvae")
    objective = objective_for(network, PrimaryComponentsSettings(noise="fixed", noise_variance=0.03, **LAMBDAS))
    with torch.no_grad():
        judged = objective.judge({name: float(value.mean()) for name, value in objective.measure(batch).items()})
        encoding = network.encode(batch.images)
        second = encoding.second_given(encoding.first.mean)
        g_1 = network.high_level(encoding.first.mean)
        g_2 = network.low_level(encoding.first.mean, second.mean)
        zero = network.high_level(network.encode(g_2).first.mean)
        expected = (
            0.5 * nll(batch.images, g_1, 0.03)
            + 2.0 * nll(batch.images, g_1 + g_2, 0.03)
            + 3.0 * zero.square().flatten(1).sum(dim=1).mean() / 0.06
            + 0.7 * encoding.first.kl().mean()
            + 1.3 * second.kl().mean()
        )
    assert judged == pytest.approx(float(expected), rel=1e-4)


def test_a_network_of_another_family_is_refused():
    plain, hierarchy, components = build("table52_vae", {"size": 64}), tiny("chvae"), tiny("pchvae")
    for network, settings in [
        (plain, HierarchicalSettings()),
        (components, HierarchicalSettings()),
        (plain, PrimaryComponentsSettings()),
        (hierarchy, PrimaryComponentsSettings()),
    ]:
        with pytest.raises(UserError, match="needs a network of the family"):
            objective_for(network, settings)
