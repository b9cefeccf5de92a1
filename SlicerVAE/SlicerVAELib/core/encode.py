"""A volume's slices as posteriors, each with its place in the body, as the patient library keeps and compares them."""

import dataclasses

import numpy as np
import torch

from .body_position import BodyOrigin, body_origin
from .errors import UserError
from .manifest import Manifest
from .measures import posterior_of
from .networks import Network
from .placement import Placement
from .progress import Cancel, Listener, Meter, Progress
from .resampling import resample
from .stack import SKIN, Stack, body_in, prepare
from .volume import LPS_TO_RAS, Modality, Volume

LEAST_BODY_SHARE = 0.01  # of a slice: below, it shows no body


@dataclasses.dataclass(frozen=True, eq=False)
class SlicePosteriors:
    """What ``EncodedVolume`` tells of the N slices, or cubes, that show a body; ``left_out`` are those that do not."""

    mean: np.ndarray
    log_variance: np.ndarray
    positions_mm: np.ndarray
    origin: BodyOrigin
    slice_positions_mm: np.ndarray
    body_share: np.ndarray
    latent_kind: str
    left_out: int


def encode_slices(
    volume: Volume, manifest: Manifest, placement: Placement, progress: Listener, cancel: Cancel
) -> SlicePosteriors:
    """Encode those of a volume's images, in the model's space, that show a body; see ``engine.EncodeRequest``.

    Raises UserError for a model without a Gaussian posterior and a volume without a body, and Cancelled.
    """
    latent = placement.network.latent
    if latent.kind != "gaussian":
        has = "codes" if latent.kind == "codes" else "latents without a posterior"
        raise UserError(
            f"{manifest.title} has {has}, which the patient library can't compare; choose a variational model."
        )
    progress(Progress(0.02, "preparing the volume"))
    is_ct = manifest.declaration.modality is Modality.CT
    if is_ct:
        volume = volume.replace(modality=Modality.CT)  # where no header says it
    preprocessing = manifest.preprocessing
    stack = prepare(volume, dataclasses.replace(preprocessing, body_only=is_ct or preprocessing.body_only))
    body = body_in(stack, volume)
    cancel.check()
    images = stack.images
    share = (resample(*body, stack.geometry, fill=0.0) > SKIN).float().mean(dim=(1, 2))
    share = share.reshape(len(images), -1).mean(dim=1)
    kept = share >= LEAST_BODY_SHARE
    if not kept.any():
        raise UserError(f"{volume.source.name or 'The input'} shows no body; choose an image of a patient.")
    meter = Meter(progress, "encoding", int(kept.sum()), start=0.2)
    mean, log_variance = placement.run(_moments, images[kept], meter=meter, cancel=cancel)
    centres = _centres_lps_mm(stack, len(images))[kept.numpy()]
    origin = body_origin(volume, body)
    return SlicePosteriors(
        mean=mean.numpy(),
        log_variance=log_variance.numpy(),
        positions_mm=origin.positions(centres[:, 2]),
        origin=origin,
        slice_positions_mm=centres,
        body_share=share[kept].numpy(),
        latent_kind=latent.kind,
        left_out=int((~kept).sum()),
    )


def _moments(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    posterior = posterior_of(network.encode(images))
    return posterior.mean.flatten(1), posterior.log_variance.flatten(1)


def _centres_lps_mm(stack: Stack, images: int) -> np.ndarray:
    """Centre of each image in LPS mm, float64 (images, 3): of each slice, or of the cube."""
    count, rows, columns = stack.geometry.shape
    places = np.tile([(columns - 1) / 2, (rows - 1) / 2, 0.0, 1.0], (count, 1))
    places[:, 2] = np.arange(count)
    centres = places @ (LPS_TO_RAS @ stack.geometry.ijk_to_ras).T
    return centres[:, :3].reshape(images, -1, 3).mean(axis=1)
