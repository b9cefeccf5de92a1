"""Reconstruction quality of a network on images, in model space."""

import dataclasses
from collections.abc import Iterable, Sequence

import torch

from SlicerVAELib.core.anomaly import Evidence, slice_scores
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.reconstruction import per_slice
from SlicerVAELib.core.stack import prepare, slices_of
from SlicerVAELib.core.typicality import shows_something
from SlicerVAELib.core.volume import Volume

from ..data.batch import ImageSource
from .metrics import mean_squared_error, ms_ssim, peak_signal_to_noise, scales_at

BATCH = 8


@dataclasses.dataclass(frozen=True)
class Quality:
    """Means over slices that hold anything; ``psnr`` in dB, ``ms_ssim_scales`` says how many scales there was room
    for."""

    slices: int
    mse: float
    psnr: float
    ms_ssim: float
    ms_ssim_scales: int


def quality_of_pixels(images: torch.Tensor, reconstructions: torch.Tensor) -> Quality:
    """Quality over the slices of (N, C, H, W) that are not constant: empty ones would flatter every model."""
    return summed_up([scores_of(images, reconstructions)], images.shape[-1])


def quality_of(network: Network, images: ImageSource) -> Quality:
    """Quality of a network's reconstructions over all slices of a source, its structures apart."""
    batches = torch.arange(len(images)).split(_images_at_once(network))
    return _quality_of_batches(network, (images.batch(indices).images for indices in batches))


@torch.inference_mode()
def slice_scores_of(network: Network, images: ImageSource, noise_variance: float) -> torch.Tensor:
    """Negative evidence lower bound, in nats, of each slice of a source that holds anything, (M,)."""
    pictures = network.channels - network.structure_channels
    scores = []
    for indices in torch.arange(len(images)).split(_images_at_once(network)):
        batch = images.batch(indices).images
        encoding = network.encode(batch)
        seen, made = (slices_of(each)[:, :pictures] for each in (batch, network.decode(encoding.mode)))
        evidence = Evidence(seen, made, noise_variance)
        divergence = per_slice(encoding.divergence(), len(evidence.images))
        scores.append(slice_scores(evidence, divergence)[shows_something(evidence.images)])
    return torch.cat(scores)


def quality(network: Network, preprocessing: Preprocessing, volumes: Sequence[Volume]) -> Quality:
    """Quality of a network's reconstructions over all slices of some volumes, their structures apart."""
    stacks = (prepare(volume, preprocessing).images for volume in volumes)
    return _quality_of_batches(network, (part for stack in stacks for part in stack.split(_images_at_once(network))))


def _images_at_once(network: Network) -> int:
    return BATCH if network.dimensions == 2 else 1


@torch.inference_mode()
def _quality_of_batches(network: Network, batches: Iterable[torch.Tensor]) -> Quality:
    pictures = network.channels - network.structure_channels
    scores = []
    for batch in batches:
        pair = (slices_of(images)[:, :pictures] for images in (batch, network.reconstruct(batch)))
        scores.append(scores_of(*pair))
    return summed_up(scores, network.image_size)


def scores_of(images: torch.Tensor, reconstructions: torch.Tensor) -> torch.Tensor:
    """Mean squared error, PSNR in dB and MS-SSIM of each slice of (N, C, H, W) that is not constant, (M, 3)."""
    holds_anything = shows_something(images)
    images, reconstructions = images[holds_anything], reconstructions[holds_anything]
    if not len(images):
        return images.new_empty(0, 3)
    errors = mean_squared_error(images, reconstructions)
    return torch.stack([errors, peak_signal_to_noise(errors), ms_ssim(images, reconstructions)], dim=1)


def summed_up(scores: Sequence[torch.Tensor], side: int) -> Quality:
    """The quality that batches of such scores make, for images of ``side`` pixels."""
    together = torch.cat(list(scores))
    mse, psnr, similarity = together.mean(dim=0).tolist()
    return Quality(len(together), mse, psnr, similarity, scales_at(side))
