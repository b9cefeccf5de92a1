"""One bundle judged: all its figures."""

import dataclasses
from collections.abc import Mapping

import torch

from SlicerVAELib.core.engine import Engine, Hardware
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Listener, Meter, part_of

from .candidates import Candidate
from .cohort import ROLES, Group, Role, group_of
from .features import FeatureNetwork
from .memorisation import Closest, Memorisation, memorised
from .quality import Quality
from .reading import Reading, images_at_once, pictures_of, read
from .samples import FEWEST, Drawn, Draws, SampleQuality, draw, sample_quality
from .subjects import Subject

MOST_PICTURES = 5000  # of a group, evenly spaced, whose features are taken


@dataclasses.dataclass(frozen=True)
class VolumeQuality:
    """Of one volume of the data folder; ``role`` says whether the model has seen it."""

    patient: str
    path: str
    role: Role
    quality: Quality


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Samples of a model, and what they are worth against the images of each role; ``floor`` is what test images are
    worth against training images, which samples can't be expected to beat."""

    drawn: Drawn
    quality: Mapping[Role, SampleQuality]
    floor: SampleQuality | None
    memorisation: Memorisation | None
    closest: Closest | None


@dataclasses.dataclass(frozen=True, eq=False)
class Trial:
    """What there is to say of one bundle; ``samples`` is None where none were asked for or there is no prior."""

    candidate: Candidate
    readings: Mapping[Role, Reading]
    volumes: tuple[VolumeQuality, ...]
    samples: Samples | None


class Judge:
    """Judges bundles on the same terms; features of images that several bundles are judged on are taken once."""

    def __init__(self, engine: Engine, features: FeatureNetwork | None, draws: Draws, hardware: Hardware) -> None:
        self._engine, self._features, self._draws, self._hardware = engine, features, draws, hardware
        self._known: dict[str, torch.Tensor] = {}

    def judge(
        self, candidate: Candidate, placement: Placement, subject: Subject, listener: Listener, cancel: Cancel
    ) -> Trial:
        """All figures of one bundle, whose network stands at ``placement``."""
        readings, volumes = _readings(placement, subject, part_of(listener, 0.0, 0.35), cancel)
        samples = None
        if self._features is not None and placement.network.latent.kind != "point":
            samples = self._samples(candidate, placement, subject.groups, part_of(listener, 0.35, 1.0), cancel)
        return Trial(candidate, readings, volumes, samples)

    def _samples(
        self,
        candidate: Candidate,
        placement: Placement,
        groups: Mapping[Role, Group],
        listener: Listener,
        cancel: Cancel,
    ) -> Samples:
        manifest, drawing = candidate.manifest, part_of(listener, 0.0, 0.2)
        drawn = draw(self._engine, candidate.bundle, manifest, self._draws, self._hardware, drawing, cancel)
        references = [groups[role] for role in ROLES if role in groups and role != "validation"]
        share = 0.4 / len(references)
        real = {
            group.role: self._of_group(
                group, images_at_once(placement.network), part_of(listener, start, start + share), cancel
            )
            for start, group in zip((0.2, 0.2 + share), references, strict=False)
        }
        assert self._features is not None, "samples are judged by their features"
        meter = Meter(listener, "looking at samples", len(drawn.pictures), start=0.6, end=0.9)
        of_samples = self._features.of(drawn.pictures, meter, cancel)
        real = {role: features for role, features in real.items() if min(len(features), len(of_samples)) >= FEWEST}
        memorisation = closest = None
        if "train" in groups and "test" in groups:
            train = groups["train"]
            meter = Meter(listener, "looking for copies", len(train.images), start=0.9)
            memorisation, closest = memorised(placement, drawn.pictures, train, groups["test"], meter, cancel)
        return Samples(
            drawn,
            {role: sample_quality(features, of_samples) for role, features in real.items()},
            sample_quality(real["train"], real["test"]) if len(real) > 1 else None,
            memorisation,
            closest,
        )

    def _of_group(self, group: Group, at_once: int, listener: Listener, cancel: Cancel) -> torch.Tensor:
        """Features (n, D) of the slices of a group."""
        if group.key not in self._known:
            assert self._features is not None, "samples are judged by their features"
            slices = len(pictures_of(next(group.batches(1))))
            most = max(1, MOST_PICTURES // slices)
            count = min(len(group.images), most) * slices
            meter = Meter(listener, f"looking at {group.role} images", count)
            batches = group.batches(most, at_once)
            self._known[group.key] = torch.cat(
                [self._features.of(pictures_of(images), meter, cancel) for images in batches]
            )
        return self._known[group.key]


def _readings(
    placement: Placement, subject: Subject, listener: Listener, cancel: Cancel
) -> tuple[dict[Role, Reading], tuple[VolumeQuality, ...]]:
    seen = {role: group for role, group in subject.groups.items() if role != "test"}
    total = sum(volume.count for volumes in subject.volumes.values() for volume in volumes)
    meter = Meter(listener, "reconstructing", total + sum(len(group.images) for group in seen.values()))
    readings: dict[Role, Reading] = {}
    rows: list[VolumeQuality] = []
    for role, volumes in subject.volumes.items():
        lengths = [volume.count for volume in volumes]
        reading = read(placement, group_of(role, volumes).images, lengths, meter, cancel)
        rows += [VolumeQuality(v.patient, v.path, role, q) for v, q in zip(volumes, reading.spans, strict=True)]
        if role == "test":
            readings[role] = reading
    for role, group in seen.items():
        readings[role] = read(placement, group.images, [len(group.images)], meter, cancel)
    return readings, tuple(rows)
