"""The distribution of an anomaly map's values in healthy patients, by place in the body and by tissue.

A place is one of 8 × 8 fields of the box about the body in each slice, or what lies outside of the box; where along the
body a slice lies is not known. A tissue is a range of the reconstruction's intensity.
"""

import dataclasses

import numpy as np
import torch

from .resampling import resample
from .stack import Stack
from .volume import Geometry

FIELDS = 8  # a side
PLACES = FIELDS * FIELDS + 1


@dataclasses.dataclass(frozen=True, eq=False)
class HealthyDistribution:
    """``location`` and ``scale`` (PLACES, T), in the map's unit, of T tissues between the T − 1 rising ``edges`` in
    [0, 1]; all float32."""

    edges: np.ndarray
    location: np.ndarray
    scale: np.ndarray

    def __post_init__(self) -> None:
        tissues = self.edges.shape[0] + 1 if self.edges.ndim == 1 else 0
        if not self.location.shape == self.scale.shape == (PLACES, tissues):
            raise ValueError("edges, location and scale do not fit each other")
        if not (np.diff(self.edges) > 0).all() or not (self.scale > 0).all() or not np.isfinite(self.location).all():
            raise ValueError("the values are no distribution")

    def z_scores(self, maps: torch.Tensor, reconstructions: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """(map − location) / scale at each pixel's place and tissue, (N, H, W)."""
        cells = cells_of(places, reconstructions, self.edges)
        location, scale = (torch.from_numpy(table).flatten()[cells] for table in (self.location, self.scale))
        return (maps - location).div_(scale)


def cells_of(places: torch.Tensor, reconstructions: torch.Tensor, edges: np.ndarray) -> torch.Tensor:
    """Place and tissue of each pixel as one number, place · T + tissue, int64 (N, H, W)."""
    tissues = torch.bucketize(reconstructions.contiguous(), torch.from_numpy(edges))
    return places * (len(edges) + 1) + tissues


def places_of(stack: Stack, body: tuple[np.ndarray, Geometry]) -> torch.Tensor:
    """Place of each pixel of the stack, int64 (N, H, W), from the body's mask and its grid."""
    return places_in(resample(*body, stack.geometry, fill=0.0) > 0.5)


def places_in(body: torch.Tensor) -> torch.Tensor:
    """Place of each pixel, int64 (N, H, W), from the body's mask (N, H, W); all outside in a slice without a body."""
    rows, columns = (_fields(body.any(dim=axis)) for axis in (2, 1))
    places = rows[:, :, None] * FIELDS + columns[:, None, :]
    outside = (rows < 0)[:, :, None] | (columns < 0)[:, None, :]
    return torch.where(outside, PLACES - 1, places)


def _fields(present: torch.Tensor) -> torch.Tensor:
    """Field of each pixel along one side of the box, (N, S), −1 beyond it, from where there is any body, (N, S)."""
    size = present.shape[1]
    index = torch.arange(size)
    first = torch.where(present, index, size).amin(dim=1, keepdim=True)
    last = torch.where(present, index, -1).amax(dim=1, keepdim=True)
    fields = (index - first) * FIELDS // (last - first + 1).clamp(min=1)
    return torch.where((index < first) | (index > last), -1, fields)
