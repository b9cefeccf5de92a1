import pytest
import torch

from slicervae.evaluation.metrics import EXPONENTS, mean_squared_error, ms_ssim, scales_at
from slicervae.evaluation.quality import quality_of_pixels


@pytest.mark.parametrize(("side", "scales"), [(256, 5), (161, 5), (160, 4), (128, 4), (64, 3)])
def test_smaller_images_use_fewer_scales(side, scales):
    assert scales_at(side) == scales


@pytest.mark.parametrize("side", [64, 128, 256])
def test_ms_ssim_is_one_for_equal_images_and_falls_with_noise(side):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, 1, side, side, generator=generator)
    noise = torch.randn(images.shape, generator=generator)
    scores = [ms_ssim(images, (images + level * noise).clamp(0, 1)).mean() for level in (0.0, 0.1, 0.3)]
    assert scores[0] == pytest.approx(1.0, abs=1e-5)
    assert scores[0] > scores[1] > scores[2]


def test_ms_ssim_equals_an_independent_computation():
    """Wang's formula written out with scipy on one image: Gaussian window of 11 pixels, σ 1.5, averaging between
    scales."""
    import numpy as np
    from scipy.ndimage import correlate1d

    generator = torch.Generator().manual_seed(5)
    x = torch.nn.functional.avg_pool2d(torch.rand(1, 1, 128, 128, generator=generator), 3, 1, 1)
    y = (x + 0.05 * torch.randn(x.shape, generator=generator)).clamp(0, 1)
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets**2) / (2 * 1.5**2))
    window /= window.sum()

    def blur(a):
        return correlate1d(correlate1d(a, window, axis=0), window, axis=1)[5:-5, 5:-5]

    a, b = x[0, 0].double().numpy(), y[0, 0].double().numpy()
    weights = np.array(EXPONENTS[:4]) / sum(EXPONENTS[:4])
    score = 1.0
    for scale, weight in enumerate(weights):
        mean_a, mean_b = blur(a), blur(b)
        covariance = blur(a * b) - mean_a * mean_b
        contrast = (2 * covariance + 0.03**2) / (blur(a * a) - mean_a**2 + blur(b * b) - mean_b**2 + 0.03**2)
        luminance = (2 * mean_a * mean_b + 0.01**2) / (mean_a**2 + mean_b**2 + 0.01**2)
        part = (contrast * luminance).mean() if scale == 3 else contrast.mean()
        score *= part**weight
        a, b = (v.reshape(len(v) // 2, 2, -1, 2).mean(axis=(1, 3)) for v in (a, b))
    assert float(ms_ssim(x, y)) == pytest.approx(score, abs=2e-3)


def test_empty_slices_do_not_flatter_the_figures():
    images = torch.cat([torch.rand(2, 1, 64, 64), torch.zeros(5, 1, 64, 64)])
    reconstructions = (images + 0.1).clamp(0, 1)
    figures = quality_of_pixels(images, reconstructions)
    assert figures.slices == 2
    assert figures.mse == pytest.approx(float(mean_squared_error(images, reconstructions)[:2].mean()))


@pytest.mark.parametrize("side", [16, 32, 64, 128, 256])
def test_every_side_has_room_for_its_scales(side):
    images = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(0))
    worse = (images + 0.2 * torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    torch.testing.assert_close(ms_ssim(images, images), torch.ones(2))
    assert (ms_ssim(images, worse) < 0.99).all()
