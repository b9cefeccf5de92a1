"""The fully convolutional VAE of source 000, §6.1.2: Table 5.2 with a map for a latent.

Table 5.2 without the encoder's first and the decoder's last residual block, so that 256 pixels end at 8×8×256, whose
halves are μ and ln σ² of an 8×8×128 latent, without a dense layer. The decoder starts at 8×8×128.

The 8×8 map is kept at every size, as Table 5.2 keeps its 4×4: the encoder is Conv 8 → Res 32, 64, 128, 256 at 256
pixels, → Res 64, 128, 256 at 128 and → Res 128, 256 at 64; the decoder ResUp 128, 64, 32, 16 resp. 128, 64, 32 resp.
128, 64 → ConvUp → Conv. That is always one block less than the network of ``vae50`` has at that size.
"""

import dataclasses

from torch import nn

from ..latent import Latent
from .interface import GaussianNetwork, SigmoidNetwork
from .residual import BOTTOM_FILTERS, SIZES, block_count, down_layers, up_layers

SIDE = 8


@dataclasses.dataclass(frozen=True)
class Table52MapSettings:
    """Image side in pixels, image channels and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=256, metadata={"choices": SIZES})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


class Table52MapVAE(GaussianNetwork, SigmoidNetwork):
    """The network of ``vae8192``."""

    def __init__(self, settings: Table52MapSettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        filters, blocks = BOTTOM_FILTERS // 2, block_count(settings.size, SIDE)
        self._latent = Latent("gaussian", (filters, SIDE, SIDE), settings.prior_variance)
        self.encoder = nn.Sequential(*down_layers(settings.channels, blocks))
        self.decoder = nn.Sequential(*up_layers(filters, blocks, settings.channels))
