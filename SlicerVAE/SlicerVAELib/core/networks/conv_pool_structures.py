"""The convolution-and-pooling VAE of source 002 for CT and structures: its decoder splits into two at 32×32 pixels.

Encoder: [2 convolutions 3×3, LeakyReLU(0.01), max-pooling 2, dropout] over all channels down to 8×8 → FC 256 → FC 2J.
Decoder: FC 256 → FC → [transposed convolution s1, ReLU, dropout, transposed convolution s2, ReLU] up to 32×32; then for
the CT and for the structures apart, the same blocks up to half the side → transposed convolution s2 → sigmoid for the
CT, softmax for the structures.
"""

import dataclasses

import torch
from torch import nn

from ..latent import Latent
from .conv_pool_layers import BOTTOM_SIDE, dense_to_map, doubling, encoder, initialised, up_blocks
from .interface import GaussianNetwork
from .structured import StructureNetwork

SPLIT_SIDE = 32


@dataclasses.dataclass(frozen=True)
class ConvPoolStructuresSettings:
    """Image side in pixels, image channels, number of named structures R, filters of every convolution, latent
    dimensions J, the prior's variance σ_z², and the probability that dropout **keeps** a unit.

    The network's channels are those of the image, one for each structure, and one for what is in none of them.
    """

    structures: int = dataclasses.field(metadata={"min": 1, "max": 255})
    size: int = dataclasses.field(default=256, metadata={"choices": (64, 128, 256, 512)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    filters: int = dataclasses.field(default=24, metadata={"min": 1, "max": 1024})
    latent: int = dataclasses.field(default=12, metadata={"min": 1, "max": 65_536})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})
    keep: float = dataclasses.field(default=1.0, metadata={"min": 0.01, "max": 1.0})


class ConvPoolStructuresVAE(GaussianNetwork, StructureNetwork):
    """The network of ``rtvae_structures``."""

    def __init__(self, settings: ConvPoolStructuresSettings) -> None:
        super().__init__()
        self.image_size = settings.size
        self.structure_channels = settings.structures + 1
        self.channels = settings.channels + self.structure_channels
        self._latent = Latent("gaussian", (settings.latent,), settings.prior_variance)
        self.encoder = encoder(
            self.channels,
            settings.size,
            2 * settings.latent,
            filters=settings.filters,
            dimensions=2,
            keep=settings.keep,
        )
        self.decoder = SplitDecoder(settings)

    def decode_apart(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (N, image channels, H, W) in [0, 1], and logits of the structures (N, R + 1, H, W)."""
        images, structures = self.decoder(latents)
        return torch.sigmoid(images.float()), structures.float()


class SplitDecoder(nn.Module):
    """A stem up to 32×32 pixels, and a branch each for the image and the structures."""

    def __init__(self, settings: ConvPoolStructuresSettings) -> None:
        super().__init__()
        filters, keep = settings.filters, settings.keep
        self.stem = initialised(
            nn.Sequential(
                *dense_to_map(settings.latent, filters=filters, dimensions=2),
                *up_blocks(BOTTOM_SIDE, SPLIT_SIDE, filters=filters, dimensions=2, keep=keep),
            )
        )

        def branch(channels: int) -> nn.Sequential:
            blocks = up_blocks(SPLIT_SIDE, settings.size // 2, filters=filters, dimensions=2, keep=keep)
            return initialised(nn.Sequential(*blocks, doubling(filters, channels, 2)))

        self.image = branch(settings.channels)
        self.structures = branch(settings.structures + 1)

    def forward(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits of the image and of the structures, (N, C, H, W) and (N, R + 1, H, W), of the latents (N, J)."""
        shared = self.stem(latents)
        return self.image(shared), self.structures(shared)
