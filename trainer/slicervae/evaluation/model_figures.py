"""All figures of one model."""

import dataclasses
import re
from collections.abc import Sequence

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.networks.hierarchical import PrimaryComponentsHierarchy
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter, ignore
from SlicerVAELib.core.synthesis_parts import prior_of

from .album import Album
from .cohort import Group, Role
from .columns import Column
from .figures import components, latent_walks, posteriors, reconstructions, samples
from .figures.decoding import reconstructed
from .latents import LatentUse, posterior_of
from .reading import images_at_once, middle_pictures
from .samples import Draws
from .subjects import Subject
from .trial import Trial

TRAVERSED = 8
MOST_POSTERIORS = 500
BETWEEN_DRAWS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Sitting:
    """A model in front of the one who draws it: ``columns`` are the images (n, C, …) that are shown of it."""

    title: str
    trial: Trial
    placement: Placement
    subject: Subject
    columns: Sequence[Column]
    images: torch.Tensor
    draws: Draws

    @property
    def network(self) -> Network:
        """The model's network."""
        return self.placement.network

    def file_name(self, figure: str) -> str:
        """What a figure's files are called."""
        return f"{re.sub(r'[^A-Za-z0-9._-]+', '-', self.title).strip('-')}-{figure}"


def draw_model(sitting: Sitting, cancel: Cancel) -> Album:
    """The figures that apply to a model; of several trials, the first one is drawn."""
    album = Album(sitting.title)
    for draw in (_reconstructions, _components, _samples, _latents, _interpolations):
        cancel.check()
        draw(sitting, album, cancel)
    return album


def _reconstructions(sitting: Sitting, album: Album, cancel: Cancel) -> None:
    originals = middle_pictures(sitting.images)
    rows = {"reconstruction": reconstructed(sitting.placement, sitting.images, cancel)}
    figure = reconstructions.draw(originals, rows, [column.title for column in sitting.columns])
    album.add(sitting.file_name("reconstructions"), figure, "Originals over their reconstructions.")


def _components(sitting: Sitting, album: Album, cancel: Cancel) -> None:
    if not isinstance(sitting.network, PrimaryComponentsHierarchy):
        return  # parts that no other model has need no word
    album.add(
        sitting.file_name("parts"),
        components.draw(sitting.placement, sitting.images, cancel),
        "What reconstructions are made of: the high-level part, the signed low-level part, and the low-level part sent "
        "through the high-level path (“zero”), which is nothing where the two part well.",
    )


def _samples(sitting: Sitting, album: Album, cancel: Cancel) -> None:  # noqa: ARG001 - drawn already
    drawn = sitting.trial.samples
    if drawn is None:
        album.omit(
            "A plain autoencoder has no prior, so there are no samples."
            if sitting.network.latent.kind == "point"
            else "No samples were asked for."
        )
        return
    album.add(
        sitting.file_name("samples"),
        samples.draw(drawn.drawn.pictures),
        f"Synthetic slices, drawn from {drawn.drawn.prior}, seed {sitting.draws.seed}; nobody's images.",
    )
    if drawn.closest is None:
        album.omit("Samples are held against training images where these (--run or --train) and test images are there.")
        return
    closest = drawn.closest
    album.add(
        sitting.file_name("nearest-training-images"),
        samples.draw_closest(closest.samples, closest.training, closest.distance),
        f"Those of {len(drawn.drawn.pictures):,} samples that come nearest to a training image, over that image, with "
        "their root mean squared difference.",
    )


def _latents(sitting: Sitting, album: Album, cancel: Cancel) -> None:
    latent = sitting.network.latent
    if latent.kind != "gaussian":
        what = "Codes have" if latent.kind == "codes" else "A plain autoencoder's latents have"
        album.omit(f"{what} no Gaussian posterior: there are no traversals, no plane and no aggregated posterior.")
        return
    group, use = _group_of_latents(sitting)
    order = use.by_activity
    middle = len(sitting.columns) // 2
    start = _modes(sitting, sitting.images[middle : middle + 1], cancel)[0]
    album.add(
        sitting.file_name("traversals"),
        latent_walks.draw_traversals(sitting.placement, start, order[:TRAVERSED], cancel),
        f"One latent at a time goes from −1 to 1, the others stay at the posterior mean of {_named(sitting, middle)}; "
        f"the {min(TRAVERSED, len(order))} latents whose means vary most over the {group.role} images.",
    )
    album.add(
        sitting.file_name("latent-use"),
        posteriors.draw_kl(use.kl, use.is_active),
        f"What each latent tells of the {group.role} images; {use.active:,} of {latent.size:,} are active (blue).",
    )
    if latent.size < 2:
        album.omit("One latent makes no plane.")
        return
    _plane(sitting, album, start, middle, order, cancel)
    posterior = _posteriors(sitting, group, cancel)
    album.add(
        sitting.file_name("aggregated-posterior"),
        posteriors.draw_aggregated(posterior, order[0], order[1]),
        f"The aggregated posterior of {len(posterior.mean):,} {group.role} images (blue; dots are their means) in the "
        "two most active latents, against the prior (dashed: one and two standard deviations).",
    )


