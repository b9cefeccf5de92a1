"""A map's values in healthy patients at two scales, fine and coarse, of which the more unusual one counts.

A nodule shows in a map that is hardly smoothed; an effusion is faint but large, and shows once noise and shifted edges
have been averaged away in three dimensions. Each scale is made a healthy z-score of its own before they are compared.
"""

import dataclasses
from collections.abc import Sequence

import torch

from .healthy import HealthyDistribution
from .healthy_tails import Tails


@dataclasses.dataclass(frozen=True, eq=False)
class Scale:
    """A map smoothed in one way, ``values`` (N, H, W), and the reconstruction whose intensity tells the tissue there,
    ``tissue`` (N, H, W)."""

    values: torch.Tensor
    tissue: torch.Tensor


@dataclasses.dataclass(frozen=True, eq=False)
class HealthyScales:
    """The healthy distribution of a map at each of its ``scales``, the finest first, and the ``tails`` of the z-score
    that is farthest from 0 of them, which alone is no normal one; None with a single scale."""

    scales: tuple[HealthyDistribution, ...]
    tails: Tails | None = None

    def __post_init__(self) -> None:
        if not self.scales or (len(self.scales) > 1) != (self.tails is not None):
            raise ValueError("scales and tails do not fit each other")
        if self.tails is not None and len(self.tails.knots) != len(self.scales[0].edges) + 2:
            raise ValueError("the tails are not those of as many tissues")

    def z_scores(self, scales: Sequence[Scale], places: torch.Tensor) -> torch.Tensor:
        """How unusual a map is at each pixel, (N, H, W), from what it is at every scale and from ``places``."""
        farthest = farthest_from_zero(self.scales, scales, places)
        if self.tails is None:
            return farthest
        return self.tails.normal_scores(farthest, self.scales[0].groups(scales[0].tissue, places))


def farthest_from_zero(
    distributions: Sequence[HealthyDistribution], scales: Sequence[Scale], places: torch.Tensor
) -> torch.Tensor:
    """Of the z-scores of each pixel at every scale the one that is farthest from zero, with its sign."""
    farthest, *others = (
        own.z_scores(each.values, each.tissue, places) for own, each in zip(distributions, scales, strict=True)
    )
    for other in others:
        farthest = torch.where(other.abs() > farthest.abs(), other, farthest)
    return farthest
