"""The plain autoencoder on Table 5.2 of source 000 (its §2.3.1), the baseline that all others extend."""

import dataclasses

import torch

from ..encoding import Point
from ..latent import Latent
from .interface import SigmoidNetwork
from .residual import SIZES, dense_decoder, dense_encoder


@dataclasses.dataclass(frozen=True)
class Table52AESettings:
    """Image side in pixels, image channels and latent dimensions J."""

    size: int = dataclasses.field(default=256, metadata={"choices": SIZES})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    latent: int = dataclasses.field(default=50, metadata={"min": 1, "max": 65_536})


class Table52AE(SigmoidNetwork):
    """The network of ``ae50``: that of ``vae50``, whose encoder ends in J numbers instead of 2J."""

    def __init__(self, settings: Table52AESettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        self._latent = Latent("point", (settings.latent,))
        self.encoder = dense_encoder(settings.size, settings.channels, settings.latent)
        self.decoder = dense_decoder(settings.size, settings.channels, settings.latent)

    @property
    def latent(self) -> Latent:
        """J numbers without a prior."""
        return self._latent

    def encode(self, images: torch.Tensor) -> Point:
        """Latents of the images (N, C, H, W)."""
        return Point(self.encoder(images).float())
