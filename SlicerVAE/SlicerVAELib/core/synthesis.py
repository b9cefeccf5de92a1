"""Synthetic slices: draws from the prior, decoded."""

import torch

from .errors import UserError
from .latent import Latent
from .networks import Network

LARGEST_SEED = 2**63 - 1


def draw_latents(network: Network, count: int, *, seed: int, temperature: float = 1.0) -> torch.Tensor:
    """Latents of ``count`` images drawn from the network's prior, (count, *latent.shape), the same on every device.

    Draw n depends on the seed and n alone, so that asking for more keeps the first ones. Raises UserError for a seed
    that is not within 0…2⁶³ − 1, and for a model without a prior.
    """
    generator = _seeded(seed)
    return torch.stack([network.draw(generator, temperature) for _ in range(count)])


def draw_noise(latent: Latent, count: int, *, seed: int) -> torch.Tensor:
    """Standard normal noise for one draw from each of ``count`` posteriors, (count, *latent.shape)."""
    generator = _seeded(seed)
    return torch.stack([torch.randn(latent.shape, generator=generator) for _ in range(count)])


def _seeded(seed: int) -> torch.Generator:
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"The seed {seed} is not within 0 to {LARGEST_SEED}; choose another one.")
    return torch.Generator().manual_seed(seed)
