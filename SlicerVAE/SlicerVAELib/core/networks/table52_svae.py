"""The spatial VAE of source 000, §4.1 and §6.2: latents are maps of a low-rank matrix-variate normal distribution.

z_k = μ_k ν_kᵀ + √(ω_k ψ_kᵀ) ∘ ε_k for each of N maps of d×d (eq. 4.5), so that the encoder gives 4dN numbers instead of
2d²N. Ω_k ⊗ Ψ_k being diagonal, the entries of a map are independent, z_kij ~ N(μ_ki ν_kj, ω_ki ψ_kj): the posterior is
a diagonal Gaussian whose means and variances have rank one, and all that holds for those holds for it.
"""

import dataclasses

import torch
from torch import nn

from ..encoding import LOG_VARIANCE_RANGE, DiagonalGaussian
from ..latent import Latent
from .interface import SigmoidNetwork
from .residual import BOTTOM_FILTERS, SIZES, block_count, dense_decoder, dense_encoder, down_layers, up_layers

BOTTOM_SIDE = 8
MAP_SIDE = 2 * BOTTOM_SIDE


@dataclasses.dataclass(frozen=True)
class Table52SVAESettings:
    """Image side in pixels, image channels, number N of maps, their side d and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=256, metadata={"choices": SIZES})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    maps: int = dataclasses.field(default=9, metadata={"min": 1, "max": 1024})
    side: int = dataclasses.field(default=3, metadata={"min": 2, "max": 16})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


@dataclasses.dataclass(frozen=True)
class Table52MapSVAESettings:
    """Image side in pixels, image channels, number N of 16×16 maps and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=256, metadata={"choices": SIZES})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    maps: int = dataclasses.field(default=32, metadata={"min": 1, "max": 1024})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


class SpatialVAE(SigmoidNetwork):
    """A VAE whose encoder gives the numbers of low-rank matrix-variate normal maps, (N, 4, maps, d) flat or not."""

    def __init__(self, size: int, channels: int, latent: Latent) -> None:
        super().__init__()
        self.image_size, self.channels, self._latent = size, channels, latent

    @property
    def latent(self) -> Latent:
        """N maps of d×d Gaussian latents."""
        return self._latent

    def encode(self, images: torch.Tensor) -> DiagonalGaussian:
        """Posterior of each of the images (N, C, H, W)."""
        maps, side, _ = self._latent.shape
        rows, columns, log_rows, log_columns = (
            self.encoder(images).float().reshape(len(images), 4, maps, side).unbind(dim=1)
        )
        mean = rows[..., :, None] * columns[..., None, :]
        log_variance = log_rows[..., :, None] + log_columns[..., None, :]
        return DiagonalGaussian(mean, log_variance.clamp(*LOG_VARIANCE_RANGE), self._latent.prior_variance)


class Table52SVAE(SpatialVAE):
    """The network of ``svae3x3x9``: Table 5.2, whose dense layers are as wide as the maps ask for."""

    def __init__(self, settings: Table52SVAESettings) -> None:
        shape = (settings.maps, settings.side, settings.side)
        super().__init__(settings.size, settings.channels, Latent("gaussian", shape, settings.prior_variance))
        self.encoder = dense_encoder(settings.size, settings.channels, 4 * settings.side * settings.maps)
        inputs = settings.maps * settings.side**2
        self.decoder = nn.Sequential(nn.Flatten(), *dense_decoder(settings.size, settings.channels, inputs))


class Table52MapSVAE(SpatialVAE):
    """The network of ``svae16x16x32``: Table 5.2 without the encoder's first and the decoder's last residual block.

    It has no dense layer. The encoder ends at 8×8×256 at every size of image; a stride-2 convolution brings the 16×16
    maps to the 8×8×256 that the decoder begins with.
    """

    def __init__(self, settings: Table52MapSVAESettings) -> None:
        latent = Latent("gaussian", (settings.maps, MAP_SIDE, MAP_SIDE), settings.prior_variance)
        super().__init__(settings.size, settings.channels, latent)
        blocks = block_count(settings.size, BOTTOM_SIDE)
        self.encoder = nn.Sequential(*down_layers(settings.channels, blocks), RowsAndColumns(settings.maps))
        self.decoder = nn.Sequential(
            nn.Conv2d(settings.maps, BOTTOM_FILTERS, 4, stride=2, padding=1),
            *up_layers(BOTTOM_FILTERS, blocks, settings.channels),
        )


class RowsAndColumns(nn.Module):
    """The vectors of ``maps`` 16×16 maps, (N, 4, maps, 16) for μ, ν, ln ω and ln ψ, from a map (N, 256, 8, 8).

    μ and ω stand for rows, ν and ψ for columns. A convolution as wide as the map looks at each row as a whole, one as
    high as it at each column, and each gives two neighbouring entries: so entry i of a vector is about line i of the
    image, at a hundredth of the weights of a dense layer.
    """

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.maps, outputs = maps, 2 * maps * MAP_SIDE // BOTTOM_SIDE
        self.rows = nn.Conv2d(BOTTOM_FILTERS, outputs, (1, BOTTOM_SIDE))
        self.columns = nn.Conv2d(BOTTOM_FILTERS, outputs, (BOTTOM_SIDE, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, 256, 8, 8) to (N, 4, maps, 16)."""
        rows, columns = self._vectors(self.rows(features)), self._vectors(self.columns(features))
        return torch.stack([rows[:, 0], columns[:, 0], rows[:, 1], columns[:, 1]], dim=1)

    def _vectors(self, lines: torch.Tensor) -> torch.Tensor:
        """(N, 2·maps·2, 8, 1) or (…, 1, 8) to (N, 2, maps, 16): the mean's vectors and the log variance's."""
        split = lines.flatten(2).unflatten(1, (2, self.maps, MAP_SIDE // BOTTOM_SIDE))
        return split.transpose(3, 4).flatten(3)
