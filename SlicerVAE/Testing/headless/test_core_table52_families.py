"""The families of source 000 on Table 5.2: their sizes, latents, the order of their layers and their posteriors."""

import pytest
import torch
from torch import distributions, nn

from SlicerVAELib.core.encoding import Codes, DiagonalGaussian, Point
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.networks.codebook import Codebook
from SlicerVAELib.core.networks.interface import parameter_count
from SlicerVAELib.core.networks.residual import ResidualDown, ResidualUp
from SlicerVAELib.core.synthesis import draw_latents

SIZES = (64, 128, 256)
FAMILIES = {
    "table52_ae": Point,
    "table52_map_vae": DiagonalGaussian,
    "table52_svae": DiagonalGaussian,
    "table52_map_svae": DiagonalGaussian,
    "table52_vqvae": Codes,
    "table52_vqvae_adapted": Codes,
}


def layers_of(module):
    """The filters and kinds of the layers that change a map's size or number of channels, in their order."""
    found = []
    for layer in module:
        if isinstance(layer, ResidualDown | ResidualUp):
            found.append((type(layer).__name__, layer.main[1].out_channels))
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            found.append((type(layer).__name__, layer.out_channels))
        elif isinstance(layer, nn.Linear):
            found.append(("Linear", layer.out_features))
    return found


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", SIZES)
def test_encodes_and_decodes_several_channels_at_every_size(family, size):
    network = build(family, {"size": size, "channels": 3}).eval()
    images = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        encoding = network.encode(images)
        decoded = network.decode(encoding.mode)
    assert isinstance(encoding, FAMILIES[family])
    assert encoding.mode.shape == (2, *network.latent.shape)
    assert decoded.shape == images.shape
    assert 0 <= decoded.min() <= decoded.max() <= 1
    assert encoding.divergence().shape == (2,)


def test_the_autoencoder_has_half_the_numbers_at_its_waist():
    variational, plain = build("table52_vae", {"latent": 50}), build("table52_ae", {"latent": 50})
    saved = 50 * (4 * 4 * 256 + 1)
    assert parameter_count(plain.encoder) == parameter_count(variational.encoder) - saved
    assert parameter_count(plain.decoder) == parameter_count(variational.decoder)
    assert plain.latent.kind == "point"
    with pytest.raises(UserError, match="no prior"):
        draw_latents(plain, 1, seed=0)


@pytest.mark.parametrize(("size", "dropped"), [(256, 1), (128, 2), (64, 3)])
def test_the_map_vae_leaves_out_the_outer_blocks_and_splits_the_map(size, dropped):
    network = build("table52_map_vae", {"size": size}).eval()
    down = [("ResidualDown", filters) for filters in (16, 32, 64, 128, 256)][dropped:]
    up = [("ResidualUp", filters) for filters in (128, 64, 32, 16, 8)][: 5 - dropped]
    assert layers_of(network.encoder) == [("Conv2d", 8), *down]
    assert layers_of(network.decoder) == [*up, ("ConvTranspose2d", 8), ("Conv2d", 1)]
    assert network.latent.size == 8192
    images = torch.rand(1, 1, size, size)
    with torch.inference_mode():
        posterior, features = network.encode(images), network.encoder(images)
    assert features.shape == (1, 256, 8, 8)
    torch.testing.assert_close(torch.cat([posterior.mean, posterior.log_variance], dim=1), features)


@pytest.mark.parametrize(
    ("family", "maps", "side", "numbers"), [("table52_svae", 9, 3, 108), ("table52_map_svae", 32, 16, 2048)]
)
def test_the_spatial_vaes_posterior_is_the_low_rank_matrix_variate_normal(family, maps, side, numbers):
    torch.manual_seed(4)
    network = build(family, {"size": 64}).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        vectors = network.encoder(images)
        posterior = network.encode(images)
    assert vectors[0].numel() == numbers == 4 * side * maps
    assert network.latent.shape == (maps, side, side)
    mu, nu, log_omega, log_psi = vectors.double().reshape(2, 4, maps, side).unbind(dim=1)
    omega, psi = log_omega.exp(), log_psi.exp()

    # The covariance of one map is Ω ⊗ Ψ: compare with the dense multivariate normal that it stands for.
    k = maps - 1
    dense = distributions.MultivariateNormal(
        torch.outer(mu[1, k], nu[1, k]).flatten(), torch.kron(torch.diag(omega[1, k]), torch.diag(psi[1, k]))
    )
    standard = distributions.MultivariateNormal(torch.zeros(side**2).double(), torch.eye(side**2).double())
    one_map = posterior.kl_per_latent()[1, k].sum().double()
    torch.testing.assert_close(one_map, distributions.kl_divergence(dense, standard), rtol=1e-4, atol=1e-5)

    # ½[Σω·Σψ + ‖μ‖²‖ν‖² − d² − dΣ ln ω − dΣ ln ψ], summed over the maps.
    squares = mu.square().sum(2) * nu.square().sum(2)
    logs = side * (log_omega.sum(2) + log_psi.sum(2))
    expected = 0.5 * (omega.sum(2) * psi.sum(2) + squares - side**2 - logs).sum(1)
    torch.testing.assert_close(posterior.kl().double(), expected, rtol=1e-4, atol=1e-4)

    epsilon = torch.randn(2, maps, side, side)
    drawn = posterior.draw(epsilon)[0, k].double()
    by_hand = torch.outer(mu[0, k], nu[0, k]) + torch.outer(omega[0, k], psi[0, k]).sqrt() * epsilon[0, k]
    torch.testing.assert_close(drawn, by_hand, rtol=1e-4, atol=1e-5)


