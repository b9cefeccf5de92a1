"""A VAE of a few hundred weights with batch norm, whose arithmetic keeps double precision for finite differences."""

import torch
from torch import nn

from slicervae.draws import Draws
from slicervae.objectives import Moment
from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.networks import Network

LATENT = 3


class SmallVAE(Network):
    """Images of 8 pixels."""

    def __init__(self, prior_variance: float = 1.0) -> None:
        super().__init__()
        self.image_size, self.channels = 8, 1
        self.prior_variance = prior_variance
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 4, stride=2, padding=1),
            nn.BatchNorm2d(4),
            nn.Softplus(),
            nn.Flatten(),
            nn.Linear(64, 2 * LATENT),
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 64),
            nn.Unflatten(1, (4, 4, 4)),
            nn.BatchNorm2d(4),
            nn.Softplus(),
            nn.ConvTranspose2d(4, 1, 4, stride=2, padding=1),
        )

    @property
    def latent(self) -> Latent:
        return Latent("gaussian", (LATENT,), self.prior_variance)

    def encode(self, images: torch.Tensor) -> DiagonalGaussian:
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return DiagonalGaussian(mean, log_variance, self.prior_variance)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.decoder(latents))


def small_vae(seed: int = 0, prior_variance: float = 1.0) -> SmallVAE:
    """The network in training mode and double precision; the caller's random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SmallVAE(prior_variance).double().train()


def moment(step: int = 0, epoch: float = 0.0, seed: int = 0) -> Moment:
    return Moment(step, 100, epoch, Draws(torch.Generator().manual_seed(seed)))


def noise(count: int, *, seed: int = 0, calls: int = 1) -> list[torch.Tensor]:
    """What ``calls`` draws of ``moment(seed=seed)`` give."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(count, LATENT, generator=generator).double() for _ in range(calls)]


def finite_difference(loss, weight: torch.Tensor, index: tuple[int, ...], step: float = 1e-5) -> float:
    """The central difference of ``loss()`` in one number of a weight."""
    with torch.no_grad():
        weight[index] += step
        above = float(loss())
        weight[index] -= 2 * step
        below = float(loss())
        weight[index] += step
    return (above - below) / (2 * step)
