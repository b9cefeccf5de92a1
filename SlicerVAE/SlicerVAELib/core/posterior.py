"""Diagonal Gaussian posteriors q(z|x) = N(μ, diag σ²)."""

import dataclasses

import torch

# Beyond these bounds exp() over- or underflows in half precision long before the model is any good.
LOG_VARIANCE_RANGE = (-20.0, 20.0)


@dataclasses.dataclass(frozen=True, eq=False)
class DiagonalGaussian:
    """A batch of posteriors: ``mean`` and ``log_variance`` are (N, J)."""

    mean: torch.Tensor
    log_variance: torch.Tensor

    def sample(self, generator: torch.Generator | None = None) -> torch.Tensor:
        """One draw z = μ + σ·ε of each posterior, (N, J), by the reparametrisation of Kingma and Welling.

        ε is drawn on the generator's device, so that a seed gives the same draw on every device.
        """
        device = self.mean.device if generator is None else generator.device
        noise = torch.randn(self.mean.shape, generator=generator, device=device, dtype=torch.float32)
        return self.mean + torch.exp(self.log_variance / 2) * noise.to(self.mean)

    def kl(self) -> torch.Tensor:
        """KL(q‖N(0, I)) = −½ Σ(1 + ln σ² − μ² − σ²) of each posterior, in nats, (N,)."""
        return self.kl_per_latent().sum(dim=1)

    def kl_per_latent(self) -> torch.Tensor:
        """The terms of that sum, (N, J): which latents carry information."""
        return -0.5 * (1 + self.log_variance - self.mean.square() - self.log_variance.exp())
