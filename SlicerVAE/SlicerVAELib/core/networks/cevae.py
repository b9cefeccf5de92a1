"""The network of the context-encoding VAE (Zimmerer et al. 2018), which sources 003 and 004 cite.

Fully convolutional, with CoordConv: four layers [4×4, s2, LeakyReLU] of 16, 64, 256, 1024 filters and a latent 4×4
convolution from the 4×4 bottom to 1024 means and log variances; the decoder is its mirror image. No layer has batch
norm. That is 64×64 pixels. Decided: larger images get further outer layers of 16 filters, so that the bottom stays 4×4
and an image one vector of latents; at 256 pixels a latent convolution over 16×16 would have 537 million weights.
Decided too: LeakyReLU(0.01), the coordinates before every convolution but from the single latent pixel, sigmoid output.
"""

import dataclasses
import itertools

import torch
from torch import nn

from ..latent import Latent
from .interface import GaussianNetwork, SigmoidNetwork

FILTERS = (16, 64, 256, 1024)
SMALLEST_SIZE = 64
BOTTOM_SIDE = 4


@dataclasses.dataclass(frozen=True)
class CEVAESettings:
    """Image side in pixels, image channels, latent dimensions J and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=64, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    latent: int = dataclasses.field(default=1024, metadata={"min": 1, "max": 65_536})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


class Coordinates(nn.Module):
    """Two channels more, which tell a convolution where it is (CoordConv, Liu et al. 2018): y and x in [−1, 1]."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """(N, c, H, W) to (N, c + 2, H, W)."""
        n, _, height, width = maps.shape
        y = torch.linspace(-1, 1, height, device=maps.device, dtype=maps.dtype)
        x = torch.linspace(-1, 1, width, device=maps.device, dtype=maps.dtype)
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij"))
        return torch.cat([maps, grid.expand(n, 2, height, width)], dim=1)


class ContextEncodingVAE(GaussianNetwork, SigmoidNetwork):
    """The network of ``cevae``."""

    def __init__(self, settings: CEVAESettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        self._latent = Latent("gaussian", (settings.latent,), settings.prior_variance)
        further = (settings.size // SMALLEST_SIZE).bit_length() - 1
        filters = (FILTERS[0],) * further + FILTERS
        down: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((settings.channels, *filters)):
            down += [Coordinates(), nn.Conv2d(inputs + 2, outputs, 4, stride=2, padding=1), nn.LeakyReLU()]
        self.encoder = nn.Sequential(
            *down, Coordinates(), nn.Conv2d(filters[-1] + 2, 2 * settings.latent, BOTTOM_SIDE), nn.Flatten()
        )
        up: list[nn.Module] = []
        for inputs, outputs in itertools.pairwise((*reversed(filters), settings.channels)):
            up += [nn.LeakyReLU(), Coordinates(), nn.ConvTranspose2d(inputs + 2, outputs, 4, stride=2, padding=1)]
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (settings.latent, 1, 1)), nn.ConvTranspose2d(settings.latent, filters[-1], BOTTOM_SIDE), *up
        )
