"""The baselines of source 003: variational autoencoders with one level of latent maps.

The "high-level" VAE has four down- and up-samplings, the "low-level" VAE two. The source gives no widths. Decided: the
latents are maps and the output is linear, as in the hierarchies they are held against; the defaults and the recipes'
settings give slightly more parameters than ``pchvae`` has and as many latents, an eighth of the pixels at every size.
"""

import dataclasses
import itertools

import torch
from torch import nn

from ..latent import Latent
from .interface import GaussianNetwork
from .stages import down, image, level, posterior_maps, up

MOST_FILTERS = 1024


@dataclasses.dataclass(frozen=True)
class HighLowSettings:
    """Image side in pixels, image channels; ``filters`` of each down-sampling; residual blocks of ``hidden`` filters at
    the bottom of the encoder and of the decoder; number of latent maps there, and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=128, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    filters: tuple[int, ...] = (32, 64, 128, 176)
    residuals: int = dataclasses.field(default=1, metadata={"min": 0, "max": 64})
    hidden: int = dataclasses.field(default=32, metadata={"min": 1, "max": 1024})
    latent_maps: int = dataclasses.field(default=32, metadata={"min": 1, "max": 1024})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})

    def __post_init__(self) -> None:
        if not 1 <= len(self.filters) <= 5:
            raise ValueError("there are 1 to 5 down-samplings, each with its filters")
        if not all(1 <= filters <= MOST_FILTERS for filters in self.filters):
            raise ValueError(f"a down-sampling has 1 to {MOST_FILTERS} filters")


class HighLowVAE(GaussianNetwork):
    """The network of ``high_vae`` and ``low_vae``."""

    def __init__(self, settings: HighLowSettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        filters, bottom = settings.filters, settings.filters[-1]
        side = settings.size // 2 ** len(filters)
        self._latent = Latent("gaussian", (settings.latent_maps, side, side), settings.prior_variance)
        self.encoder = nn.Sequential(
            *(down(a, b) for a, b in itertools.pairwise((settings.channels, *filters))),
            level(bottom, bottom, settings.residuals, settings.hidden),
            posterior_maps(bottom, settings.latent_maps),
        )
        self.decoder = nn.Sequential(
            level(settings.latent_maps, bottom, settings.residuals, settings.hidden),
            *(up(a, b) for a, b in itertools.pairwise(reversed(filters))),
            image(filters[0], settings.channels),
        )

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), not bounded to [0, 1], of the latent maps (N, maps, side, side)."""
        return self.decoder(latents).float()
