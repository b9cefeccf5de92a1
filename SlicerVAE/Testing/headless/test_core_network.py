"""The residual VAE of Table 5.2: its size, its shapes, its paddings, and the arithmetic of its posterior."""

import pytest
import torch
from torch import distributions, nn
from torch.nn import functional

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.networks.interface import parameter_count
from SlicerVAELib.core.networks.residual import ResidualDown, ResidualUp
from SlicerVAELib.core.synthesis import draw_latents

PUBLISHED = {256: (2_556_060, 1_304_889), 128: (2_545_196, 1_302_593), 64: (2_497_868, 1_291_601)}


@pytest.mark.parametrize("size", PUBLISHED)
def test_has_as_many_weights_as_the_table(size):
    network = build("table52_vae", {"size": size, "channels": 1, "latent": 50})
    assert (parameter_count(network.encoder), parameter_count(network.decoder)) == PUBLISHED[size]


@pytest.mark.parametrize("size", PUBLISHED)
def test_halves_down_to_four_by_four_and_doubles_back(size):
    network = build("table52_vae", {"size": size, "channels": 1, "latent": 50}).eval()
    sides = []
    for layer in network.modules():
        if isinstance(layer, ResidualDown | ResidualUp):
            layer.register_forward_hook(lambda _layer, _inputs, output: sides.append(output.shape[1:]))
    with torch.inference_mode():
        posterior = network.encode(torch.rand(2, 1, size, size))
        images = network.decode(posterior.mean)
    down = [
        (c, size // 4 // 2**n, size // 4 // 2**n) for n, c in enumerate((16, 32, 64, 128, 256)[-(len(sides) // 2) :])
    ]
    up = [(c, 8 * 2**n, 8 * 2**n) for n, c in enumerate((128, 64, 32, 16, 8)[: len(sides) // 2])]
    assert [tuple(side) for side in sides] == down + up
    assert down[-1] == (256, 4, 4)
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 50)
    assert images.shape == (2, 1, size, size)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_images_stay_between_zero_and_one_whatever_the_latent(scale):
    network = build("table52_vae", {"size": 64, "channels": 1, "latent": 50}).eval()
    with torch.inference_mode():
        images = network.decode(scale * torch.randn(4, 50))
    assert images.dtype == torch.float32
    assert 0 <= images.min() <= images.max() <= 1


def test_encoder_pads_one_before_and_two_after_at_stride_one():
    block = ResidualDown(1, 1)
    padded, convolution = block.main[0], block.main[1]
    with torch.no_grad():
        convolution.weight.copy_(torch.arange(16.0).view(1, 1, 4, 4))
        convolution.bias.zero_()
    impulse = torch.zeros(1, 1, 8, 8)
    impulse[0, 0, 3, 4] = 1
    response = convolution(padded(impulse))[0, 0]
    expected = torch.zeros(8, 8)
    # out(y, x) = Σ w(a, b) in(y + a − 1, x + b − 1): the taps lie one before to two after each pixel.
    for a in range(4):
        for b in range(4):
            expected[3 - a + 1, 4 - b + 1] = 4 * a + b
    assert torch.equal(response, expected)


def test_decoder_convolution_is_a_transposed_one_cropped_by_one_and_two():
    torch.manual_seed(1)
    padded, convolution = ResidualUp(3, 5).main[:2]
    transposed = nn.ConvTranspose2d(3, 5, 4)
    with torch.no_grad():
        transposed.weight.copy_(convolution.weight.flip(2, 3).transpose(0, 1))
        transposed.bias.copy_(convolution.bias)
        images = torch.randn(2, 3, 8, 8)
        expected = transposed(images)[:, :, 1:-2, 1:-2]
        assert expected.shape[2:] == images.shape[2:]
        torch.testing.assert_close(convolution(padded(images)), expected, atol=1e-5, rtol=1e-5)


def test_up_block_shortcut_is_nearest_neighbour_then_one_by_one():
    torch.manual_seed(2)
    block = ResidualUp(3, 5).eval()
    images = torch.randn(2, 3, 4, 4)
    convolution, norm = block.shortcut
    with torch.no_grad():
        expected = norm(convolution(functional.interpolate(images, scale_factor=2, mode="nearest")))
        seen = block(images) - functional.leaky_relu(block.main(images) + expected, 0.2)
    assert seen.abs().max() < 1e-5


def test_kl_is_that_of_torch_distributions():
    generator = torch.Generator().manual_seed(3)
    mean = 3 * torch.randn(7, 50, generator=generator)
    log_variance = 4 * torch.randn(7, 50, generator=generator)
    expected = distributions.kl_divergence(
        distributions.Normal(mean.double(), (log_variance.double() / 2).exp()), distributions.Normal(0.0, 1.0)
    ).sum(dim=1)
    torch.testing.assert_close(DiagonalGaussian(mean, log_variance).kl().double(), expected, rtol=1e-5, atol=1e-4)


def test_a_draw_follows_the_posteriors_distribution():
    posterior = DiagonalGaussian(torch.full((20_000, 2), 3.0), torch.full((20_000, 2), 2.0))
    first = posterior.draw(torch.randn(20_000, 2, generator=torch.Generator().manual_seed(5)))
    assert first.mean() == pytest.approx(3, abs=0.05)
    assert first.std() == pytest.approx(2.718281828**1, rel=0.02)  # σ = exp(½ ln σ²)


def test_prior_draws_keep_the_first_ones_when_more_are_asked_for():
    network = build("table52_vae", {"size": 64, "latent": 50, "prior_variance": 4.0})
    few = draw_latents(network, 3, seed=11)
    assert few.shape == (3, 50)
    assert torch.equal(few, draw_latents(network, 8, seed=11)[:3])
    torch.testing.assert_close(draw_latents(network, 3, seed=11, temperature=0.5), few / 2)
    assert not torch.equal(few, draw_latents(network, 3, seed=12))
    assert draw_latents(network, 400, seed=1).std() == pytest.approx(2.0, rel=0.02)


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("table52_vea", {}, ("table52_vea", "did you mean 'table52_vae'", "model.json")),
        ("table52_vae", {"size": 100}, ("size", "64, 128, 256", "model.json")),
        ("table52_vae", {"latents": 50}, ("latents", "did you mean 'latent'", "model.json")),
        ("table52_vae", {"latent": 2.5}, ("latent", "whole number", "model.json")),
    ],
)
def test_an_unknown_network_is_refused_by_name(family, settings, words):
    with pytest.raises(UserError) as caught:
        build(family, settings, "model.json")
    for word in words:
        assert word in str(caught.value)
