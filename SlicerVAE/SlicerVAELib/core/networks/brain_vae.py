"""The variational autoencoder of source 004 for brain MR, and that of its experiment I.

Encoder: 5 × [Conv s2 "same", batch norm, LeakyReLU 0.3] → two dense layers to μ and ln σ².
Decoder: dense → 4 × [transposed Conv s2, batch norm, LeakyReLU] → transposed Conv s2 → sigmoid.
The final model has 16, 32, 64, 256, 1024 filters of 4×4, 128×128 pixels and 1024 latents; experiment I had
128, 64, 32, 16, 8 of 3×3, 256×256 and 200. Other sizes keep the five layers and get a larger or smaller bottom.
"""

import dataclasses
import itertools

from torch import nn

from ..latent import Latent
from .brain_layers import bare_doubling, doubling, halving
from .interface import GaussianNetwork, SigmoidNetwork

MOST_FILTERS = 4096


@dataclasses.dataclass(frozen=True)
class BrainVAESettings:
    """Image side in pixels, image channels, filters of the encoder's layers (the decoder's in reverse), side of their
    kernels, latent dimensions J and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=128, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    filters: tuple[int, int, int, int, int] = (16, 32, 64, 256, 1024)
    kernel: int = dataclasses.field(default=4, metadata={"choices": (3, 4)})
    latent: int = dataclasses.field(default=1024, metadata={"min": 1, "max": 65_536})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})

    def __post_init__(self) -> None:
        if not all(1 <= filters <= MOST_FILTERS for filters in self.filters):
            raise ValueError(f"a layer has 1 to {MOST_FILTERS} filters")


class BrainVAE(GaussianNetwork, SigmoidNetwork):
    """The network of ``brain_vae`` and ``brain_vae_first``."""

    def __init__(self, settings: BrainVAESettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        self._latent = Latent("gaussian", (settings.latent,), settings.prior_variance)
        filters, kernel = settings.filters, settings.kernel
        side = settings.size // 2 ** len(filters)
        bottom = (filters[-1], side, side)
        numbers = filters[-1] * side**2
        self.encoder = nn.Sequential(
            *(halving(a, b, kernel) for a, b in itertools.pairwise((settings.channels, *filters))),
            nn.Flatten(),
            # μ and ln σ² are two dense layers of the same input: one of twice the width.
            nn.Linear(numbers, 2 * settings.latent),
        )
        self.decoder = nn.Sequential(
            nn.Linear(settings.latent, numbers),
            nn.Unflatten(1, bottom),
            *(doubling(a, b, kernel) for a, b in itertools.pairwise(reversed(filters))),
            bare_doubling(filters[0], settings.channels, kernel),
        )
