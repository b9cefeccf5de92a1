"""The Gaussian likelihood of an image given its reconstruction, with the optimal or a fixed variance."""

import dataclasses
import math
from typing import Literal

import torch

from ..data.batch import Batch
from ..processes import summed
from .base import pixels_counted, squared_error

SMALLEST_VARIANCE = 1e-6  # one grey level of ten bits; below it the division only amplifies rounding


@dataclasses.dataclass(frozen=True, kw_only=True)
class LikelihoodSettings:
    """``noise`` "optimal" sets σ² to the batch's own mean squared error, "fixed" to ``noise_variance``."""

    noise: Literal["optimal", "fixed"] = "optimal"
    noise_variance: float = dataclasses.field(default=0.01, metadata={"min": 1e-9, "max": 1e6})


def negative_log_likelihood(
    batch: Batch, reconstructions: torch.Tensor, settings: LikelihoodSettings, channels: int | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """−ln N(x; x̂, σ² I) summed over an image's counted pixels and averaged over the batch, and the mean squared error.

    The optimal σ² is the maximum-likelihood value, the mean squared error of the whole batch over all processes
    (Rybkin et al., σ-VAE), so that no weight has to be chosen between the terms of an objective. It carries no
    gradient: dL/dσ² is zero at the optimum, and the formula stays that of a Gaussian with a known variance.
    """
    counted = pixels_counted(batch, channels)
    errors = squared_error(batch, reconstructions, channels) * counted
    mse = errors.sum() / counted.sum().clamp_min(1)
    variance = noise_variance(errors, counted, settings)
    nats = errors / (2 * variance) + counted * (0.5 * torch.log(2 * math.pi * variance))
    return nats.mean(), mse


def noise_variance(errors: torch.Tensor, counted: torch.Tensor, settings: LikelihoodSettings) -> torch.Tensor:
    """σ² of a batch from each image's sum of squared errors and number of counted values, (N,) both; a scalar without a
    gradient, the same in all processes."""
    if settings.noise == "fixed":
        return errors.new_full((), settings.noise_variance)
    both = summed(torch.stack([errors.sum(), counted.sum()]))
    return (both[0] / both[1].clamp_min(1)).clamp_min(SMALLEST_VARIANCE)


def judged_likelihood(mse: float, pixels: int, settings: LikelihoodSettings) -> float:
    """The same from the mean squared error of many images, for a validation loss; ``pixels`` values an image."""
    variance = max(mse, SMALLEST_VARIANCE) if settings.noise == "optimal" else settings.noise_variance
    return pixels * (mse / (2 * variance) + 0.5 * math.log(2 * math.pi * variance))
