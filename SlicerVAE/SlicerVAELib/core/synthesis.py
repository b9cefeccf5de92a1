"""Synthetic slices: draws from the prior, decoded."""

import torch

from .errors import UserError

LARGEST_SEED = 2**63 - 1


def draw_latents(count: int, latent_size: int, *, seed: int, temperature: float) -> torch.Tensor:
    """``count`` draws z ~ N(0, temperature² I), (count, J), the same on every device.

    Draw n depends on the seed and n alone, so that asking for more keeps the first ones. Raises UserError for a seed
    that is not within 0…2⁶³ − 1.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"The seed {seed} is not within 0 to {LARGEST_SEED}; choose another one.")
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(latent_size, generator=generator) for _ in range(count)]) * temperature
