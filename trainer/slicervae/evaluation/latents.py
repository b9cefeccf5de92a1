"""What latents carry: how many are used, how much each tells, and how much of a codebook is in use."""

import dataclasses
from collections.abc import Sequence

import torch

from SlicerVAELib.core.encoding import CodeLevels, Codes, DiagonalGaussian, Encoding, HierarchicalGaussian
from SlicerVAELib.core.latent import Latent

ACTIVE_VARIANCE = 0.01  # Burda, Grosse and Salakhutdinov's threshold, for a prior of unit variance


@dataclasses.dataclass(frozen=True, eq=False)
class LatentUse:
    """Of Gaussian latents, flat, over the images of a group.

    ``variance`` (J,) is that of the posterior means from image to image, ``kl`` (J,) each latent's mean KL divergence
    from the prior in nats; ``active`` latents are those whose variance is above 0.01 of the prior's.
    """

    variance: torch.Tensor
    kl: torch.Tensor
    prior_variance: float

    @property
    def is_active(self) -> torch.Tensor:
        """Which latents follow the image, (J,)."""
        return self.variance > ACTIVE_VARIANCE * self.prior_variance

    @property
    def active(self) -> int:
        """How many do."""
        return int(self.is_active.sum())

    @property
    def by_activity(self) -> list[int]:
        """All latents, the one whose mean varies most first."""
        return self.variance.argsort(descending=True, stable=True).tolist()


@dataclasses.dataclass(frozen=True)
class CodebookUse:
    """Of one codebook of ``size`` codes over the images of a group: ``usage`` is the share of its codes that occur,
    ``perplexity`` the exponential of the entropy of how often, between 1 and ``size``."""

    size: int
    usage: float
    perplexity: float


def posterior_of(encoding: Encoding) -> DiagonalGaussian | None:
    """The posteriors of all latents, flat, (N, J); of a hierarchy that of z₁, and of z₂ given the mean of z₁. None
    where there are none."""
    if isinstance(encoding, HierarchicalGaussian):
        levels = (encoding.first, encoding.second_given(encoding.first.mean))
        mean, log_variance = (torch.cat(parts, dim=1) for parts in zip(*map(_flat, levels), strict=True))
        return DiagonalGaussian(mean, log_variance, encoding.first.prior_variance)
    if isinstance(encoding, DiagonalGaussian):
        return DiagonalGaussian(*_flat(encoding), encoding.prior_variance)
    return None


class LatentUseOverBatches:
    """Adds up what ``LatentUse`` tells, in double precision."""

    def __init__(self, latent: Latent) -> None:
        self._count = 0
        self._mean, self._squares, self._kl = (torch.zeros(latent.size, dtype=torch.float64) for _ in range(3))
        self._prior_variance = latent.prior_variance

    def add(self, mean: torch.Tensor, kl: torch.Tensor) -> None:
        """Take in posterior means (N, J) and KL divergences per latent (N, J)."""
        mean = mean.double()
        count, of_batch = len(mean), mean.mean(dim=0)
        total = self._count + count
        gap = of_batch - self._mean
        # Chan, Golub and LeVeque's update: sums of squares would cancel where a latent's mean is far from zero.
        self._squares += (mean - of_batch).square().sum(dim=0) + gap.square() * self._count * count / total
        self._mean += gap * count / total
        self._kl += (kl.double().mean(dim=0) - self._kl) * count / total
        self._count = total

    def use(self) -> LatentUse:
        """What there was, of at least one image."""
        return LatentUse(self._squares / self._count, self._kl, self._prior_variance)


class CodebookUseOverBatches:
    """Counts how often each code of each level occurs."""

    def __init__(self, latent: Latent) -> None:
        self._counts = [torch.zeros(latent.codebook_size, dtype=torch.long) for _ in latent.grids]

    def add(self, codes: Sequence[torch.Tensor]) -> None:
        """Take in the codes of some images, (N, *grid) of each level."""
        for counts, level in zip(self._counts, codes, strict=True):
            counts += torch.bincount(level.flatten().long(), minlength=len(counts))

    def use(self) -> tuple[CodebookUse, ...]:
        """Of each level, the coarsest first."""
        return tuple(_use_of(counts) for counts in self._counts)


def _use_of(counts: torch.Tensor) -> CodebookUse:
    shares = counts[counts > 0].double() / counts.sum()
    entropy = -(shares * shares.log()).sum()
    return CodebookUse(len(counts), float((counts > 0).double().mean()), float(entropy.exp()))


def codes_of(encoding: Encoding) -> tuple[torch.Tensor, ...]:
    """The codes (N, *grid) of each level, the coarsest first; none where there are no codes."""
    if isinstance(encoding, CodeLevels):
        return tuple(level.indices for level in encoding.levels)
    return (encoding.indices,) if isinstance(encoding, Codes) else ()


def _flat(posterior: DiagonalGaussian) -> tuple[torch.Tensor, torch.Tensor]:
    return posterior.mean.flatten(1), posterior.log_variance.flatten(1)
