"""What a network makes of a group of images, taken in batch by batch: quality, latents, codes."""

import dataclasses
from collections.abc import Sequence

import torch

from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter
from SlicerVAELib.core.stack import slices_of

from ..data.batch import ImageSource
from .latents import CodebookUse, CodebookUseOverBatches, LatentUse, LatentUseOverBatches, codes_of, posterior_of
from .quality import Quality, scores_of, summed_up

SLICES_AT_ONCE = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Reading:
    """Of a group of images: its ``quality`` and that of each span of it (one volume, say), the use of its Gaussian
    latents and of its codebooks where the network has them."""

    quality: Quality
    spans: tuple[Quality, ...]
    latents: LatentUse | None
    codebooks: tuple[CodebookUse, ...]


def read(placement: Placement, images: ImageSource, lengths: Sequence[int], meter: Meter, cancel: Cancel) -> Reading:
    """Read all images of a group, which consists of spans of these numbers of images."""
    network = placement.network
    latents, codebooks = LatentUseOverBatches(network.latent), CodebookUseOverBatches(network.latent)
    scores: list[list[torch.Tensor]] = []
    start = 0
    for length in lengths:
        scores.append([])
        for numbers in torch.arange(start, start + length).split(images_at_once(network)):
            originals = images.batch(numbers).images
            reconstructions, *parts = placement.run(_compute, originals, meter=meter, cancel=cancel)
            scores[-1].append(scores_of(_images_of(originals, network), _images_of(reconstructions, network)))
            if network.latent.kind == "gaussian":
                latents.add(*parts)
            codebooks.add(parts if network.latent.kind == "codes" else ())
        start += length
    side = network.image_size
    return Reading(
        quality=summed_up([score for span in scores for score in span], side),
        spans=tuple(summed_up(span, side) for span in scores),
        latents=latents.use() if network.latent.kind == "gaussian" else None,
        codebooks=codebooks.use(),
    )


def images_at_once(network: Network) -> int:
    """How many images of a network make a batch."""
    return SLICES_AT_ONCE if network.dimensions == 2 else 1


def pictures_of(images: torch.Tensor) -> torch.Tensor:
    """The first channel of images (N, C, H, W), or of the slices of cubes (N, C, D, H, W), as pictures (n, H, W)."""
    return slices_of(images[:, :1])[:, 0]


def middle_pictures(images: torch.Tensor) -> torch.Tensor:
    """One picture of each image, (N, H, W): its first channel, of a cube the middle slice."""
    first = images[:, 0]
    return first[:, first.shape[1] // 2] if first.ndim == 4 else first


def _compute(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Reconstructions, and after them posterior means and KL divergences, or codes."""
    encoding = network.encode(images)
    reconstructions = network.decode(encoding.mode)
    posterior = posterior_of(encoding)
    if posterior is not None:
        return reconstructions, posterior.mean, posterior.kl_per_latent()
    return reconstructions, *codes_of(encoding)


def _images_of(images: torch.Tensor, network: Network) -> torch.Tensor:
    """Slices without their structures, (n, C, H, W)."""
    return slices_of(images)[:, : network.channels - network.structure_channels]
