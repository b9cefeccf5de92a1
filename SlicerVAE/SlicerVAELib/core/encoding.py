"""What an encoder says of images: a Gaussian posterior, a hierarchy of two, codes of a codebook, or a plain point.

Everything downstream asks the same four questions of any of them: the latents to decode, a random draw of them, the
term that stands beside the reconstruction error in a slice's score, and what similarity can be measured with.
"""

import abc
import dataclasses
import math
from collections.abc import Callable

import torch

# Beyond these bounds exp() over- or underflows in half precision long before the model is any good.
LOG_VARIANCE_RANGE = (-20.0, 20.0)


class Encoding(abc.ABC):
    """What an encoder says of N images. Latents are (N, *shape), the shape being that of ``Network.latent``."""

    @property
    @abc.abstractmethod
    def mode(self) -> torch.Tensor:
        """The latents to decode for a reconstruction: the posterior's mean, or the codes' vectors."""

    @abc.abstractmethod
    def draw(self, epsilon: torch.Tensor) -> torch.Tensor:
        """Latents drawn with standard normal noise ``epsilon`` of the latents' shape; the mode where nothing is random.

        The caller makes the noise, so that a seed gives the same draw on every device and for every batch size.
        """

    @abc.abstractmethod
    def divergence(self) -> torch.Tensor:
        """What a slice's score adds to the reconstruction's negative log-likelihood, (N,): KL or commitment."""


@dataclasses.dataclass(frozen=True, eq=False)
class DiagonalGaussian(Encoding):
    """Posteriors q(z|x) = N(μ, diag σ²) under the prior N(0, σ_z² I); ``mean`` and ``log_variance`` are (N, *shape)."""

    mean: torch.Tensor
    log_variance: torch.Tensor
    prior_variance: float = 1.0

    @property
    def mode(self) -> torch.Tensor:
        """The mean."""
        return self.mean

    def draw(self, epsilon: torch.Tensor) -> torch.Tensor:
        """z = μ + σ·ε, the reparametrisation of Kingma and Welling."""
        return self.mean + torch.exp(self.log_variance / 2) * epsilon.to(self.mean)

    def divergence(self) -> torch.Tensor:
        """KL divergence from the prior in nats, (N,)."""
        return self.kl()

    def kl(self) -> torch.Tensor:
        """KL(q‖N(0, σ_z² I)) = ½ Σ[(σ² + μ²)/σ_z² − 1 − ln(σ²/σ_z²)] in nats, (N,)."""
        return self.kl_per_latent().flatten(1).sum(dim=1)

    def kl_per_latent(self) -> torch.Tensor:
        """The terms of that sum, (N, *shape): which latents carry information."""
        relative = self.log_variance - math.log(self.prior_variance)
        return 0.5 * (relative.exp() + self.mean.square() / self.prior_variance - 1 - relative)


@dataclasses.dataclass(frozen=True, eq=False)
class HierarchicalGaussian(Encoding):
    """Posteriors of a hierarchy q(z₁|x) q(z₂|x, z₁); latents are [z₁, z₂] flat, (N, J₁ + J₂).

    ``second_given`` maps z₁ (N, J₁) to the posterior of z₂ (N, J₂) of the same images.
    """

    first: DiagonalGaussian
    second_given: Callable[[torch.Tensor], DiagonalGaussian]

    @property
    def mode(self) -> torch.Tensor:
        """The mean of z₁, and the mean of z₂ given it."""
        return torch.cat([self.first.mean, self.second_given(self.first.mean).mean], dim=1)

    def draw(self, epsilon: torch.Tensor) -> torch.Tensor:
        """A draw of z₁, and a draw of z₂ given it; ``epsilon`` is (N, J₁ + J₂)."""
        split = self.first.mean.shape[1]
        first = self.first.draw(epsilon[:, :split])
        return torch.cat([first, self.second_given(first).draw(epsilon[:, split:])], dim=1)

    def divergence(self) -> torch.Tensor:
        """KL₁ + KL₂ in nats, (N,), the second at the mean of z₁."""
        return self.first.kl() + self.second_given(self.first.mean).kl()


@dataclasses.dataclass(frozen=True, eq=False)
class Codes(Encoding):
    """Vectors quantised to the nearest of a codebook; latents are the codebook's vectors (N, D, *grid).

    ``continuous`` are the encoder's vectors before quantisation and ``quantised`` those of the codebook, both
    (N, D, *grid); ``indices`` (N, *grid) are the codes.
    """

    continuous: torch.Tensor
    quantised: torch.Tensor
    indices: torch.Tensor

    @property
    def mode(self) -> torch.Tensor:
        """The codebook's vectors, with the gradient passed straight through to the encoder (van den Oord et al.)."""
        return self.continuous + (self.quantised - self.continuous).detach()

    def draw(self, epsilon: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - nothing is random
        """The mode: codes are not random."""
        return self.mode

    def divergence(self) -> torch.Tensor:
        """Commitment ‖z − sg[e]‖², summed over an image's vectors, (N,)."""
        return (self.continuous - self.quantised.detach()).square().flatten(1).sum(dim=1)


@dataclasses.dataclass(frozen=True, eq=False)
class CodeLevels(Encoding):
    """Codes on several grids, the coarsest first; latents are all their vectors, flat, (N, J)."""

    levels: tuple[Codes, ...]

    @property
    def mode(self) -> torch.Tensor:
        """The vectors of all levels, flat, straight through."""
        return torch.cat([level.mode.flatten(1) for level in self.levels], dim=1)

    def draw(self, epsilon: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - nothing is random
        """The mode: codes are not random."""
        return self.mode

    def divergence(self) -> torch.Tensor:
        """The sum of the levels' commitments, (N,)."""
        return torch.stack([level.divergence() for level in self.levels]).sum(dim=0)


@dataclasses.dataclass(frozen=True, eq=False)
class Point(Encoding):
    """A plain autoencoder's latents (N, *shape): no posterior, no prior."""

    value: torch.Tensor

    @property
    def mode(self) -> torch.Tensor:
        """The latents."""
        return self.value

    def draw(self, epsilon: torch.Tensor) -> torch.Tensor:  # noqa: ARG002 - nothing is random
        """The latents: nothing is random."""
        return self.value

    def divergence(self) -> torch.Tensor:
        """Zero, (N,)."""
        return self.value.new_zeros(len(self.value))
