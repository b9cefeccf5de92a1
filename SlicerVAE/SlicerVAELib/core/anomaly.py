"""Anomaly maps: how much of a slice the model can't explain.

A map is made in the model's space, before it is resampled, so that it does not mark every edge that the model's grid
can't represent. It is not calibrated: it tells where the model errs more than usual, not how unusual that is.
"""

import dataclasses
import math
from collections.abc import Callable

import torch

from .errors import UserError, nearest


@dataclasses.dataclass(frozen=True, eq=False)
class Evidence:
    """What a map is made of: ``images`` and ``reconstructions`` (N, C, H, W) in [0, 1] and the decoder's σ².

    The channels are co-registered images; structures are not among them.
    """

    images: torch.Tensor
    reconstructions: torch.Tensor
    noise_variance: float


@dataclasses.dataclass(frozen=True)
class Method:
    """An anomaly map: its unit for the legend and the function from evidence to maps (N, H, W), none negative."""

    unit: str
    map: Callable[[Evidence], torch.Tensor]


def _absolute_residual(evidence: Evidence) -> torch.Tensor:
    """|x − x̂| / σ: the square root of twice the Gaussian negative log-likelihood's data term, pixel by pixel.

    Of several channels it is the root mean square, which is on the same scale.
    """
    residual = evidence.images - evidence.reconstructions
    fused = residual[:, 0].abs_() if residual.shape[1] == 1 else residual.square_().mean(dim=1).sqrt_()
    return fused.mul_(1 / math.sqrt(evidence.noise_variance))


METHODS: dict[str, Method] = {
    "absolute-residual": Method("σ of the model (uncalibrated)", _absolute_residual),
}


def method_named(name: str) -> Method:
    """The method; raises UserError with the nearest name for an unknown one."""
    if name not in METHODS:
        raise UserError(f"There is no anomaly map '{name}'; {nearest(name, METHODS)}")
    return METHODS[name]


def smooth(maps: torch.Tensor, sigma_pixels: float) -> torch.Tensor:
    """Maps (N, H, W) smoothed in the slice plane by a Gaussian of ``sigma_pixels``, edges repeated."""
    radius = math.ceil(3 * sigma_pixels)
    if sigma_pixels < 0.05 or radius == 0:
        return maps
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=maps.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_pixels) ** 2)
    kernel /= kernel.sum()
    size = maps.shape[-1]
    # As one small matrix per side, the edge pixels' weights included, smoothing is two matrix products.
    columns = (torch.arange(size, device=maps.device)[:, None] + offsets.long()[None, :]).clamp_(0, size - 1)
    matrix = torch.zeros(size, size, device=maps.device)
    matrix.scatter_add_(1, columns, kernel.expand(size, -1).contiguous())
    return matrix @ maps @ matrix.T


def slice_scores(evidence: Evidence, divergence: torch.Tensor) -> torch.Tensor:
    """Negative evidence lower bound of each slice, in nats, (N,).

    −ELBO = Σ_pixels [½ ln(2πσ²) + (x − x̂)² / 2σ²] + KL, the expectation taken at the posterior mean; ``divergence``
    (N,) is KL, or what stands in its place: commitment for codes, 0 for a plain autoencoder.
    """
    squared = (evidence.images - evidence.reconstructions).square().flatten(1)
    constant = 0.5 * math.log(2 * math.pi * evidence.noise_variance) * squared.shape[1]
    return squared.sum(dim=1) / (2 * evidence.noise_variance) + constant + divergence
