"""Paths through the latents: images between two draws that change little by little, like neighbouring slices."""

import itertools

import torch

from .engine import LatentPath
from .errors import UserError
from .latent import Latent


def check_path(count: int, latent: Latent, model: str) -> None:
    """Raise UserError where there is no path between draws: for a single one, and for codes."""
    if latent.kind == "codes":
        raise UserError(
            f"{model} draws codes, and half-way between two pictures' codes lies no third one; leave out the path, or "
            "choose a model with Gaussian latents."
        )
    if count < 2:
        raise UserError("A path leads from one draw to the next; ask for at least 2.")


def along(latents: torch.Tensor, path: LatentPath) -> torch.Tensor:
    """Latents (N, *shape) with ``path.steps`` steps from each to the next, ((N − 1)·steps + 1, *shape).

    "linear" is the straight line (1 − t) z₁ + t z₂. "spherical" is the great circle
    [sin((1 − t) θ) z₁ + sin(t θ) z₂] / sin θ, θ the angle between them: draws of a Gaussian in many dimensions lie
    near a sphere, the inside of which a straight line would cut through.
    """
    between = _spherical if path.shape == "spherical" else _linear
    shares = torch.arange(path.steps, dtype=torch.float64) / path.steps
    flat = latents.double().flatten(1)
    parts = [between(first, second, shares[:, None]) for first, second in itertools.pairwise(flat)]
    return torch.cat([*parts, flat[-1:]]).to(latents.dtype).reshape(-1, *latents.shape[1:])


def _linear(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    return (1 - share) * first + share * second


def _spherical(first: torch.Tensor, second: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    cosine = torch.dot(first, second) / (first.norm() * second.norm()).clamp_min(1e-300)
    angle = torch.acos(cosine.clamp(-1, 1))
    if torch.sin(angle) < 1e-6:  # no great circle, or every one
        return _linear(first, second, share)
    return (torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second) / torch.sin(angle)
