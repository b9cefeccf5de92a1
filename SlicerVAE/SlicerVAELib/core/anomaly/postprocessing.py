"""What is done to a finished map: smoothing, and taking out of it what is not to be looked at."""

import math

import numpy as np
import torch

from ..regions import connected_regions


def smooth(maps: torch.Tensor, sigma_pixels: float) -> torch.Tensor:
    """Maps (…, H, W) smoothed in the slice plane by a Gaussian of ``sigma_pixels``, edges repeated."""
    matrix = _smoothing(maps.shape[-1], sigma_pixels, maps)
    return maps if matrix is None else matrix @ maps @ matrix.T


def smooth_in_space(maps: torch.Tensor, sigma_pixels: float, sigma_slices: float) -> torch.Tensor:
    """Neighbouring slices (N, H, W) smoothed in three dimensions by a Gaussian, edges repeated."""
    maps = smooth(maps, sigma_pixels)
    matrix = _smoothing(len(maps), sigma_slices, maps)
    return maps if matrix is None else (matrix @ maps.flatten(1)).view_as(maps)


def _smoothing(size: int, sigma: float, like: torch.Tensor) -> torch.Tensor | None:
    """The Gaussian along a side as one small matrix, the edge's weights included; None where it changes nothing."""
    radius = math.ceil(3 * sigma)
    if sigma < 0.05 or radius == 0:
        return None
    offsets = torch.arange(-radius, radius + 1, dtype=like.dtype, device=like.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel /= kernel.sum()
    columns = (torch.arange(size, device=like.device)[:, None] + offsets.long()[None, :]).clamp_(0, size - 1)
    matrix = torch.zeros(size, size, dtype=like.dtype, device=like.device)
    return matrix.scatter_add_(1, columns, kernel.expand(size, -1).contiguous())


def flatten_small_regions(maps: torch.Tensor, threshold: float, fewest_voxels: float) -> torch.Tensor:
    """The map (N, H, W) with every region beyond ±``threshold`` of less than ``fewest_voxels`` brought back to it.

    A region is what holds together through the faces of voxels, on one side of zero. So only regions large enough pass
    the threshold afterwards, and the map has no holes.
    """
    values = maps.numpy()
    small = np.zeros(values.shape, dtype=bool)
    for beyond in (values > threshold, values < -threshold):
        labels = connected_regions(beyond)
        sizes = np.bincount(labels.ravel())
        sizes[0] = 0
        small |= ((sizes > 0) & (sizes < fewest_voxels))[labels]
    return torch.where(torch.from_numpy(small), maps.clamp(-threshold, threshold), maps)
