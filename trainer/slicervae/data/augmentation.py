"""Small random changes of training images: shifts and rotations in the slice plane, and of the intensities."""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch.nn.functional import affine_grid, grid_sample

from SlicerVAELib.core.preprocessing import Preprocessing

from ..draws import Draws
from ..recipe import AugmentationSettings
from .batch import Batch


def augmentation_of(
    settings: AugmentationSettings, preprocessing: Preprocessing
) -> Callable[[Batch, Draws], Batch] | None:
    """What changes a training batch as the settings say; None when they change nothing."""
    return Augmentation(settings, preprocessing) if settings != AugmentationSettings() else None


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """Changes every image of a batch by its own draws, all its channels and, of a cube, all slices in the same way.

    Images are interpolated linearly and black where nothing is known; structures stay probabilities that sum to one,
    and what comes from beyond the edge lies in none of them; what the loss leaves out moves along, to whole pixels.
    """

    settings: AugmentationSettings
    preprocessing: Preprocessing

    def __call__(self, batch: Batch, draws: Draws) -> Batch:
        """The changed batch, on the batch's device."""
        images, kept = batch.images, batch.kept
        count, image_channels = len(images), self.preprocessing.image_channels
        moves = draws.uniform((count, 3), -1.0, 1.0).to(images.device)
        factors = draws.uniform((count, image_channels), -1.0, 1.0).to(images.device)
        offsets = draws.uniform((count, image_channels), -1.0, 1.0).to(images.device)
        if self.settings.shift_mm or self.settings.rotation_degrees:
            transforms = self._transforms(moves)
            images = _moved(images, transforms, "bilinear")
            if kept is not None:
                kept = 1 - _moved(1 - kept, transforms, "nearest")
        pictures, structures = images[:, :image_channels], images[:, image_channels:]
        shape = (count, image_channels) + (1,) * (images.ndim - 2)
        scale = 1 + self.settings.intensity_scale * factors.reshape(shape)
        pictures = (pictures * scale + self.settings.intensity_offset * offsets.reshape(shape)).clamp(0, 1)
        if structures.shape[1]:
            named = structures[:, :-1].clamp(0, 1)
            named = named / named.sum(dim=1, keepdim=True).clamp_min(1)
            structures = torch.cat([named, 1 - named.sum(dim=1, keepdim=True)], dim=1)
        return Batch(torch.cat([pictures, structures], dim=1), kept)

    def _transforms(self, moves: torch.Tensor) -> torch.Tensor:
        """Maps (N, 2, 3) from the new image's coordinates to the old one's, both −1…1 from edge to edge."""
        angle = moves[:, 0] * math.radians(self.settings.rotation_degrees)
        shift = moves[:, 1:] * (2 * self.settings.shift_mm / self.preprocessing.field_of_view_mm)
        cosine, sine = torch.cos(angle), torch.sin(angle)
        rotation = torch.stack([torch.stack([cosine, -sine], dim=1), torch.stack([sine, cosine], dim=1)], dim=1)
        return torch.cat([rotation, shift[:, :, None]], dim=2)


def _moved(images: torch.Tensor, transforms: torch.Tensor, mode: str) -> torch.Tensor:
    """Images (N, C, H, W) or cubes (N, C, D, H, W) under a transform of each, 0 beyond their edges."""
    flat = images.flatten(1, 2) if images.ndim == 5 else images  # a cube's slices are so many channels more
    grid = affine_grid(transforms, list(flat.shape), align_corners=False)
    moved = grid_sample(flat, grid.to(flat.dtype), mode=mode, padding_mode="zeros", align_corners=False)
    return moved.reshape(images.shape)
