"""The convolution-and-pooling networks of source 002: sizes, weights, dropout, and one class a pixel."""

import pytest
import torch
from torch import nn

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.networks.interface import parameter_count


def convolution(inputs, outputs, dimensions):
    return 3**dimensions * inputs * outputs + outputs


def dense(inputs, outputs):
    return inputs * outputs + outputs


def encoder_weights(channels, size, filters, latent, dimensions):
    halvings = size.bit_length() - 4  # to 8 pixels
    blocks = convolution(channels, filters, dimensions) + (2 * halvings - 1) * convolution(filters, filters, dimensions)
    return blocks + dense(filters * 8**dimensions, 256) + dense(256, 2 * latent)


def stem_weights(filters, latent, dimensions):
    return dense(latent, 256) + dense(256, filters * 8**dimensions)


@pytest.mark.parametrize(
    ("size", "channels", "filters", "latent", "dimensions"),
    [(64, 1, 24, 12, 2), (128, 1, 24, 12, 2), (128, 3, 32, 2, 2), (256, 1, 24, 12, 2), (32, 1, 24, 12, 3)],
)
def test_has_the_weights_of_its_description(size, channels, filters, latent, dimensions):
    settings = {"size": size, "channels": channels, "filters": filters, "latent": latent, "dimensions": dimensions}
    network = build("conv_pool_vae", settings)
    assert parameter_count(network.encoder) == encoder_weights(channels, size, filters, latent, dimensions)
    doublings = size.bit_length() - 5  # of 8 pixels to half the side
    decoder = stem_weights(filters, latent, dimensions)
    decoder += 2 * doublings * convolution(filters, filters, dimensions) + convolution(filters, channels, dimensions)
    assert parameter_count(network.decoder) == decoder


@pytest.mark.parametrize(("size", "structures"), [(64, 1), (128, 4), (256, 2)])
def test_the_network_with_structures_has_two_branches_from_32_pixels(size, structures):
    network = build("conv_pool_structures", {"size": size, "structures": structures, "filters": 8})
    channels = 1 + structures + 1
    assert (network.channels, network.structure_channels, network.image_channels) == (channels, structures + 1, 1)
    assert parameter_count(network.encoder) == encoder_weights(channels, size, 8, 12, 2)
    branch = 2 * (size.bit_length() - 7) * convolution(8, 8, 2)  # doublings of 32 pixels to half the side
    stem = stem_weights(8, 12, 2) + 4 * convolution(8, 8, 2)
    ends = convolution(8, 1, 2) + convolution(8, structures + 1, 2)
    assert parameter_count(network.decoder) == stem + 2 * branch + ends
    shared = network.decoder.stem(torch.randn(1, 12))
    assert shared.shape == (1, 8, 32, 32)


@pytest.mark.parametrize(("size", "channels", "dimensions"), [(64, 1, 2), (128, 3, 2), (16, 1, 2), (16, 2, 3)])
def test_decodes_to_the_shape_it_encoded(size, channels, dimensions):
    settings = {"size": size, "channels": channels, "dimensions": dimensions, "filters": 4, "prior_variance": 2.5}
    network = build("conv_pool_vae", settings).eval()
    images = torch.rand(2, *network.image_shape)
    with torch.inference_mode():
        posterior = network.encode(images)
        decoded = network.decode(30 * torch.randn(2, *network.latent.shape))
    assert images.shape == decoded.shape == (2, channels, *(size,) * dimensions)
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 12)
    assert posterior.prior_variance == network.latent.prior_variance == 2.5
    assert decoded.dtype == torch.float32
    assert 0 <= decoded.min() <= decoded.max() <= 1


@pytest.mark.parametrize(("size", "kind"), [(64, nn.Conv2d), (16, nn.Conv3d)])
def test_pools_down_to_eight_pixels_with_as_many_filters_everywhere(size, kind):
    dimensions = 2 if kind is nn.Conv2d else 3
    network = build("conv_pool_vae", {"size": size, "filters": 5, "dimensions": dimensions})
    seen = []
    for layer in network.encoder:
        if isinstance(layer, kind):
            layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(tuple(output.shape[1:])))
    network.encode(torch.rand(1, *network.image_shape))
    sides = [side for side in (64, 32, 16) if side <= size]
    assert seen == [(5, *(side,) * dimensions) for side in sides for _ in range(2)]


@pytest.mark.parametrize("keep", [0.9, 0.7])
def test_keep_is_the_probability_that_a_unit_survives(keep):
    torch.manual_seed(0)
    network = build("conv_pool_vae", {"size": 32, "filters": 8, "keep": keep}).train()
    dropouts = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert len(dropouts) == 2 + 1  # after each pooling, and in each doubling block
    survived = (dropouts[0](torch.ones(100_000)) > 0).float().mean()
    assert survived == pytest.approx(keep, abs=0.01)
    images = torch.rand(1, *network.image_shape)
    assert not torch.equal(network.encode(images).mean, network.encode(images).mean)
    network.eval()
    assert torch.equal(network.encode(images).mean, network.encode(images).mean)


def test_every_pixel_is_one_class_and_the_logits_are_those_of_its_probabilities():
    torch.manual_seed(0)
    network = build("conv_pool_structures", {"size": 64, "structures": 3, "channels": 2, "filters": 4}).eval()
    with torch.inference_mode():
        latents = 5 * torch.randn(3, 12)  # far out, where a softmax in half precision would not sum to one
        decoded = network.decode(latents)
        images, logits = network.decode_apart(latents)
    assert decoded.shape == (3, 2 + 4, 64, 64)
    assert 0 <= decoded.min() <= decoded.max() <= 1
    torch.testing.assert_close(decoded[:, 2:].sum(dim=1), torch.ones(3, 64, 64))
    assert torch.equal(decoded[:, :2], images)
    powers = logits.double().exp()
    torch.testing.assert_close(decoded[:, 2:].double(), powers / powers.sum(dim=1, keepdim=True), rtol=1e-4, atol=1e-6)


def test_the_signal_neither_fades_nor_grows_through_the_stack():
    torch.manual_seed(0)
    network = build("conv_pool_vae", {"size": 256})
    with torch.inference_mode():
        first, second = network.encode(torch.rand(2, 1, 256, 256)).mean
        logits = network.decoder(torch.randn(4, 12))
    assert 0.01 < (first - second).abs().mean() < 10
    assert 0.1 < logits.std() < 10


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("conv_pool_vae", {"size": 100}, ("size", "16, 32, 64")),
        ("conv_pool_vae", {"dimensions": 4}, ("dimensions", "2, 3")),
        ("conv_pool_vae", {"keep": 0.0}, ("keep", "0.01 to 1.0")),
        ("conv_pool_structures", {"size": 32, "structures": 2}, ("size", "64, 128, 256")),
        ("conv_pool_structures", {}, ("lacks", "structures")),
    ],
)
def test_what_does_not_fit_is_refused(family, settings, words):
    with pytest.raises(UserError) as caught:
        build(family, settings, "the recipe")
    for word in words:
        assert word in str(caught.value)
