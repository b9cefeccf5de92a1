"""The networks of source 004 and the context-encoding VAE: published sizes, shapes, paddings, coordinates."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from SlicerVAELib.core.encoding import Codes, DiagonalGaussian
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.networks.brain_layers import bare_doubling, halving
from SlicerVAELib.core.networks.cevae import Coordinates
from SlicerVAELib.core.networks.interface import parameter_count

FIRST = {"filters": [128, 64, 32, 16, 8], "kernel": 3, "latent": 200}
SMALL = {
    "brain_vae": {"filters": [2, 3, 4, 5, 6], "latent": 7},
    "brain_vqvae": {"codebook_size": 5, "dimension": 3},
}


def running_statistics(module):
    return parameter_count(module) - sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("family", "encoder", "decoder", "not_trainable"),
    [("brain_vae", 38_061_104, 21_293_105, 2_784), ("brain_vqvae", 248_912, 181_878, 640)],
)
def test_has_as_many_weights_as_the_source_prints(family, encoder, decoder, not_trainable):
    network = build(family, {"size": 128})
    assert parameter_count(network.encoder) == encoder
    assert parameter_count(network.decoder) == decoder
    assert running_statistics(network.encoder) == not_trainable


def test_layers_have_the_shapes_that_the_source_prints():
    network = build("brain_vqvae", {"size": 128}).eval()
    shapes = []
    for layer in [*network.encoder, *network.decoder]:
        layer.register_forward_hook(lambda _layer, _inputs, output: shapes.append(tuple(output.shape[1:])))
    with torch.inference_mode():
        encoding = network.encode(torch.rand(2, 1, 128, 128))
        images = network.decode(encoding.mode)
    sides = (64, 32, 16, 8, 4, 2)
    assert shapes[:6] == [(c, s, s) for c, s in zip((32, 32, 64, 64, 64, 64), sides, strict=True)]
    assert shapes[6] == (16, 2, 2)
    assert shapes[7:] == [(c, s, s) for c, s in zip((64, 64, 64, 32, 1, 1), (4, 8, 16, 32, 64, 128), strict=True)]
    assert isinstance(encoding, Codes)
    assert encoding.indices.shape == (2, 2, 2)
    assert network.latent.bits == 28
    assert images.shape == (2, 1, 128, 128)


def test_batch_norm_and_leaky_relu_follow_all_but_the_last_transposed_convolution():
    for family in ("brain_vae", "brain_vqvae"):
        layers = [layer for layer in build(family, SMALL[family]).decoder.modules() if not list(layer.children())]
        kinds = [type(layer) for layer in layers if not isinstance(layer, nn.Linear | nn.Unflatten)]
        blocks = len(kinds) // 3
        assert kinds == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.LeakyReLU] * blocks + [nn.ConvTranspose2d]
        assert {layer.eps for layer in layers if isinstance(layer, nn.BatchNorm2d)} == {1e-3}
        assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.3}


def test_a_four_by_four_convolution_pads_as_keras_same_does():
    torch.manual_seed(0)
    convolution = halving(2, 3)[0]
    images = torch.randn(1, 2, 8, 8)
    # Keras: (ceil(S/2) − 1)·2 + 4 − S = 2 pixels in all, one before and one after.
    expected = functional.conv2d(functional.pad(images, (1, 1, 1, 1)), convolution.weight, convolution.bias, stride=2)
    torch.testing.assert_close(convolution(images), expected)


@pytest.mark.parametrize("kernel", [3, 4])
def test_doubling_is_the_adjoint_of_halving(kernel):
    torch.manual_seed(1)
    down, up = halving(2, 3, kernel)[0], bare_doubling(3, 2, kernel)
    with torch.no_grad():
        up.weight.copy_(down.weight)
        down.bias.zero_()
        up.bias.zero_()
        large, small = torch.randn(1, 2, 8, 8), torch.randn(1, 3, 4, 4)
        torch.testing.assert_close((down(large) * small).sum(), (large * up(small)).sum(), rtol=1e-4, atol=1e-4)


def test_experiment_one_has_its_filters_kernels_and_latents():
    network = build("brain_vae", {"size": 256, **FIRST})
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in convolutions] == [128, 64, 32, 16, 8, 16, 32, 64, 128, 1]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert network.latent.shape == (200,)


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_vae_takes_every_size_and_several_channels(size, kernel):
    network = build("brain_vae", {**SMALL["brain_vae"], "size": size, "channels": 3, "kernel": kernel}).eval()
    with torch.inference_mode():
        posterior = network.encode(torch.rand(2, 3, size, size))
        images = network.decode(50 * posterior.mean)
    assert isinstance(posterior, DiagonalGaussian)
    assert posterior.mean.shape == (2, 7)
    assert images.shape == (2, 3, size, size)
    assert 0 <= images.min() <= images.max() <= 1


@pytest.mark.parametrize(("size", "side"), [(64, 1), (128, 2), (256, 4)])
def test_the_vqvae_takes_every_size_and_several_channels(size, side):
    network = build("brain_vqvae", {**SMALL["brain_vqvae"], "size": size, "channels": 3}).eval()
    with torch.inference_mode():
        codes = network.encode(torch.rand(2, 3, size, size))
        images = network.decode(codes.mode)
        drawn = network.draw(torch.Generator().manual_seed(0))
    assert codes.indices.shape == (2, side, side)
    assert network.latent.grids == ((side, side),)
    assert drawn.shape == network.latent.shape == codes.mode.shape[1:]
    assert images.shape == (2, 3, size, size)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 96}, ("64, 128, 256",)),
        ({"kernel": 5}, ("kernel", "3, 4")),
        ({"filters": [16, 32]}, ("filters", "5 values")),
        ({"filters": [16, 0, 1, 1, 1]}, ("1 to 4096 filters",)),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, words):
    with pytest.raises(UserError) as caught:
        build("brain_vae", settings)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(("size", "outer"), [(64, 0), (128, 1), (256, 2)])
def test_the_context_encoding_vae_keeps_a_four_by_four_bottom(size, outer):
    network = build("cevae", {"size": size, "channels": 2, "latent": 6}).eval()
    convolutions = [layer for layer in network.encoder if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16] * outer + [16, 64, 256, 1024, 12]
    # Two of the inputs of each are the coordinates.
    assert [layer.in_channels for layer in convolutions] == [4] + [18] * outer + [18, 66, 258, 1026]
    transposed = [layer for layer in network.decoder if isinstance(layer, nn.ConvTranspose2d)]
    assert [layer.out_channels for layer in transposed] == [1024, 256, 64, 16] + [16] * outer + [2]
    images = torch.rand(3, 2, size, size)
    with torch.inference_mode():
        posterior = network.encode(images)
        decoded = network.decode(50 * posterior.mean)
    assert posterior.mean.shape == posterior.log_variance.shape == (3, 6)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() <= decoded.max() <= 1


def test_coordinates_run_from_minus_one_to_one_down_and_to_the_right():
    maps = torch.rand(2, 3, 4, 5)
    result = Coordinates()(maps)
    assert torch.equal(result[:, :3], maps)
    torch.testing.assert_close(result[1, 3, :, 2], torch.tensor([-1.0, -1 / 3, 1 / 3, 1.0]))
    torch.testing.assert_close(result[0, 4, 1], torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]))


def test_the_context_encoding_vae_is_not_blind_to_where_something_is():
    torch.manual_seed(0)
    convolution = build("cevae", {"latent": 2}).encoder[:2]
    with torch.inference_mode():
        flat = convolution(torch.full((1, 1, 64, 64), 0.5))[0, :, 4:-4, 4:-4]
    assert flat.std(dim=(1, 2)).min() > 1e-3  # without coordinates a flat image gives flat maps
