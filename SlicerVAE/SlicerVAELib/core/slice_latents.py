"""The latents of chosen slices of a volume, and those that a person gives to be decoded."""

from collections.abc import Sequence

import numpy as np
import torch

from .errors import UserError
from .latent import Latent
from .networks import Network
from .placement import Placement
from .preprocessing import Preprocessing
from .progress import Cancel, Listener, Meter, Progress
from .stack import prepare
from .volume import Volume


def checked_latents(latents: np.ndarray, latent: Latent, model: str) -> torch.Tensor:
    """Given latents as float32 (N, *latent.shape), N ≥ 1.

    Raises UserError for another shape and for values that are not numbers.
    """
    if latents.shape[1:] != latent.shape or not len(latents):
        raise UserError(
            f"{model} decodes latents of the shape (N, {', '.join(map(str, latent.shape))}), not {latents.shape}; "
            "take those of this model."
        )
    if not np.isfinite(latents).all():
        raise UserError("Latents that are not numbers (NaN or infinite) can't be decoded; reset them.")
    return torch.from_numpy(np.array(latents, dtype=np.float32))


def latents_at(
    volume: Volume,
    positions_mm: Sequence[float],
    preprocessing: Preprocessing,
    placement: Placement,
    progress: Listener,
    cancel: Cancel,
) -> tuple[np.ndarray, tuple[float, ...]]:
    """The encodings' modes, float32 (N, *latent.shape), of the slices nearest to N ≥ 1 places, and their own places.

    See ``engine.LatentsRequest``. Raises UserError without a place, and Cancelled.
    """
    if not positions_mm:
        raise UserError("No slice is chosen; name at least one place along the volume.")
    progress(Progress(0.02, "preparing the volume"))
    stack = prepare(volume, preprocessing)
    cancel.check()
    places = np.array(stack.positions_mm())
    nearest = np.abs(places[:, None] - np.array(positions_mm)).argmin(axis=0)
    images = stack.images[:1] if stack.is_cube else stack.images[nearest]
    meter = Meter(progress, "encoding", len(images), start=0.5)
    (modes,) = placement.run(_modes, images, meter=meter, cancel=cancel)
    if stack.is_cube:
        modes = modes.expand(len(nearest), *modes.shape[1:])
    return modes.numpy().copy(), tuple(places[nearest].tolist())


def _modes(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    return (network.encode(images).mode,)
