"""What every network offers to objectives, maps, synthesis and search."""

import abc

import torch
from torch import nn

from ..posterior import DiagonalGaussian


class Network(nn.Module, abc.ABC):
    """An encoder and a decoder of square images with values in [0, 1].

    ``image_size`` is the side H = W in pixels, ``channels`` C, ``latent_size`` J.
    """

    image_size: int
    channels: int
    latent_size: int

    encoder: nn.Module
    decoder: nn.Module

    @abc.abstractmethod
    def encode(self, images: torch.Tensor) -> DiagonalGaussian:
        """Posterior of each of the images (N, C, H, W)."""

    @abc.abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W) in [0, 1] of the latents (N, J)."""


def parameter_count(module: nn.Module) -> int:
    """Number of weights as Keras counts them: parameters and the batch norms' running mean and variance."""
    weights = sum(parameter.numel() for parameter in module.parameters())
    running = sum(b.numel() for name, b in module.named_buffers() if not name.endswith("num_batches_tracked"))
    return weights + running
