"""Images through a model and back: reconstructions and what stands beside their error in a score."""

import torch

from .latent import Latent
from .networks import Network
from .placement import Placement
from .progress import Cancel, Meter
from .synthesis import draw_noise


def noise_of_draw(seed: int | None, count: int, latent: Latent) -> torch.Tensor | None:
    """ε of one draw from each of ``count`` posteriors, made before batching so that it does not depend on it; None
    without a seed, and where nothing is random."""
    return None if seed is None or latent.kind != "gaussian" else draw_noise(latent, count, seed=seed)


def reconstruct(
    placement: Placement, images: torch.Tensor, noise: torch.Tensor | None, meter: Meter, cancel: Cancel
) -> tuple[torch.Tensor, torch.Tensor]:
    """Reconstructions of the images, of their shape, and the divergence of each encoding, (N,).

    Decoded is the encoding's mode, or with ``noise`` the draw that it makes. Raises UserError and Cancelled as
    ``Placement.run`` does.
    """

    def of_mean(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoding = network.encode(images)
        return network.decode(encoding.mode), encoding.divergence()

    def of_draw(network: Network, images: torch.Tensor, epsilon: torch.Tensor) -> tuple[torch.Tensor, ...]:
        encoding = network.encode(images)
        return network.decode(encoding.draw(epsilon)), encoding.divergence()

    if noise is None:
        reconstructions, divergence = placement.run(of_mean, images, meter=meter, cancel=cancel)
    else:
        reconstructions, divergence = placement.run(of_draw, images, noise, meter=meter, cancel=cancel)
    return reconstructions, divergence


def per_slice(divergence: torch.Tensor, slices: int) -> torch.Tensor:
    """The divergence of each slice, (slices,); those of a cube share its own, so that their scores sum to its score."""
    of_each = slices // len(divergence)
    return divergence.repeat_interleave(of_each) / of_each
