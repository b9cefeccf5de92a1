"""The evidence lower bound of the VAE and β-VAE, with the optimal or a fixed noise variance."""

import dataclasses
import math

import torch
from torch import nn

from SlicerVAELib.core.networks import Network

from ..recipe import ObjectiveSettings

SMALLEST_VARIANCE = 1e-6  # one grey level of ten bits; below it the division only amplifies rounding


@dataclasses.dataclass(eq=False)  # not frozen: Fabric rebuilds what a forward pass returns
class Terms:
    """The loss, its parts in nats per image, and the mean squared error per pixel, as scalars."""

    loss: torch.Tensor
    reconstruction: torch.Tensor
    kl: torch.Tensor
    mse: torch.Tensor


class VAEObjective(nn.Module):
    """−ELBO = −E_q[ln p(x|z)] + β·KL(q(z|x)‖N(0, I)), averaged over the batch.

    ln p is Gaussian with one variance σ² for all pixels. With ``noise`` "optimal", σ² is the batch's own mean squared
    error, the maximum-likelihood value (Rybkin et al., σ-VAE), so that no weight between the terms has to be chosen.
    """

    def __init__(self, network: Network, settings: ObjectiveSettings) -> None:
        super().__init__()
        self.network = network
        self._settings = settings

    def forward(self, images: torch.Tensor, generator: torch.Generator | None) -> Terms:
        """Terms of a batch (N, C, H, W) in [0, 1]; without a generator the posterior mean stands for the draw."""
        posterior = self.network.encode(images)
        latents = posterior.mean if generator is None else posterior.sample(generator)
        return self.terms(images, self.network.decode(latents), posterior.kl())

    def terms(self, images: torch.Tensor, reconstructions: torch.Tensor, kl: torch.Tensor) -> Terms:
        """Terms from reconstructions (N, C, H, W) and the KL of each image (N,)."""
        mse = (images - reconstructions).square().mean()
        if self._settings.noise == "optimal":
            # Detached: dL/dσ² is zero at the optimum, so the gradient is the same and the formula stays that of a
            # Gaussian with a known variance.
            variance = mse.detach().clamp_min(SMALLEST_VARIANCE)
        else:
            variance = torch.full_like(mse, self._settings.noise_variance)
        pixels = images[0].numel()
        reconstruction = pixels * (mse / (2 * variance) + 0.5 * torch.log(2 * math.pi * variance))
        divergence = kl.mean()
        return Terms(reconstruction + self._settings.beta * divergence, reconstruction, divergence, mse)
