"""Structures as classes: every pixel of a model's grid belongs to exactly one of them, or to none."""

from collections.abc import Sequence

import numpy as np
import torch

from .resampling import resample
from .volume import Geometry

SHARE_DECIMALS = 4  # of a pixel; below that, shares are equal and rounding must not choose between them


def one_class_per_pixel(masks: Sequence[np.ndarray], source: Geometry, target: Geometry) -> torch.Tensor:
    """Masks (K, J, I) on ``source`` as classes on ``target``: float32 (R + 1, N, H, W) of 0 and 1, one 1 a pixel.

    The last class is what lies in no structure. Of structures that overlap the one with fewer voxels in the whole
    volume has the voxel. In every slice a structure gets as many pixels as its area amounts to, and of them those that
    it fills the most, the smaller structures first. Where each pixel went to the class that fills most of it, a
    structure thinner than a pixel, such as the spinal cord on a coarse grid, would be gone.
    """
    by_size = sorted(range(len(masks)), key=lambda index: (np.count_nonzero(masks[index]), index))
    nobody = len(masks)
    owner = np.full(source.shape, nobody, dtype=np.uint8 if nobody < 256 else np.int32)
    for index in reversed(by_size):
        owner[masks[index].astype(bool, copy=False)] = index
    classes = np.full(target.shape, nobody, dtype=np.int64)
    for index in by_size:
        shares = resample(owner == index, source, target, fill=0.0).numpy().round(SHARE_DECIMALS)
        for plane, share, count in zip(classes, shares, _pixels_by_slice(shares), strict=True):
            candidates = np.flatnonzero((share > 0) & (plane == nobody))
            fullest_first = np.argsort(-share.flat[candidates], kind="stable")
            plane.flat[candidates[fullest_first[:count]]] = index
    return torch.nn.functional.one_hot(torch.from_numpy(classes), nobody + 1).movedim(-1, 0).float()


def _pixels_by_slice(shares: np.ndarray) -> np.ndarray:
    """Whole pixels of each slice of shares (N, H, W); what rounding takes from one slice it gives to the next."""
    areas = shares.sum(axis=(1, 2), dtype=np.float64)
    return np.diff(np.floor(np.cumsum(areas) + 0.5), prepend=0).astype(np.int64)
