"""The residual VAE of Table 5.2 of the knee X-ray thesis (source 000), at 256, 128 and 64 pixels.

Encoder: Conv[8, 4×4, s2] → Res 16 → Res 32 → Res 64 → Res 128 → Res 256, each halving, to 4×4 → FC 2J.
Decoder: FC 4·4·256 → ResUp 128, 64, 32, 16, 8 → ConvUp[8, 4×4, s2] → Conv[1, 1×1] → sigmoid.
Smaller images keep the 4×4 bottom and drop outer blocks: the encoder's first, the decoder's last.
"""

import dataclasses

import torch
from torch import nn
from torch.nn import functional

from ..encoding import LOG_VARIANCE_RANGE, DiagonalGaussian
from ..latent import Latent
from .interface import Network

SLOPE = 0.2
STEM_FILTERS = 8
BOTTOM_FILTERS = 256
BOTTOM_SIDE = 4
ENCODER_FILTERS = (16, 32, 64, 128, 256)
DECODER_FILTERS = (128, 64, 32, 16, 8)


@dataclasses.dataclass(frozen=True)
class Table52Settings:
    """Image side in pixels, image channels, latent dimensions J and the prior's variance σ_z²."""

    size: int = dataclasses.field(default=256, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    latent: int = dataclasses.field(default=50, metadata={"min": 1, "max": 65_536})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


class ResidualDown(nn.Module):
    """Halves the side: shortcut [c, 1×1, s2] + main [c, 4×4, s1] → [c, 4×4, s2].

    Batch norm follows all three convolutions; the only activation is that of the sum.
    """

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, filters, 1, stride=2), nn.BatchNorm2d(filters))
        self.main = nn.Sequential(
            nn.ZeroPad2d((1, 2, 1, 2)),
            nn.Conv2d(inputs, filters, 4),
            nn.BatchNorm2d(filters),
            nn.Conv2d(filters, filters, 4, stride=2, padding=1),
            nn.BatchNorm2d(filters),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, filters, H/2, W/2)."""
        return functional.leaky_relu(self.main(images) + self.shortcut(images), SLOPE)


class ResidualUp(nn.Module):
    """Doubles the side: shortcut nearest ×2 → [c, 1×1] + main transposed [c, 4×4, s1] → transposed [c, 4×4, s2]."""

    def __init__(self, inputs: int, filters: int) -> None:
        super().__init__()
        # 1×1 and nearest neighbour commute; the convolution first is a quarter of the work.
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, filters, 1), nn.BatchNorm2d(filters))
        self.main = nn.Sequential(
            # A transposed convolution of stride 1 cropped by 1 and 2 is a convolution with the kernel turned round and
            # padding 2 and 1, which runs faster.
            nn.ZeroPad2d((2, 1, 2, 1)),
            nn.Conv2d(inputs, filters, 4),
            nn.BatchNorm2d(filters),
            nn.ConvTranspose2d(filters, filters, 4, stride=2, padding=1),
            nn.BatchNorm2d(filters),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, inputs, H, W) to (N, filters, 2H, 2W)."""
        shortcut = functional.interpolate(self.shortcut(images), scale_factor=2, mode="nearest")
        return functional.leaky_relu(self.main(images) + shortcut, SLOPE)


class Table52VAE(Network):
    """The network of ``vae50``."""

    def __init__(self, settings: Table52Settings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        self._latent = Latent("gaussian", (settings.latent,), settings.prior_variance)
        dropped = {256: 0, 128: 1, 64: 2}[settings.size]
        self.encoder = _encoder(settings, ENCODER_FILTERS[dropped:])
        self.decoder = _decoder(settings, DECODER_FILTERS[: len(DECODER_FILTERS) - dropped])

    @property
    def latent(self) -> Latent:
        """J Gaussian latents."""
        return self._latent

    def encode(self, images: torch.Tensor) -> DiagonalGaussian:
        """Posterior of each of the images (N, C, H, W)."""
        # Latent arithmetic stays in single precision under autocast: KL divergences and exp() need it.
        mean, log_variance = self.encoder(images).float().chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance.clamp(*LOG_VARIANCE_RANGE), self._latent.prior_variance)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W) in [0, 1] of the latents (N, J)."""
        return torch.sigmoid(self.decoder(latents).float())


def _encoder(settings: Table52Settings, filters: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(settings.channels, STEM_FILTERS, 4, stride=2, padding=1),
        nn.BatchNorm2d(STEM_FILTERS),
        nn.LeakyReLU(SLOPE),
    ]
    inputs = STEM_FILTERS
    for outputs in filters:
        layers.append(ResidualDown(inputs, outputs))
        inputs = outputs
    layers += [nn.Flatten(), nn.Linear(BOTTOM_SIDE**2 * BOTTOM_FILTERS, 2 * settings.latent)]
    return nn.Sequential(*layers)


def _decoder(settings: Table52Settings, filters: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Linear(settings.latent, BOTTOM_SIDE**2 * BOTTOM_FILTERS),
        nn.Unflatten(1, (BOTTOM_FILTERS, BOTTOM_SIDE, BOTTOM_SIDE)),
    ]
    inputs = BOTTOM_FILTERS
    for outputs in filters:
        layers.append(ResidualUp(inputs, outputs))
        inputs = outputs
    layers += [
        nn.ConvTranspose2d(inputs, STEM_FILTERS, 4, stride=2, padding=1),
        nn.BatchNorm2d(STEM_FILTERS),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(STEM_FILTERS, settings.channels, 1),
    ]
    return nn.Sequential(*layers)
