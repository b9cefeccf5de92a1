"""Synthetic slices: latents drawn from a prior, to be decoded."""

from typing import Protocol

import torch

from .errors import UserError
from .latent import Latent
from .networks import Network
from .progress import Cancel, Meter, ignore

LARGEST_SEED = 2**63 - 1


class Prior(Protocol):
    """A distribution of latents that synthetic images are drawn from."""

    @property
    def in_words(self) -> str:
        """What it is, for provenance: "N(0, I)", "a mixture of 8 Gaussians", …"""
        ...

    @property
    def takes_temperature(self) -> bool:
        """Whether a temperature changes what is drawn."""
        ...

    def draw(self, count: int, *, seed: int, temperature: float, meter: Meter, cancel: Cancel) -> torch.Tensor:
        """Latents (count, *latent.shape) on the CPU, the same on every device; ``meter`` counts them.

        Draw n depends on the seed and n alone, so that asking for more keeps the first ones. Raises UserError for a
        seed that is not within 0…2⁶³ − 1, and Cancelled.
        """
        ...


class StandardPrior:
    """The prior that the model was trained with: N(0, σ_z² I), or codes drawn uniformly and independently."""

    def __init__(self, network: Network) -> None:
        self._network = network

    @property
    def in_words(self) -> str:
        """N(0, I), N(0, σ_z² I) or uniform codes."""
        latent = self._network.latent
        if latent.kind == "codes":
            return "uniform codes"
        return "N(0, I)" if latent.prior_variance == 1 else f"N(0, {latent.prior_variance:g} I)"

    @property
    def takes_temperature(self) -> bool:
        """Uniform codes have none."""
        return self._network.latent.kind == "gaussian"

    def draw(self, count: int, *, seed: int, temperature: float, meter: Meter, cancel: Cancel) -> torch.Tensor:
        """Latents (count, *latent.shape). Raises UserError for a model without a prior."""
        generator = seeded(seed)
        draws = []
        for _ in range(count):
            cancel.check()
            draws.append(self._network.draw(generator, temperature))
            meter.advance(1)
        return torch.stack(draws)


def draw_latents(network: Network, count: int, *, seed: int, temperature: float = 1.0) -> torch.Tensor:
    """Latents (count, *latent.shape) of images drawn from the prior that the network was trained with."""
    unwatched = Meter(ignore, "drawing", count)
    return StandardPrior(network).draw(count, seed=seed, temperature=temperature, meter=unwatched, cancel=Cancel())


def draw_noise(latent: Latent, count: int, *, seed: int) -> torch.Tensor:
    """Standard normal noise for one draw from each of ``count`` posteriors, (count, *latent.shape)."""
    generator = seeded(seed)
    return torch.stack([torch.randn(latent.shape, generator=generator) for _ in range(count)])


def seeded(seed: int) -> torch.Generator:
    """A generator of random numbers on the CPU. Raises UserError for a seed that is not within 0…2⁶³ − 1."""
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"The seed {seed} is not within 0 to {LARGEST_SEED}; choose another one.")
    return torch.Generator().manual_seed(seed)
