"""The networks of source 003: levels and their grids, what depends on what, and how they compare in size."""

import pytest
import torch

from SlicerVAELib.core.encoding import CodeLevels, HierarchicalGaussian
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.networks.interface import parameter_count

LOW = {"filters": [64, 128], "residuals": 3, "hidden": 144, "latent_maps": 2}
TINY = {
    "high_low_vae": {"filters": [2, 4, 4, 4], "hidden": 2, "latent_maps": 3},
    "chvae": {"high_maps": 3, "low_maps": 2, "width": 2, "hidden": 2},
    "pchvae": {"high_maps": 3, "low_maps": 2, "width": 2, "hidden": 2},
    "vqvae2": {"codebook_size": 5, "dimension": 3, "filters": 4, "residuals": 1, "hidden": 2},
}


@pytest.fixture
def pchvae():
    torch.manual_seed(0)
    return build("pchvae", {**TINY["pchvae"], "size": 64}).eval()


@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("size", [64, 128, 256])
def test_takes_every_size_and_several_channels(family, size):
    network = build(family, {**TINY[family], "size": size, "channels": 2}).eval()
    images = torch.rand(3, 2, size, size)
    with torch.inference_mode():
        encoding = network.encode(images)
        drawn = network.draw(torch.Generator().manual_seed(0))
        decoded = network.decode(torch.stack([drawn, drawn, encoding.mode[0]]))
        assert encoding.mode.shape == (3, *network.latent.shape)
        assert encoding.divergence().shape == (3,)
    assert decoded.shape == images.shape
    torch.testing.assert_close(decoded[0], decoded[1])


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_vaes_have_as_many_latents_and_the_baselines_slightly_more_weights(size):
    pchvae = build("pchvae", {"size": size})
    others = [
        build("high_low_vae", {"size": size}),
        build("high_low_vae", {"size": size, **LOW}),
        build("chvae", {"size": size, "width": 40}),
    ]
    assert [other.latent.size for other in others] == [pchvae.latent.size] * 3 == [size**2 // 8] * 3
    for other in others:
        assert 1.0 < parameter_count(other) / parameter_count(pchvae) < 1.05


def test_high_and_low_are_told_by_the_number_of_up_samplings():
    assert build("high_low_vae", {"size": 128}).latent.shape == (32, 8, 8)
    assert build("high_low_vae", {"size": 128, **LOW}).latent.shape == (2, 32, 32)


@pytest.mark.parametrize("family", ["chvae", "pchvae"])
def test_the_second_posterior_depends_on_the_image_and_on_the_first_draw(family):
    torch.manual_seed(1)
    network = build(family, {**TINY[family], "size": 64}).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        posterior = network.encode(images)
        assert isinstance(posterior, HierarchicalGaussian)
        assert posterior.first.mean.shape == (2, 3 * 4 * 4)
        second = posterior.second_given(posterior.first.mean)
        assert second.mean.shape == (2, 2 * 16 * 16)
        assert not torch.allclose(posterior.second_given(posterior.first.mean + 1).mean, second.mean)
        same_first = posterior.second_given(posterior.first.mean[:1].expand(2, -1))
        assert not torch.allclose(same_first.mean[0], same_first.mean[1])
        first, low = network.split(posterior.mode)
    torch.testing.assert_close(first, posterior.first.mean)
    torch.testing.assert_close(low, second.mean)


def test_the_image_is_the_sum_of_a_high_level_and_a_signed_low_level(pchvae):
    with torch.inference_mode():
        latents = torch.randn(4, *pchvae.latent.shape)
        parts = pchvae.components(latents)
        torch.testing.assert_close(pchvae.decode(latents), parts.high + parts.low)
        other = latents.clone()
        other[:, 3 * 4 * 4 :] = torch.randn(4, 2 * 16 * 16)
        changed = pchvae.components(other)
    torch.testing.assert_close(changed.high, parts.high)  # g₁ sees z₁ alone
    assert not torch.allclose(changed.low, parts.low)
    assert parts.low.min() < 0 < parts.low.max()


def test_the_zero_part_is_the_low_level_sent_through_the_high_level_path(pchvae):
    with torch.inference_mode():
        parts = pchvae.components(torch.randn(4, *pchvae.latent.shape))
        again = pchvae.encode(parts.low)
        torch.testing.assert_close(again.first.mean, pchvae.encode_high(parts.low).mean)
        torch.testing.assert_close(parts.zero, pchvae.high_level(again.first.mean))


def test_a_faint_image_is_told_from_a_strong_one(pchvae):
    """Were anything normalised per image, the high-level path could not ignore a faint low level."""
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        nothing, faint, strong = (pchvae.encode_high(scale * images).mean for scale in (0.0, 0.01, 1.0))
    assert (faint - nothing).norm() < 0.05 * (strong - nothing).norm()


def test_posteriors_begin_narrow_and_informative():
    torch.manual_seed(2)
    network = build("high_low_vae", {"size": 64})
    with torch.inference_mode():
        posterior = network.encode(torch.rand(8, 1, 64, 64))
    assert torch.exp(posterior.log_variance / 2).mean() < 0.2
    assert posterior.mean.std() > 0.2


def test_the_bottom_codes_are_conditioned_on_the_top_ones():
    torch.manual_seed(3)
    network = build("vqvae2", {**TINY["vqvae2"], "size": 64}).eval()
    images = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        top, bottom = network.encode(images).levels
        network.top_codebook.vectors.mul_(-10)
        changed_top, changed_bottom = network.encode(images).levels
    assert (top.indices.shape, bottom.indices.shape) == ((2, 8, 8), (2, 16, 16))
    torch.testing.assert_close(changed_top.continuous, top.continuous)
    assert not torch.allclose(changed_bottom.continuous, bottom.continuous)


def test_two_levels_of_512_codes():
    network = build("vqvae2", {"size": 128})
    assert network.latent.grids == ((16, 16), (32, 32))
    assert network.latent.bits == (16 * 16 + 32 * 32) * 9
    assert [(codebook.size, codebook.dimension) for codebook in network.codebooks] == [(512, 64), (512, 64)]
    with torch.inference_mode():
        encoding = network.encode(torch.rand(1, 1, 128, 128))
        flat = torch.cat([level.quantised.flatten(1) for level in encoding.levels], dim=1)
        torch.testing.assert_close(network.decode(encoding.mode), network.decode(flat))
    assert isinstance(encoding, CodeLevels)


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("chvae", {"size": 48}, "64, 128, 256"),
        ("high_low_vae", {"filters": []}, "1 to 5 down-samplings"),
        ("high_low_vae", {"filters": [8, 0]}, "1 to 1024 filters"),
        ("vqvae2", {"codes": 5}, "unknown entry 'codes'"),
    ],
)
def test_settings_that_do_not_fit_are_refused(family, settings, words):
    with pytest.raises(UserError, match=words):
        build(family, settings)