def _plane(
    sitting: Sitting, album: Album, start: torch.Tensor, column: int, order: Sequence[int], cancel: Cancel
) -> None:
    is_whole = sitting.network.latent.size == 2
    first, second = (0, 1) if is_whole else order[:2]
    described = (
        "The learned manifold of the two latents"
        if is_whole
        else f"The plane of the two most active of {sitting.network.latent.size:,} latents, the others as in "
        f"{_named(sitting, column)}"
    )
    album.add(
        sitting.file_name("manifold"),
        latent_walks.draw_plane(sitting.placement, start, first, second, cancel),
        f"{described}: evenly spaced in probability, through the inverse of the prior's distribution function.",
    )


def _interpolations(sitting: Sitting, album: Album, cancel: Cancel) -> None:
    ends: list[tuple[str, torch.Tensor, torch.Tensor]] = []
    sentences = []
    if sitting.network.latent.kind != "point":
        candidate = sitting.trial.candidate
        prior = prior_of(sitting.draws.prior, sitting.network, candidate.bundle, candidate.manifest)
        meter = Meter(ignore, "", 1)
        drawn = prior.draw(2 * BETWEEN_DRAWS, seed=sitting.draws.seed, temperature=1.0, meter=meter, cancel=cancel)
        pairs = drawn.flatten(1).unflatten(0, (BETWEEN_DRAWS, 2))
        ends += [(f"draws {2 * n + 1}–{2 * n + 2}", pair[0], pair[1]) for n, pair in enumerate(pairs)]
        sentences.append(f"between draws from {prior.in_words}")
    first, second = 0, len(sitting.columns) - 1
    if sitting.columns[first].patient != sitting.columns[second].patient:
        modes = _modes(sitting, sitting.images[[first, second]], cancel)
        ends.append(("two patients", modes[0], modes[1]))
        sentences.append(f"between the latents of {_named(sitting, first)} and {_named(sitting, second)}")
    else:
        album.omit("There is no second patient to interpolate to.")
    if not ends:
        return
    blends = "; blends of codes lie between the codebook's vectors" if sitting.network.latent.kind == "codes" else ""
    caption = f"Straight lines through the latent space {' and '.join(sentences)}{blends}."
    figure = latent_walks.draw_interpolations(sitting.placement, ends, cancel)
    album.add(sitting.file_name("interpolations"), figure, caption)


def _group_of_latents(sitting: Sitting) -> tuple[Group, LatentUse]:
    """The training images where they are there, which the aggregated posterior is defined by, otherwise the others."""
    by_definition: tuple[Role, ...] = ("train", "test", "validation")
    role = next(role for role in by_definition if role in sitting.trial.readings)
    use = sitting.trial.readings[role].latents
    assert use is not None, "Gaussian latents were counted"
    return sitting.subject.groups[role], use


def _posteriors(sitting: Sitting, group: Group, cancel: Cancel) -> DiagonalGaussian:
    def of_batch(network: Network, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        posterior = posterior_of(network.encode(images))
        assert posterior is not None, "the latents are Gaussian"
        return posterior.mean, posterior.log_variance

    parts = [
        sitting.placement.run(of_batch, images, meter=Meter(ignore, "", 1), cancel=cancel)
        for images in group.batches(MOST_POSTERIORS, images_at_once(sitting.network))
    ]
    mean, log_variance = (torch.cat(of_batches) for of_batches in zip(*parts, strict=True))
    return DiagonalGaussian(mean, log_variance, sitting.network.latent.prior_variance)


def _modes(sitting: Sitting, images: torch.Tensor, cancel: Cancel) -> torch.Tensor:
    """The latents (n, J) that reconstructions of images are decoded from."""
    (modes,) = sitting.placement.run(
        lambda network, batch: (network.encode(batch).mode.flatten(1),),
        images,
        meter=Meter(ignore, "", 1),
        cancel=cancel,
    )
    return modes


def _named(sitting: Sitting, column: int) -> str:
    return sitting.columns[column].title.replace("\n", ", slice ")
