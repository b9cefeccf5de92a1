"""Synthetic slices: draws from the prior, decoded."""

import torch


def draw_latents(count: int, latent_size: int, *, seed: int, temperature: float) -> torch.Tensor:
    """``count`` draws z ~ N(0, temperature² I), (count, J), the same on every device.

    Draw n depends on the seed and n alone, so that asking for more keeps the first ones.
    """
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randn(latent_size, generator=generator) for _ in range(count)]) * temperature
