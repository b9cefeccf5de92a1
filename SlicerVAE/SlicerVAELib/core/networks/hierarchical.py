"""The conditional hierarchical VAEs of source 003: a high level z₁ and a low level z₂.

The encoders share a stem: f₁(x) → z₁ after four down-samplings, f₂(x, z₁) → z₂ after two. ``chvae`` decodes
x̂ = g₂(z₁, z₂), where z₁ is lifted to z₂'s grid and two up-samplings follow. ``pchvae`` adds a high-level image g₁(z₁)
with four up-samplings: x̂ = g₁(z₁) + g₂(z₁, z₂), both linear, g₂ signed. (The caption of the source's figure swaps the
names of the two levels; its equations do not.)

The source gives neither widths nor latent sizes. Decided: z₁ is 16 maps of 1/16 of the side and z₂ one map of 1/4, as
many numbers each, together an eighth of the pixels; the low level can hold detail but not the whole image.
"""

import dataclasses

import torch
from torch import nn

from ..encoding import LOG_VARIANCE_RANGE, DiagonalGaussian, HierarchicalGaussian
from ..latent import Latent
from .interface import Network
from .stages import down, image, level, posterior_maps, up


@dataclasses.dataclass(frozen=True)
class HierarchySettings:
    """Image side in pixels, image channels, maps of z₁ and z₂, ``width``: filters of the first layer, twice as many at
    the second and four times as many below; ``hidden`` filters of residual blocks; the prior's variance σ_z²."""

    size: int = dataclasses.field(default=128, metadata={"choices": (64, 128, 256)})
    channels: int = dataclasses.field(default=1, metadata={"min": 1, "max": 64})
    high_maps: int = dataclasses.field(default=16, metadata={"min": 1, "max": 1024})
    low_maps: int = dataclasses.field(default=1, metadata={"min": 1, "max": 1024})
    width: int = dataclasses.field(default=32, metadata={"min": 1, "max": 512})
    hidden: int = dataclasses.field(default=32, metadata={"min": 1, "max": 1024})
    prior_variance: float = dataclasses.field(default=1.0, metadata={"min": 1e-6, "max": 1e6})


@dataclasses.dataclass(frozen=True, eq=False)
class Components:
    """What an image (N, C, H, W) is made of: ``high`` = g₁(z₁) and ``low`` = g₂(z₁, z₂), whose sum is the
    reconstruction; ``zero`` = g₁(f₁(low)), what the high-level path makes of the low level, nothing if they part well.
    """

    high: torch.Tensor
    low: torch.Tensor
    zero: torch.Tensor


