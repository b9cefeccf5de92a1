"""The Fréchet distance of two sets of features, each taken for a Gaussian (Heusel et al., 2017)."""

import dataclasses

import torch


@dataclasses.dataclass(frozen=True, eq=False)
class Moments:
    """Mean (D,) and covariance (D, D) of a set of features, in double precision."""

    mean: torch.Tensor
    covariance: torch.Tensor


def moments_of(features: torch.Tensor) -> Moments:
    """Moments of features (N, D), N ≥ 2; the covariance is the unbiased one."""
    features = features.double()
    mean = features.mean(dim=0)
    centred = features - mean
    return Moments(mean, centred.T @ centred / (len(features) - 1))


def frechet_distance(first: Moments, second: Moments) -> float:
    """‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½).

    The trace of the root is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric, so that
    nothing has to be added to covariances of fewer images than features.
    """
    values, vectors = torch.linalg.eigh(first.covariance)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    product = root @ second.covariance @ root
    trace_of_root = torch.linalg.eigvalsh((product + product.T) / 2).clamp(min=0).sqrt().sum()
    gap = (first.mean - second.mean).square().sum()
    distance = gap + first.covariance.trace() + second.covariance.trace() - 2 * trace_of_root
    return max(float(distance), 0.0)
