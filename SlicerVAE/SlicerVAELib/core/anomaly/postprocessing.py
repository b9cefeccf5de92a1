"""What is done to a finished map: smoothing, and taking out of it what is not to be looked at."""

import math

import numpy as np
import torch

from ..regions import connected_regions


def smooth(maps: torch.Tensor, sigma_pixels: float) -> torch.Tensor:
    """Maps (…, H, W) smoothed in the slice plane by a Gaussian of ``sigma_pixels``, edges repeated."""
    radius = math.ceil(3 * sigma_pixels)
    if sigma_pixels < 0.05 or radius == 0:
        return maps
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (offsets / sigma_pixels) ** 2)
    kernel /= kernel.sum()
    size = maps.shape[-1]
    # As one small matrix per side, the edge pixels' weights included, smoothing is two matrix products.
    columns = (torch.arange(size, device=maps.device)[:, None] + offsets.long()[None, :]).clamp_(0, size - 1)
    matrix = torch.zeros(size, size, dtype=maps.dtype, device=maps.device)
    matrix.scatter_add_(1, columns, kernel.expand(size, -1).contiguous())
    return matrix @ maps @ matrix.T


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
