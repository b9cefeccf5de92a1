"""Anomaly maps and slice scores against independent formulas."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import distributions

from SlicerVAELib.core.anomaly import METHODS, Evidence, method_named, slice_scores, smooth
from SlicerVAELib.core.errors import UserError


def evidence(seed: int = 0, variance: float = 0.03) -> Evidence:
    generator = torch.Generator().manual_seed(seed)
    return Evidence(
        torch.rand(3, 1, 16, 16, generator=generator), torch.rand(3, 1, 16, 16, generator=generator), variance
    )


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


@pytest.mark.parametrize("name", METHODS)
def test_maps_change_no_evidence_and_are_never_negative(name):
    seen = evidence()
    before = seen.images.clone(), seen.reconstructions.clone()
    maps = method_named(name).map(seen)
    assert maps.shape == (3, 16, 16)
    assert maps.min() >= 0
    assert torch.equal(seen.images, before[0])
    assert torch.equal(seen.reconstructions, before[1])


def test_absolute_residual_is_in_standard_deviations_of_the_model():
    seen = evidence(variance=0.25)
    expected = (seen.images - seen.reconstructions).abs()[:, 0] / 0.5
    torch.testing.assert_close(method_named("absolute-residual").map(seen), expected)


def test_an_unknown_map_is_refused_with_the_nearest_name():
    with pytest.raises(UserError, match="did you mean 'absolute-residual'"):
        method_named("absolut-residual")
