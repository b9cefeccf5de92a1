"""The distribution of an anomaly map's values in healthy patients, by place in the body and by tissue.

A place is one of 8 × 8 fields of the box about the body in each slice, or what lies outside; where along the body a
slice lies is not known. A tissue is a range of the reconstruction's intensity.
"""

import dataclasses

import numpy as np
import torch

from .healthy_tails import Tails
from .resampling import resample
from .stack import Stack
from .volume import Geometry

FIELDS = 8  # a side
PLACES = FIELDS * FIELDS + 1
OUTSIDE = PLACES - 1


@dataclasses.dataclass(frozen=True, eq=False)
class HealthyDistribution:
    """``location`` and ``scale`` (PLACES, T), in the map's unit, of T tissues between the T − 1 rising ``edges`` in
    [0, 1]; all float32. ``tails`` are those of what is then standardised, of the T tissues and of what lies outside the
    body; None where it counts as normal, as in calibrations of the first version."""

    edges: np.ndarray
    location: np.ndarray
    scale: np.ndarray
    tails: Tails | None = None

    def __post_init__(self) -> None:
        tissues = self.edges.shape[0] + 1 if self.edges.ndim == 1 else 0
        if not self.location.shape == self.scale.shape == (PLACES, tissues):
            raise ValueError("edges, location and scale do not fit each other")
        if not (np.diff(self.edges) > 0).all() or not (self.scale > 0).all() or not np.isfinite(self.location).all():
            raise ValueError("the values are no distribution")
        if self.tails is not None and len(self.tails.knots) != tissues + 1:
            raise ValueError("the tails are not those of as many tissues")

    def z_scores(self, maps: torch.Tensor, reconstructions: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Normal score, among healthy pixels, of (map − location) / scale at each pixel's place and tissue, (N, H, W);
        all on one device."""
        cells = cells_of(places, reconstructions, self.edges)
        location, scale = (
            torch.from_numpy(table).to(maps.device).flatten()[cells] for table in (self.location, self.scale)
        )
        standardised = (maps - location).div_(scale)
        if self.tails is None:
            return standardised
        return self.tails.normal_scores(standardised, groups_of(cells, len(self.edges) + 1))

    def groups(self, reconstructions: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """The group of each pixel that tails tell apart, int64 (N, H, W): its tissue, or T outside the body."""
        return groups_of(cells_of(places, reconstructions, self.edges), len(self.edges) + 1)


def cells_of(places: torch.Tensor, reconstructions: torch.Tensor, edges: np.ndarray) -> torch.Tensor:
    """Place and tissue of each pixel as one number, place · T + tissue, int64 (N, H, W)."""
    bounds = torch.from_numpy(edges).to(reconstructions.device)
    return places * (len(edges) + 1) + torch.bucketize(reconstructions.contiguous(), bounds)


def groups_of(cells: torch.Tensor, tissues: int) -> torch.Tensor:
    """The tissue of each cell, and ``tissues`` of what lies outside the body."""
    return torch.where(cells >= OUTSIDE * tissues, tissues, cells % tissues)


def body_on(stack: Stack, body: tuple[np.ndarray, Geometry]) -> torch.Tensor:
    """Where the body is on the stack's grid, boolean (N, H, W), from its mask and that mask's grid."""
    return resample(*body, stack.geometry, fill=0.0) > 0.5


def places_in_body(body: torch.Tensor) -> torch.Tensor:
    """Place of each pixel, int64 (N, H, W), from the body's mask (N, H, W); what is not body lies outside."""
    return torch.where(body, places_in_box(body), OUTSIDE)


def places_in_box(body: torch.Tensor) -> torch.Tensor:
    """Place of each pixel, int64 (N, H, W), from the body's mask (N, H, W); the air in the corners of the box about a
    body counts as inside, and all is outside in a slice without a body."""
    rows, columns = (_fields(body.any(dim=axis)) for axis in (2, 1))
    places = rows[:, :, None] * FIELDS + columns[:, None, :]
    outside = (rows < 0)[:, :, None] | (columns < 0)[:, None, :]
    return torch.where(outside, OUTSIDE, places)


def _fields(present: torch.Tensor) -> torch.Tensor:
    """Field of each pixel along one side of the box, (N, S), −1 beyond it, from where there is any body, (N, S)."""
    size = present.shape[1]
    index = torch.arange(size)
    first = torch.where(present, index, size).amin(dim=1, keepdim=True)
    last = torch.where(present, index, -1).amax(dim=1, keepdim=True)
    fields = (index - first) * FIELDS // (last - first + 1).clamp(min=1)
    return torch.where((index < first) | (index > last), -1, fields)
