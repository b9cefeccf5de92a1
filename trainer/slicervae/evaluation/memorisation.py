"""Whether samples are copies of training images: how near the nearest one is, against what is usual.

Distances are root mean squared differences of pixels in [0, 1], taken at no more than 64 pixels a side. A model that
blurs would seem near to everything, so that its samples are held against its reconstructions of images it has not
seen, which are as blurred, and not against those images alone.
"""

import dataclasses
from collections.abc import Iterable, Iterator

import torch
from torch import nn

from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter, ignore

from .cohort import Group
from .reading import images_at_once, pictures_of

SIDE = 64
MOST_COMPARED = 1000  # test images that are held against the training images
SHOWN = 8
SUSPICIOUS_QUANTILE = 0.05


@dataclasses.dataclass(frozen=True, eq=False)
class Nearest:
    """For each of N pictures the root mean squared ``distance`` (N,) to the nearest of others, and its ``index``."""

    distance: torch.Tensor
    index: torch.Tensor


@dataclasses.dataclass(frozen=True)
class Memorisation:
    """Medians of the distances to the nearest training image: of samples, of unseen images and of the latter's
    reconstructions. ``suspicious`` is the share of samples that are nearer than all but 5 % of those reconstructions;
    without memorisation it is about 0.05 or less."""

    samples_to_train: float
    test_to_train: float
    reconstructions_to_train: float
    suspicious: float


@dataclasses.dataclass(frozen=True, eq=False)
class Closest:
    """The samples that are nearest to a training image, those images (n, H, W) each, and the distances (n,)."""

    samples: torch.Tensor
    training: torch.Tensor
    distance: torch.Tensor


def memorised(
    placement: Placement, samples: torch.Tensor, train: Group, test: Group, meter: Meter, cancel: Cancel
) -> tuple[Memorisation, Closest]:
    """Hold samples (N, H, W) of a network against its training images, and against images that it has not seen.

    ``meter`` counts training images.
    """
    at_once = images_at_once(placement.network)
    originals, reconstructions = [], []
    for images in test.batches(MOST_COMPARED, at_once):
        (decoded,) = placement.run(_reconstruct, images, meter=Meter(ignore, "", 1), cancel=cancel)
        originals.append(thumbnails(pictures_of(images)))
        reconstructions.append(thumbnails(pictures_of(decoded)))
    parts = [thumbnails(samples), torch.cat(originals), torch.cat(reconstructions)]

    def training() -> Iterator[torch.Tensor]:
        for images in train.batches(at_once=at_once):
            cancel.check()
            yield thumbnails(pictures_of(images))
            meter.advance(len(images))

    found = nearest(torch.cat(parts), training())
    of_samples, of_test, of_reconstructions = (
        Nearest(distance, index)
        for distance, index in zip(
            *(values.split([len(part) for part in parts]) for values in (found.distance, found.index)), strict=True
        )
    )
    first = of_samples.distance.argsort(stable=True)[:SHOWN]
    shown = torch.stack([_picture(train, int(index)) for index in of_samples.index[first]])
    closest = Closest(samples[first], shown, of_samples.distance[first])
    return judge(of_samples, of_test, of_reconstructions), closest


def thumbnails(pictures: torch.Tensor) -> torch.Tensor:
    """Pictures (N, H, W) as rows (N, side²) of at most 64 pixels a side, by averaging areas."""
    side = min(SIDE, pictures.shape[-1])
    return nn.functional.adaptive_avg_pool2d(pictures[:, None].clamp(0, 1), side).flatten(1)


def nearest(rows: torch.Tensor, others: Iterable[torch.Tensor]) -> Nearest:
    """The nearest of ``others``, which come in batches (m, P), to each of the rows (N, P)."""
    best = rows.new_full((len(rows),), float("inf"))
    index = torch.zeros(len(rows), dtype=torch.long)
    seen = 0
    for batch in others:
        squared, where = _squared_distances(rows, batch).min(dim=1)
        closer = squared < best
        best = torch.where(closer, squared, best)
        index = torch.where(closer, where + seen, index)
        seen += len(batch)
    return Nearest(best.clamp(min=0).div(rows.shape[1]).sqrt(), index)


def judge(samples: Nearest, test: Nearest, reconstructions: Nearest) -> Memorisation:
    """What these distances to the training images say."""
    bound = torch.quantile(reconstructions.distance, SUSPICIOUS_QUANTILE)
    return Memorisation(
        samples_to_train=float(samples.distance.median()),
        test_to_train=float(test.distance.median()),
        reconstructions_to_train=float(reconstructions.distance.median()),
        suspicious=float((samples.distance < bound).float().mean()),
    )


def _reconstruct(network: Network, images: torch.Tensor) -> tuple[torch.Tensor]:
    return (network.reconstruct(images),)


def _picture(group: Group, index: int) -> torch.Tensor:
    """The slice (H, W) of a number, where cubes count all their slices."""
    depth = len(pictures_of(group.images.batch(torch.tensor([0])).images))
    return pictures_of(group.images.batch(torch.tensor([index // depth])).images)[index % depth]


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(N, m), in double precision: equal pictures would otherwise not be at distance zero."""
    rows, others = rows.double(), others.double()
    return (rows.square().sum(dim=1)[:, None] + others.square().sum(dim=1) - 2 * rows @ others.T).float()
