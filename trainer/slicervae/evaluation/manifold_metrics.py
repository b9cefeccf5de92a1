"""Whether samples look real and whether all that is real is sampled, told by nearest neighbours among features.

Precision and recall after Kynkäänniemi et al. (2019), density and coverage after Naeem et al. (2020).
"""

import dataclasses

import torch

ROWS_AT_ONCE = 1024
NEIGHBOURS_OF_PRECISION = 3
NEIGHBOURS_OF_DENSITY = 5


@dataclasses.dataclass(frozen=True)
class ManifoldMetrics:
    """``precision`` is the share of samples that lie within a real image's neighbourhood, ``recall`` that of real
    images that lie within a sample's; ``density`` counts for each sample the real neighbourhoods that it lies in, over
    their number k, and may exceed 1; ``coverage`` is the share of real images with a sample in their neighbourhood."""

    precision: float
    recall: float
    density: float
    coverage: float


def manifold_metrics(
    real: torch.Tensor,
    samples: torch.Tensor,
    *,
    neighbours_of_precision: int = NEIGHBOURS_OF_PRECISION,
    neighbours_of_density: int = NEIGHBOURS_OF_DENSITY,
) -> ManifoldMetrics:
    """The four of features (N, D) of real images and (M, D) of samples.

    A neighbourhood is the ball about an image up to its k-th nearest other image of its own set, its edge included;
    with fewer images than that, all others are neighbours.
    """
    real_radii = _radii(real, neighbours_of_precision)
    sample_radii = _radii(samples, neighbours_of_precision)
    wide_radii = _radii(real, neighbours_of_density)
    neighbours = min(neighbours_of_density, len(real) - 1)
    recalled = covered = 0
    inside_any = torch.zeros(len(samples), dtype=torch.bool)
    memberships = 0
    for start in range(0, len(real), ROWS_AT_ONCE):
        rows = slice(start, start + ROWS_AT_ONCE)
        distances = torch.cdist(real[rows], samples)
        inside_any |= (distances <= real_radii[rows, None]).any(dim=0)
        recalled += int((distances <= sample_radii).any(dim=1).sum())
        within = distances <= wide_radii[rows, None]
        memberships += int(within.sum())
        covered += int(within.any(dim=1).sum())
    return ManifoldMetrics(
        precision=float(inside_any.float().mean()),
        recall=recalled / len(real),
        density=memberships / (neighbours * len(samples)),
        coverage=covered / len(real),
    )


def _radii(features: torch.Tensor, neighbours: int) -> torch.Tensor:
    """Distance of each of (N, D) to its k-th nearest other one, (N,)."""
    rank = min(neighbours, len(features) - 1) + 1  # itself is the nearest
    parts = [torch.cdist(rows, features).kthvalue(rank, dim=1).values for rows in features.split(ROWS_AT_ONCE)]
    return torch.cat(parts)