def test_a_row_of_the_large_maps_depends_on_its_row_of_features_alone():
    torch.manual_seed(5)
    head = build("table52_map_svae", {"size": 64, "maps": 4}).encoder[-1]
    features = torch.randn(1, 256, 8, 8)
    changed = features.clone()
    changed[:, :, 2] += 1
    with torch.inference_mode():
        differs = (head(features) != head(changed))[0]
    for vectors in (differs[0], differs[2]):  # μ and ln ω: entries 4 and 5 stand for row 2
        assert vectors[:, 4:6].all()
        assert not vectors[:, :4].any()
        assert not vectors[:, 6:].any()
    assert differs[1].all()
    assert differs[3].all()


def test_the_large_spatial_vae_begins_its_decoder_with_a_strided_convolution_and_has_no_dense_layer():
    network = build("table52_map_svae", {})
    first = network.decoder[0]
    assert (first.in_channels, first.out_channels, first.stride) == (32, 256, (2, 2))
    assert not any(isinstance(layer, nn.Linear) for layer in network.modules())
    assert layers_of(network.decoder)[1:5] == [("ResidualUp", filters) for filters in (128, 64, 32, 16)]


@pytest.mark.parametrize(
    ("family", "settings", "grid", "bits"),
    [
        ("table52_vqvae", {"size": 256}, (4, 4), 144),
        ("table52_vqvae", {"size": 64}, (4, 4), 144),
        ("table52_vqvae", {"size": 256, "grid": 8}, (8, 8), 576),
        ("table52_vqvae_adapted", {"size": 256}, (32, 32), 9216),
        ("table52_vqvae_adapted", {"size": 128}, (32, 32), 9216),
        ("table52_vqvae_adapted", {"size": 64}, (32, 32), 9216),
    ],
)
def test_codes_take_as_many_bits_as_published(family, settings, grid, bits):
    latent = build(family, settings).latent
    assert latent.grids == (grid,)
    assert latent.bits == bits


@pytest.mark.parametrize(("size", "dropped"), [(256, 0), (128, 1), (64, 2)])
def test_the_adapted_vqvae_keeps_the_innermost_blocks_in_their_order(size, dropped):
    # ResUp 16, ResUp 8, ConvUp would reach 256 pixels just as well: the decoder's first blocks must stay, not its last.
    network = build("table52_vqvae_adapted", {"size": size})
    down, up = [("ResidualDown", 128), ("ResidualDown", 256)], [("ResidualUp", 128), ("ResidualUp", 64)]
    assert layers_of(network.encoder) == [("Conv2d", 64), *down[dropped:], ("Conv2d", 32)]
    assert layers_of(network.decoder) == [*up[: 2 - dropped], ("ConvTranspose2d", 8), ("Conv2d", 1)]
    first = network.decoder[0]
    assert (first if dropped == 2 else first.main[1]).in_channels == 32
    assert network.latent.grids == ((32, 32),)


def test_the_codebook_counts_for_neither_encoder_nor_decoder():
    network = build("table52_vqvae", {"size": 64})
    assert network.codebooks == [network.codebook]
    whole = parameter_count(network)
    assert whole == parameter_count(network.encoder) + parameter_count(network.decoder) + 512 * 32


def test_the_look_up_finds_the_nearest_of_all_codes():
    generator = torch.Generator().manual_seed(6)
    codebook = Codebook(37, 5)
    rows = torch.randn(9000, 5, generator=generator)  # more than are looked up at once
    distances = (rows[:, None].double() - codebook.vectors.detach().double()).square().sum(dim=2)
    assert torch.equal(codebook.nearest(rows), distances.argmin(dim=1))
    continuous = rows[:24].reshape(2, 3, 4, 5).movedim(-1, 1)
    codes = codebook(continuous)
    assert torch.equal(codes.indices.flatten(), distances[:24].argmin(dim=1))
    assert torch.equal(codes.quantised[1, :, 2, 3], codebook.vectors[codes.indices[1, 2, 3]])


def test_the_look_up_is_in_single_precision_under_autocast():
    codebook = Codebook(2, 1)
    with torch.no_grad():
        codebook.vectors.copy_(torch.tensor([[1000.0], [1001.0]]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert codebook.nearest(torch.tensor([[1000.4], [1000.6]])).tolist() == [0, 1]


def test_a_draw_of_codes_is_uniform_and_made_of_codes():
    network = build("table52_vqvae", {"size": 64, "codebook_size": 8, "dimension": 3})
    few = draw_latents(network, 3, seed=1)
    assert torch.equal(few, draw_latents(network, 7, seed=1)[:3])
    rows = draw_latents(network, 500, seed=2).movedim(1, -1).reshape(-1, 3)
    codes = network.codebook.nearest(rows)
    torch.testing.assert_close(network.codebook.vectors[codes].detach(), rows)
    shares = torch.bincount(codes, minlength=8) / len(codes)
    assert (shares - 1 / 8).abs().max() < 0.02


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("table52_vqvae", {"grid": 16}, ("grid", "4, 8")),
        ("table52_map_vae", {"size": 96}, ("size", "64, 128, 256")),
        ("table52_svae", {"latent": 50}, ("latent",)),
        ("table52_vqvae_adapted", {"codebook_size": 1}, ("codebook_size", "2 to")),
    ],
)
def test_settings_that_do_not_fit_are_refused(family, settings, words):
    with pytest.raises(UserError) as caught:
        build(family, settings)
    for word in words:
        assert word in str(caught.value)
