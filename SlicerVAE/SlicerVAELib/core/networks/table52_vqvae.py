"""The VQ-VAEs of source 000, §4.3 and §6.4, on Table 5.2.

A 1×1 convolution brings the encoder's 256 maps to D; each of its vectors is replaced by the nearest of the codebook's K
vectors, and the decoder's first block takes the D maps of those, without a layer between.
"""

import dataclasses

from torch import nn

from ..latent import Latent
from .codebook import Codebook, OneCodebookNetwork
from .interface import SigmoidNetwork
from .residual import BOTTOM_FILTERS, SIZES, STEM_FILTERS, block_count, down_layers, up_layers

ADAPTED_STEM_FILTERS = 64
ADAPTED_GRID = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdaptedVQVAESettings:
    """Image side in pixels, image channels, number K of codes and their dimension D."""

    size: int = dataclasses.field(default=256, metadata={"choices": SIZES})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    codebook_size: int = dataclasses.field(default=512, metadata={"min": 2, "max": 65_536})
    dimension: int = dataclasses.field(default=32, metadata={"min": 1, "max": 1024})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Table52VQVAESettings(AdaptedVQVAESettings):
    """The same, and ``grid``, the side of the square of codes."""

    grid: int = dataclasses.field(default=4, metadata={"choices": (4, 8)})


class ResidualVQVAE(SigmoidNetwork, OneCodebookNetwork):
    """A VQ-VAE of ``blocks`` residual blocks on either side: an image of side S gives codes of side S / 2^(blocks + 1).

    The decoder is ResUp 128, ResUp 64, … → ConvUp → Conv: the blocks nearest to the codes stay.
    """

    def __init__(self, settings: AdaptedVQVAESettings, blocks: int, stem_filters: int) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        side = settings.size // 2 ** (blocks + 1)
        shape = (settings.dimension, side, side)
        self._latent = Latent("codes", shape, grids=((side, side),), codebook_size=settings.codebook_size)
        filters = BOTTOM_FILTERS if blocks else stem_filters
        self.encoder = nn.Sequential(
            *down_layers(settings.channels, blocks, stem_filters), nn.Conv2d(filters, settings.dimension, 1)
        )
        self.codebook = Codebook(settings.codebook_size, settings.dimension)
        self.decoder = nn.Sequential(*up_layers(settings.dimension, blocks, settings.channels))


class Table52VQVAE(ResidualVQVAE):
    """The network of ``vqvae_std`` (4×4 codes) and ``vqvae_8x8``.

    The grid is the same for every size of image; smaller ones drop outer blocks, as Table 5.2 does.
    """

    def __init__(self, settings: Table52VQVAESettings) -> None:
        super().__init__(settings, block_count(settings.size, settings.grid), STEM_FILTERS)


class AdaptedVQVAE(ResidualVQVAE):
    """The network of ``vqvae_adpt``: Conv 64 → Res 128 → Res 256, and ResUp 128 → ResUp 64 → ConvUp → Conv.

    That is at 256 pixels. The 32×32 codes are kept at every size of image, as Table 5.2 keeps its 4×4: 128 pixels drop
    the outer block, Res 128 and ResUp 64, and 64 pixels drop both.
    """

    def __init__(self, settings: AdaptedVQVAESettings) -> None:
        super().__init__(settings, block_count(settings.size, ADAPTED_GRID), ADAPTED_STEM_FILTERS)
