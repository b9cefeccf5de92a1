"""What a reconstruction of pchVAE is made of."""

import torch
from matplotlib.figure import Figure

from SlicerVAELib.core.networks.hierarchical import PrimaryComponentsHierarchy
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter, ignore

from .style import Signed, grid


def draw(placement: Placement, images: torch.Tensor, cancel: Cancel) -> Figure:
    """Of images (n, C, H, W): the original, the reconstruction, its high-level and its (signed) low-level part, and the
    latter sent through the high-level path, which is nothing where the two part well."""

    def parts(network: PrimaryComponentsHierarchy, batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        components = network.components(network.encode(batch).mode)
        whole = components.high + components.low
        return tuple(part[:, 0] for part in (whole, components.high, components.low, components.zero))

    whole, high, low, zero = placement.run(parts, images, meter=Meter(ignore, "", 1), cancel=cancel)
    reach = max(float(low.abs().quantile(0.995)), 1e-6)
    grey = [images[:, 0], whole.clamp(0, 1), high.clamp(0, 1)]
    signed = [[Signed(picture, reach) for picture in part] for part in (low, zero)]
    return grid(
        [*(list(row) for row in grey), *signed],
        row_titles=["original", "reconstruction", "high", f"low\n(red: +{reach:.2g})", "“zero”"],
    )
