"""The residual VAE of Table 5.2 of the knee X-ray thesis (source 000), at 256, 128 and 64 pixels.

Encoder: Conv[8, 4×4, s2] → Res 16 → Res 32 → Res 64 → Res 128 → Res 256, each halving, to 4×4 → FC 2J.
Decoder: FC 4·4·256 → ResUp 128, 64, 32, 16, 8 → ConvUp[8, 4×4, s2] → Conv[1, 1×1] → sigmoid.
Smaller images keep the 4×4 bottom and drop outer blocks: the encoder's first, the decoder's last.
"""

import dataclasses

from ..latent import Latent
from .interface import GaussianNetwork, SigmoidNetwork
from .residual import SIZES, dense_decoder, dense_encoder


@dataclasses.dataclass(frozen=True)
class Table52Settings:
    """Image side in pixels, image channels, latent dimensions J and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=256, metadata={"choices": SIZES})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    latent: int = dataclasses.field(default=50, metadata={"min": 1, "max": 65_536})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


class Table52VAE(GaussianNetwork, SigmoidNetwork):
    """The network of ``vae50``, ``vpga50``, ``introvae50`` and ``soft_introvae50``."""

    def __init__(self, settings: Table52Settings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        self._latent = Latent("gaussian", (settings.latent,), settings.prior_variance)
        self.encoder = dense_encoder(settings.size, settings.channels, 2 * settings.latent)
        self.decoder = dense_decoder(settings.size, settings.channels, settings.latent)
