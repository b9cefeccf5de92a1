"""Anomaly maps of the reconstruction alone, and slice scores, against independent formulas."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import distributions

from SlicerVAELib.core.anomaly import METHODS, Evidence, map_scores, method_named, slice_scores, smooth
from SlicerVAELib.core.anomaly.postprocessing import flatten_small_regions
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.regions import connected_regions

FROM_RECONSTRUCTIONS = ("absolute-residual", "signed-residual", "structural-residual")
NO_MODEL = None  # these maps ask the model nothing


def evidence(seed: int = 0, variance: float = 0.03, channels: int = 1) -> Evidence:
    generator = torch.Generator().manual_seed(seed)
    images, made = torch.rand(2, 3, channels, 16, 16, generator=generator)
    return Evidence(images, made, variance)


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0, 2.7, 6.0, 15.0])
def test_smoothing_is_the_gaussian_filter_of_scipy(sigma):
    maps = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1))
    radius = int(np.ceil(3 * sigma))
    expected = ndimage.gaussian_filter(
        maps.double().numpy(), (0, sigma, sigma), mode="nearest", radius=(0, radius, radius)
    )
    np.testing.assert_allclose(smooth(maps, sigma).numpy(), expected, atol=1e-5)


def test_smoothing_keeps_constants_never_goes_negative_and_can_be_off():
    assert smooth(torch.full((2, 20, 20), 3.5), 2.0).numpy() == pytest.approx(3.5, abs=1e-5)
    assert smooth(evidence().images[:, 0], 2.0).min() >= 0
    maps = torch.rand(2, 20, 20)
    assert torch.equal(smooth(maps, 0.0), maps)


def test_slice_scores_are_the_negative_lower_bound_of_torch_distributions():
    seen = evidence()
    kl = torch.tensor([1.0, 20.0, 300.0])
    likelihood = distributions.Normal(seen.reconstructions.double(), seen.noise_variance**0.5)
    expected = -likelihood.log_prob(seen.images.double()).flatten(1).sum(dim=1) + kl
    torch.testing.assert_close(slice_scores(seen, kl).double(), expected, rtol=1e-5, atol=1e-3)


def test_a_slices_map_score_is_what_one_pixel_in_a_hundred_reaches():
    maps = torch.zeros(3, 20, 20)
    maps.view(3, -1)[0] = torch.arange(400.0)
    maps.view(3, -1)[1, :4] = -5.0
    maps.view(3, -1)[2, :3] = 5.0
    assert map_scores(maps).tolist() == [395.0, 0.0, 0.0]
    maps.view(3, -1)[1, 4] = -2.0
    assert map_scores(maps).tolist()[1] == 2.0


@pytest.mark.parametrize("name", FROM_RECONSTRUCTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_maps_change_no_evidence_and_only_signed_ones_are_negative(name, channels):
    seen = evidence(channels=channels)
    before = seen.images.clone(), seen.reconstructions.clone()
    method = method_named(name)
    maps = method.maps(seen, NO_MODEL)
    assert maps.shape == (3, channels, 16, 16)
    assert (maps.min() < 0) == method.is_signed
    assert method.fused(maps).shape == (3, 16, 16)
    assert torch.equal(seen.images, before[0])
    assert torch.equal(seen.reconstructions, before[1])


def test_residuals_are_in_standard_deviations_of_the_model_and_bright_is_positive():
    seen = evidence(variance=0.25)
    expected = (seen.images - seen.reconstructions) / 0.5
    torch.testing.assert_close(method_named("absolute-residual").maps(seen, NO_MODEL), expected.abs())
    torch.testing.assert_close(method_named("signed-residual").maps(seen, NO_MODEL), expected)
    bright = Evidence(torch.full((1, 1, 4, 4), 0.9), torch.full((1, 1, 4, 4), 0.1), 0.04)
    assert method_named("signed-residual").maps(bright, NO_MODEL).flatten()[0] == pytest.approx(4.0)


def test_channels_are_fused_by_their_root_mean_square_or_by_the_strongest_with_its_sign():
    maps = torch.tensor([[1.0, -7.0], [3.0, 2.0], [-5.0, 0.0]]).reshape(1, 3, 1, 2)
    assert method_named("signed-residual").fused(maps).flatten().tolist() == [-5.0, -7.0]
    fused = method_named("absolute-residual").fused(maps.abs()).flatten()
    np.testing.assert_allclose(fused.numpy(), np.sqrt([35 / 3, 53 / 3]), rtol=1e-6)


def test_structural_residual_is_one_less_the_similarity_of_wang_and_others():
    seen = evidence(3)
    result = method_named("structural-residual").maps(seen, NO_MODEL)

    def mean(values):
        return ndimage.gaussian_filter(values, 1.5, mode="nearest", radius=5)

    for n in range(3):
        x, y = (images[n, 0].double().numpy() for images in (seen.images, seen.reconstructions))
        mx, my = mean(x), mean(y)
        covariance, vx, vy = mean(x * y) - mx * my, mean(x * x) - mx**2, mean(y * y) - my**2
        ssim = (2 * mx * my + 1e-4) * (2 * covariance + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
        np.testing.assert_allclose(result[n, 0].numpy(), 1 - ssim, atol=1e-4)
    same = Evidence(seen.images, seen.images.clone(), 0.03)
    assert method_named("structural-residual").maps(same, NO_MODEL).max() < 1e-4


def test_an_unknown_map_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'absolute-residual'"):
        method_named("absolut-residual")
    assert "restoration" in METHODS


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 9, 7), (6, 20, 30)])
def test_connected_regions_are_those_of_scipy(shape, share):
    mask = np.random.default_rng(4).random(shape) < share
    np.testing.assert_array_equal(connected_regions(mask), ndimage.label(mask)[0])


def test_a_winding_region_is_one():
    mask = np.zeros((1, 41, 41), dtype=bool)
    for ring in range(0, 20, 2):  # a spiral: rings of which each opens into the next
        mask[0, ring, ring : 41 - ring] = mask[0, 40 - ring, ring : 41 - ring] = True
        mask[0, ring : 41 - ring, ring] = mask[0, ring : 41 - ring, 40 - ring] = True
        mask[0, ring + 1, ring + 1] = ring < 18
        mask[0, ring + 1, ring] = mask[0, ring + 2, ring + 1] = ring < 18
    expected, count = ndimage.label(mask)
    assert connected_regions(mask).max() == count
    np.testing.assert_array_equal(connected_regions(mask) > 0, expected > 0)


def test_small_regions_come_back_to_the_threshold_and_large_ones_stay():
    maps = torch.zeros(4, 12, 12)
    maps[0, 1:3, 1:3] = 7.0  # 4 voxels
    maps[1:3, 6:9, 6:9] = 5.0  # 18 voxels, over two slices
    maps[1:3, 6:9, 2:4] = -5.0  # 12 voxels below zero
    maps[3, 0, 0] = -9.0
    maps[3, 11, 11] = 2.0  # not beyond the threshold
    flat = flatten_small_regions(maps, 3.0, 12)
    assert flat[0].max() == 3.0 and flat[3].min() == -3.0 and flat[3, 11, 11] == 2.0
    assert torch.equal(flat[1:3], maps[1:3])
    assert flatten_small_regions(maps, 3.0, 19)[1].max() == 3.0
    assert flatten_small_regions(maps, 3.0, 13)[1].min() == -3.0
