"""The VQ-VAE of source 004 for brain MR.

Encoder: 6 × [Conv 4×4 s2 "same", batch norm, LeakyReLU 0.3] of 32, 32, 64, 64, 64, 64 filters → 1×1 to D=16; K=128.
Decoder: transposed convolutions of 64, 64, 64, 32, 1 filters with batch norm and LeakyReLU → another to the image →
sigmoid. Its last layer but one has as many channels as the image, one in the source. 128×128 pixels give 2×2 codes; 64
and 256 keep the six layers and give 1×1 and 4×4.
"""

import dataclasses
import itertools

from torch import nn

from ..latent import Latent
from .brain_layers import bare_doubling, doubling, halving
from .codebook import Codebook, OneCodebookNetwork
from .interface import SigmoidNetwork

ENCODER_FILTERS = (32, 32, 64, 64, 64, 64)
DECODER_FILTERS = (64, 64, 64, 32)


@dataclasses.dataclass(frozen=True)
class BrainVQVAESettings:
    """Image side in pixels, image channels, number K of codes and their dimension D."""

    size: int = dataclasses.field(default=128, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    codebook_size: int = dataclasses.field(default=128, metadata={"min": 2, "max": 65_536})
    dimension: int = dataclasses.field(default=16, metadata={"min": 1, "max": 1024})


class BrainVQVAE(SigmoidNetwork, OneCodebookNetwork):
    """The network of ``brain_vqvae``."""

    def __init__(self, settings: BrainVQVAESettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        side = settings.size // 2 ** len(ENCODER_FILTERS)
        shape = (settings.dimension, side, side)
        self._latent = Latent("codes", shape, grids=((side, side),), codebook_size=settings.codebook_size)
        self.encoder = nn.Sequential(
            *(halving(a, b) for a, b in itertools.pairwise((settings.channels, *ENCODER_FILTERS))),
            nn.Conv2d(ENCODER_FILTERS[-1], settings.dimension, 1),
        )
        self.codebook = Codebook(settings.codebook_size, settings.dimension)
        self.decoder = nn.Sequential(
            *(doubling(a, b) for a, b in itertools.pairwise((settings.dimension, *DECODER_FILTERS, settings.channels))),
            bare_doubling(settings.channels, settings.channels),
        )