class Lift(nn.Module):
    """Maps on z₂'s grid joined with z₁, which has a quarter of its side."""

    def __init__(self, high_maps: int, maps: int, filters: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Sequential(up(high_maps, filters), up(filters, filters))
        self.join = level(filters + maps, filters, 1, hidden)

    def forward(self, high: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        """z₁ (N, high_maps, S/4, S/4) and (N, maps, S, S) to (N, filters, S, S)."""
        lifted = self.up(high)
        return self.join(torch.cat([lifted, maps.to(lifted)], dim=1))


class ConditionalHierarchy(Network):
    """The network of ``chvae``: q(z₁|x) q(z₂|x, z₁) and x̂ = g₂(z₁, z₂), linear."""

    encoder: nn.ModuleDict
    decoder: nn.ModuleDict

    def __init__(self, settings: HierarchySettings) -> None:
        super().__init__()
        self.image_size, self.channels = settings.size, settings.channels
        self._prior_variance = settings.prior_variance
        self._high_shape = torch.Size((settings.high_maps, settings.size // 16, settings.size // 16))
        self._low_shape = torch.Size((settings.low_maps, settings.size // 4, settings.size // 4))
        width, hidden = settings.width, settings.hidden
        self.encoder = nn.ModuleDict(
            {
                "stem": nn.Sequential(down(settings.channels, width), down(width, 2 * width)),
                "high": nn.Sequential(
                    down(2 * width, 4 * width),
                    down(4 * width, 4 * width),
                    level(4 * width, 4 * width, 1, hidden),
                    posterior_maps(4 * width, settings.high_maps),
                ),
                "lift": Lift(settings.high_maps, 2 * width, 2 * width, hidden),
                "low": posterior_maps(2 * width, settings.low_maps),
            }
        )
        self.decoder = nn.ModuleDict(
            {
                "lift": Lift(settings.high_maps, settings.low_maps, 2 * width, hidden),
                "low": nn.Sequential(up(2 * width, width), image(width, settings.channels)),
            }
        )

    @property
    def latent(self) -> Latent:
        """[z₁, z₂], flat."""
        return Latent("gaussian", (self._high_shape.numel() + self._low_shape.numel(),), self._prior_variance)

    def encode(self, images: torch.Tensor) -> HierarchicalGaussian:
        """Posteriors of z₁, and of z₂ given z₁, of each of the images (N, C, H, W)."""
        features = self.encoder["stem"](images)

        def second_given(high: torch.Tensor) -> DiagonalGaussian:
            joined = self.encoder["lift"](high.unflatten(1, self._high_shape), features)
            return self._posterior(self.encoder["low"](joined))

        return HierarchicalGaussian(self._posterior(self.encoder["high"](features)), second_given)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), not bounded to [0, 1], of the latents (N, J₁ + J₂)."""
        return self.low_level(*self.split(latents))

    def split(self, latents: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """z₁ (N, J₁) and z₂ (N, J₂) of the latents (N, J₁ + J₂)."""
        first = self._high_shape.numel()
        return latents[:, :first], latents[:, first:]

    def low_level(self, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """g₂(z₁, z₂), (N, C, H, W), of z₁ (N, J₁) and z₂ (N, J₂)."""
        high, low = high.unflatten(1, self._high_shape), low.unflatten(1, self._low_shape)
        return self.decoder["low"](self.decoder["lift"](high, low)).float()

    def _posterior(self, maps: torch.Tensor) -> DiagonalGaussian:
        mean, log_variance = (half.flatten(1) for half in maps.float().chunk(2, dim=1))
        return DiagonalGaussian(mean, log_variance.clamp(*LOG_VARIANCE_RANGE), self._prior_variance)


class PrimaryComponentsHierarchy(ConditionalHierarchy):
    """The network of ``pchvae``: x̂ = g₁(z₁) + g₂(z₁, z₂)."""

    def __init__(self, settings: HierarchySettings) -> None:
        super().__init__(settings)
        width = settings.width
        self.decoder["high"] = nn.Sequential(
            level(settings.high_maps, 4 * width, 1, settings.hidden),
            up(4 * width, 4 * width),
            up(4 * width, 2 * width),
            up(2 * width, width),
            image(width, settings.channels),
        )

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Images (N, C, H, W), not bounded to [0, 1], of the latents (N, J₁ + J₂)."""
        high, low = self.split(latents)
        return self.high_level(high) + self.low_level(high, low)

    def high_level(self, high: torch.Tensor) -> torch.Tensor:
        """g₁(z₁), (N, C, H, W), of z₁ (N, J₁)."""
        return self.decoder["high"](high.unflatten(1, self._high_shape)).float()

    def encode_high(self, images: torch.Tensor) -> DiagonalGaussian:
        """f₁ alone: the posterior of z₁ of each of the images (N, C, H, W)."""
        return self._posterior(self.encoder["high"](self.encoder["stem"](images)))

    def components(self, latents: torch.Tensor) -> Components:
        """The parts of the images of the latents (N, J₁ + J₂)."""
        first, second = self.split(latents)
        low = self.low_level(first, second)
        return Components(self.high_level(first), low, self.high_level(self.encode_high(low).mean))
