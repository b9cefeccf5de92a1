"""The convolution-and-pooling VAE of source 002, for slices and for cubes.

Encoder: [2 convolutions 3×3, LeakyReLU(0.01), max-pooling 2, dropout] down to 8 pixels a side → FC 256 → FC 2J.
Decoder: FC 256 → FC → [transposed convolution s1, ReLU, dropout, transposed convolution s2, ReLU] up to half the side
→ transposed convolution s2 → sigmoid.
"""

import dataclasses

from torch import nn

from ..latent import Latent
from .conv_pool_layers import BOTTOM_SIDE, dense_to_map, doubling, encoder, initialised, up_blocks
from .interface import GaussianNetwork, SigmoidNetwork


@dataclasses.dataclass(frozen=True)
class ConvPoolSettings:
    """Image side in pixels, image channels, 2 or 3 dimensions, filters of every convolution, latent dimensions J, the
    prior's variance σ_z², and the probability that dropout **keeps** a unit (source 002 calls it "dropout")."""

    size: int = dataclasses.field(default=128, metadata={"choices": (16, 32, 64, 128, 256, 512)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    dimensions: int = dataclasses.field(default=2, metadata={"choices": (2, 3)})
    filters: int = dataclasses.field(default=24, metadata={"min": 1, "max": 1024})
    latent: int = dataclasses.field(default=12, metadata={"min": 1, "max": 65_536})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})
    keep: float = dataclasses.field(default=1.0, metadata={"min": 0.01, "max": 1.0})


class ConvPoolVAE(GaussianNetwork, SigmoidNetwork):
    """The network of ``rtvae2d`` and ``rtvae3d``."""

    def __init__(self, settings: ConvPoolSettings) -> None:
        super().__init__()
        self.image_size, self.channels, self.dimensions = settings.size, settings.channels, settings.dimensions
        self._latent = Latent("gaussian", (settings.latent,), settings.prior_variance)
        filters, dimensions, keep = settings.filters, settings.dimensions, settings.keep
        self.encoder = encoder(
            settings.channels, settings.size, 2 * settings.latent, filters=filters, dimensions=dimensions, keep=keep
        )
        self.decoder = initialised(
            nn.Sequential(
                *dense_to_map(settings.latent, filters=filters, dimensions=dimensions),
                *up_blocks(BOTTOM_SIDE, settings.size // 2, filters=filters, dimensions=dimensions, keep=keep),
                doubling(filters, settings.channels, dimensions),
            )
        )
