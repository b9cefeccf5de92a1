"""The images that models are judged on: the volumes of a folder as a model sees them, and who of them it has seen."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch

from SlicerVAELib.core.declaration import check
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import Manifest
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.stack import prepare

from ..data.batch import Batch, ImageSource
from ..data.cache import Cache, Prepared
from ..data.cohort import find
from ..data.content import content_of, key_of
from ..data.mapped import MappedImages
from ..data.masks import LacksStructureError
from ..data.study import Study
from ..recipe import DataSettings

Role = Literal["train", "validation", "test"]
ROLES: tuple[Role, ...] = ("test", "train", "validation")
SCANNED_AT_ONCE = 64


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which volumes of a folder take part, by patterns as ``discover`` takes them, and the pattern that finds each
    further channel of a model of several images (by default ``*NAME*``)."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    channels: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class HeldVolume:
    """A volume as a model sees it: those of its ``slices`` that hold anything, as images at ``place`` in a cache.

    ``numbers`` are theirs among the slices, from 0; of a cube, which is one image, it is 0. ``content`` is a SHA-256 of
    the files of the main image; ``is_identified`` tells that ``patient`` stands in the files themselves, so that it
    means the same person in another folder.
    """

    patient: str
    path: str
    content: str
    is_identified: bool
    place: Path
    numbers: tuple[int, ...]
    slices: int

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self.numbers)


@dataclasses.dataclass(frozen=True, eq=False)
class Held:
    """Volumes of a folder, what was left out and why, and what is doubtful, as sentences."""

    folder: Path
    volumes: tuple[HeldVolume, ...]
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Group:
    """Images of one role; ``key`` is another for other images, so that what was learned of them can be kept."""

    role: Role
    images: ImageSource
    key: str

    def batches(self, most: int | None = None, at_once: int = 64) -> Iterator[torch.Tensor]:
        """Images (n, C, …) in batches: all, or at most ``most`` evenly spaced ones."""
        for numbers in evenly(len(self.images), most or len(self.images)).split(at_once):
            yield self.images.batch(numbers).images


@dataclasses.dataclass(frozen=True, eq=False)
class Chosen:
    """Those images of a source that have some numbers (n,). Keeps the protocol of ImageSource."""

    source: ImageSource
    numbers: torch.Tensor

    def __len__(self) -> int:
        return len(self.numbers)

    def batch(self, indices: torch.Tensor) -> Batch:
        """The images of some numbers among the chosen ones (n,)."""
        return self.source.batch(self.numbers[indices])


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What a model was trained and validated on: a role for the content of each volume, and for each patient.

    ``folder`` is where it lay; within it, patients have the same names, whatever their files say.
    """

    folder: Path
    by_content: Mapping[str, Role]
    by_patient: Mapping[str, Role]

    def role_of(self, volume: HeldVolume, folder: Path) -> Role:
        """What a volume of a folder was to the model: "test" unless it, or its patient, was seen."""
        if volume.content in self.by_content:
            return self.by_content[volume.content]
        if volume.is_identified or folder.resolve() == self.folder.resolve():
            return self.by_patient.get(volume.patient, "test")
        return "test"


def main_content(study: Study) -> str:
    """SHA-256 of the main image alone, which does not depend on how it is found and on what is drawn on it."""
    return content_of(Study(study.patient, study.name, {"": study.main}))


def hold(
    data: Path,
    selection: Selection,
    preprocessing: Preprocessing,
    models: Sequence[Manifest],
    cache: Cache,
    listener: Listener,
    cancel: Cancel,
) -> Held:
    """Read and prepare the volumes of a folder for models of one preprocessing.

    Raises UserError for what the models must not see (see ``core.declaration``) and when nothing is left.
    """
    settings = settings_of(selection, preprocessing)
    studies, lacking = find(data, settings, cancel)
    notices = dict.fromkeys(lacking.values())
    volumes = []
    meter = Meter(listener, "preparing the images", len(studies))
    for study in studies:
        cancel.check()
        try:
            volume = _held(study, settings, preprocessing, models, cache, notices)
            if volume.count:
                volumes.append(volume)
            else:
                notices[f"{volume.path} holds nothing where the model looks and is left out."] = None
        except LacksStructureError as error:
            notices[str(error)] = None
        meter.advance(1)
    if not volumes:
        raise UserError(f"No volume in {data} has what the model sees; {next(iter(notices))}")
    return Held(data, tuple(volumes), tuple(notices))


def group_of(role: Role, volumes: Sequence[HeldVolume]) -> Group:
    """The images of some volumes, one after another."""
    return Group(role, MappedImages([volume.place for volume in volumes]), key_of([v.place.name for v in volumes]))


def without_empty(source: ImageSource) -> ImageSource:
    """The images of a source that hold anything: empty ones would flatter every model."""
    parts = torch.arange(len(source)).split(SCANNED_AT_ONCE)
    kept = [part[holding_anything(source.batch(part).images)] for part in parts]
    return Chosen(source, torch.cat(kept) if kept else torch.empty(0, dtype=torch.long))


def holding_anything(images: torch.Tensor) -> torch.Tensor:
    """Numbers, ascending, of those of the images (N, C, …) whose first channel is not constant."""
    first = images[:, 0].flatten(1)
    return (first.amax(dim=1) > first.amin(dim=1)).nonzero()[:, 0]


def evenly(count: int, most: int) -> torch.Tensor:
    """At most ``most`` of the numbers below ``count``, evenly spaced, ascending."""
    return torch.linspace(0, count - 1, min(count, most)).round().long()


def settings_of(selection: Selection, preprocessing: Preprocessing) -> DataSettings:
    """The settings by which volumes are found as a model sees them. Raises UserError for a channel that it does not
    see."""
    channels = {name: selection.channels.get(name, f"*{name}*") for name in preprocessing.channels}
    unknown = set(selection.channels) - set(channels)
    if unknown:
        names = ", ".join(channels) or "one image without a name"
        raise UserError(f"No model sees a channel '{min(unknown)}'; it sees {names}.")
    return DataSettings(
        include=list(selection.include),
        exclude=list(selection.exclude),
        channels=channels,
        structures=list(preprocessing.structures),
    )


def _held(
    study: Study,
    settings: DataSettings,
    preprocessing: Preprocessing,
    models: Sequence[Manifest],
    cache: Cache,
    notices: dict[str, None],
) -> HeldVolume:
    volume, _ = study.read(settings)
    for manifest in models:
        notices.update(dict.fromkeys(check(volume, manifest.declaration, manifest.title)))
    images = prepare(volume, preprocessing).images
    kept = holding_anything(images)
    key = key_of("images that hold anything", content_of(study), preprocessing)
    place = cache.images(key, lambda: Prepared(images[kept].numpy(), None))
    main = study.main
    return HeldVolume(
        patient=study.patient,
        path=str(main.path),
        content=main_content(study),
        is_identified=bool(main.series) and main.names_patient,
        place=place,
        numbers=tuple(kept.tolist()),
        slices=len(images),
    )
