"""Pictures of latents, which several figures are made of."""

import torch

from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter, ignore

from ..reading import middle_pictures


def decoded(placement: Placement, latents: torch.Tensor, cancel: Cancel) -> torch.Tensor:
    """Pictures (N, H, W) in [0, 1] of flat latents (N, J); of a cube its middle slice."""
    shaped = latents.reshape(len(latents), *placement.network.latent.shape)
    (pictures,) = placement.run(_decode, shaped, meter=Meter(ignore, "", 1), cancel=cancel)
    return pictures.clamp(0, 1)


def reconstructed(placement: Placement, images: torch.Tensor, cancel: Cancel) -> torch.Tensor:
    """Pictures (N, H, W) in [0, 1] of the reconstructions of images (N, C, …)."""
    (pictures,) = placement.run(
        lambda network, batch: (middle_pictures(network.reconstruct(batch)),),
        images,
        meter=Meter(ignore, "", 1),
        cancel=cancel,
    )
    return pictures.clamp(0, 1)


def _decode(network: Network, latents: torch.Tensor) -> tuple[torch.Tensor]:
    return (middle_pictures(network.decode(latents)),)
