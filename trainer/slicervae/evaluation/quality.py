"""Reconstruction quality of a bundle on volumes, in model space."""

import dataclasses
from collections.abc import Sequence

import torch

from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Volume

from .metrics import mean_squared_error, ms_ssim, scales_at

BATCH = 8


@dataclasses.dataclass(frozen=True)
class Quality:
    """Means over slices that hold anything; ``ms_ssim_scales`` says how many scales there was room for."""

    slices: int
    mse: float
    ms_ssim: float
    ms_ssim_scales: int


@torch.inference_mode()
def reconstruct_pixels(network: Network, pixels: torch.Tensor) -> torch.Tensor:
    """Reconstructions of images (N, C, H, W), on the CPU."""
    batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
    return torch.cat([network.reconstruct(batch) for batch in batches])


def quality_of_pixels(images: torch.Tensor, reconstructions: torch.Tensor) -> Quality:
    """Quality over the slices of (N, 1, H, W) that are not constant: empty ones would flatter every model."""
    holds_anything = images.flatten(1).amax(dim=1) > images.flatten(1).amin(dim=1)
    images, reconstructions = images[holds_anything], reconstructions[holds_anything]
    return Quality(
        slices=len(images),
        mse=float(mean_squared_error(images, reconstructions).mean()),
        ms_ssim=float(ms_ssim(images, reconstructions).mean()),
        ms_ssim_scales=scales_at(images.shape[-1]),
    )


def quality(network: Network, preprocessing: Preprocessing, volumes: Sequence[Volume]) -> Quality:
    """Quality of a network over all slices of some volumes."""
    pixels = torch.cat([prepare(volume, preprocessing).pixels for volume in volumes])
    return quality_of_pixels(pixels, reconstruct_pixels(network, pixels))
