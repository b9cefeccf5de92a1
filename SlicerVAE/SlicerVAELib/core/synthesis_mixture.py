"""A mixture of Gaussians over latents: where the training images' posteriors really lie.

The prior N(0, σ_z² I) is what training pulls the posteriors towards; they never fill it. Draws from where they do not
lie decode to pictures that are no anatomy.
"""

import dataclasses

import torch

from .progress import Cancel, Meter
from .synthesis import seeded


@dataclasses.dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Σ_k w_k N(μ_k, F_k F_kᵀ + diag d_k²) over latents of ``shape`` with J numbers, in float32.

    ``weights`` (K,) sum to one; ``means`` μ (K, J); ``factors`` F (K, J, R); ``deviations`` d (K, J), not negative.
    R = 0 is a diagonal covariance; R = J with d = 0 a full one, F being its Cholesky factor; between them lies a
    covariance of low rank with noise of its own in each latent, for models of thousands of latents.
    """

    name: str
    shape: tuple[int, ...]
    weights: torch.Tensor
    means: torch.Tensor
    factors: torch.Tensor
    deviations: torch.Tensor

    @property
    def in_words(self) -> str:
        """Its name and number of Gaussians."""
        return f"{self.name} of {len(self.weights)} Gaussians"

    @property
    def takes_temperature(self) -> bool:
        """The temperature scales each Gaussian about its mean."""
        return True

    def draw(self, count: int, *, seed: int, temperature: float, meter: Meter, cancel: Cancel) -> torch.Tensor:
        """Latents (count, *shape); see ``synthesis.Prior``."""
        generator = seeded(seed)
        cumulative = self.weights.double().cumsum(dim=0)
        rank = self.factors.shape[2]
        draws = []
        for _ in range(count):
            cancel.check()
            where = torch.rand(1, generator=generator, dtype=torch.float64) * cumulative[-1]
            chosen = int(torch.searchsorted(cumulative, where, right=True).clamp_max(len(cumulative) - 1))
            shared = torch.randn(rank, generator=generator)
            own = torch.randn(self.means.shape[1], generator=generator)
            spread = self.factors[chosen] @ shared + self.deviations[chosen] * own
            draws.append(self.means[chosen] + temperature * spread)
            meter.advance(1)
        return torch.stack(draws).reshape(count, *self.shape)
