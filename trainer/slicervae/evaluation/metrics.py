"""Reconstruction quality in model space, where images lie in [0, 1]."""

import torch
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

# Exponents of Wang, Simoncelli and Bovik's five scales (2003).
EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
BATCH = 64
HIGHEST_PSNR = 100.0  # dB; that of equal images would have no end


def scales_at(side: int) -> int:
    """Number of MS-SSIM scales at an image side in pixels: five above 160, the first four from 81, three from 41, …

    The window of 11 pixels has to fit into the image more than once at the coarsest scale.
    """
    return next((scales for scales in (5, 4, 3, 2) if side > 10 * 2 ** (scales - 1)), 1)


def ms_ssim(images: torch.Tensor, reconstructions: torch.Tensor) -> torch.Tensor:
    """MS-SSIM of each pair of images (N, 1, H, W) in [0, 1], (N,), in [0, 1].

    The first ``scales_at(H)`` of Wang's exponents, scaled to sum to one: smaller images have no room for five scales.
    """
    exponents = EXPONENTS[: scales_at(images.shape[-1])]
    betas = tuple(exponent / sum(exponents) for exponent in exponents)
    scores = [
        multiscale_structural_similarity_index_measure(
            reconstructions[start : start + BATCH],
            images[start : start + BATCH],
            data_range=1.0,
            betas=betas,
            normalize="relu",
            reduction="none",
        ).reshape(-1)
        for start in range(0, len(images), BATCH)
    ]
    return torch.cat(scores)


def mean_squared_error(images: torch.Tensor, reconstructions: torch.Tensor) -> torch.Tensor:
    """Mean squared error of each pair of images (N, 1, H, W), (N,)."""
    return (images - reconstructions).square().flatten(1).mean(dim=1)


def peak_signal_to_noise(squared_errors: torch.Tensor) -> torch.Tensor:
    """Peak signal-to-noise ratio 10 log₁₀(1 / MSE) in dB of images in [0, 1] with these mean squared errors, (N,)."""
    return (-10 * squared_errors.clamp(min=1e-30).log10()).clamp(max=HIGHEST_PSNR)
