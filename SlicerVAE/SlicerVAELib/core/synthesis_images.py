"""From drawn latents to pictures, and to the structures on them."""

import numpy as np
import torch

from .networks import Network
from .placement import Placement
from .preprocessing import HounsfieldWindow, Preprocessing
from .progress import Cancel, Meter
from .stack import slices_of


def window_of(preprocessing: Preprocessing) -> tuple[float, float]:
    """The values of decoded pictures that a model's 0 and 1 stand for: HU for CT, otherwise 0 and 1."""
    intensity = preprocessing.intensity
    # MR has no units: only a window that is the same for every volume can be undone without one.
    return (intensity.lower, intensity.upper) if isinstance(intensity, HounsfieldWindow) else (0.0, 1.0)


def decode_draws(
    placement: Placement, latents: torch.Tensor, preprocessing: Preprocessing, meter: Meter, cancel: Cancel
) -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Slices (M, H, W) of the first image channel, and a mask uint8 (M, H, W) of each structure by its name.

    A pixel belongs to the structure that is most probable there, or to none where that is. Cubes give their slices one
    after another.
    """
    names = preprocessing.structures

    def decode(network: Network, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        images = network.decode(batch)
        if not names:
            return (images[:, :1],)
        return images[:, :1], images[:, preprocessing.image_channels :].argmax(dim=1, keepdim=True)

    images, *classes = placement.run(decode, latents, meter=meter, cancel=cancel)
    pixels = slices_of(images)[:, 0].contiguous()
    if not classes:
        return pixels, {}
    owner = slices_of(classes[0])[:, 0]
    return pixels, {name: (owner == index).to(torch.uint8).numpy() for index, name in enumerate(names)}
