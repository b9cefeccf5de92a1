"""What a bundle is judged on: the volumes of the data folder by whether it has seen them, and the images of its
training."""

import dataclasses
from collections.abc import Mapping, Sequence

from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener

from ..data.cache import Cache
from ..data.content import key_of
from ..data.preparation import images_of
from .candidates import Candidate, Run
from .cohort import ROLES, Group, Held, HeldVolume, Role, Seen, group_of, without_empty


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """The volumes of the data folder by what they were to the model, and the groups of all images of one role, those of
    the training data included where these are there; ``notices`` are sentences for the person."""

    volumes: Mapping[Role, Sequence[HeldVolume]]
    groups: Mapping[Role, Group]
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Gathered:
    """The volumes as the models of each preprocessing see them, of the data folder and of one that was trained on."""

    data: Mapping[Preprocessing, Held]
    train: Mapping[Preprocessing, Held]

    @property
    def notices(self) -> list[str]:
        """What is to be told of them."""
        return [notice for held in (*self.data.values(), *self.train.values()) for notice in held.notices]


def subject_of(candidate: Candidate, gathered: Gathered, cache: Cache, listener: Listener, cancel: Cancel) -> Subject:
    """What a bundle is judged on; ``cache`` is where its run keeps prepared images.

    Raises UserError when the training data of the run are not there any more or have changed.
    """
    held, title = gathered.data[candidate.manifest.preprocessing], candidate.manifest.title
    trained_on = gathered.train.get(candidate.manifest.preprocessing)
    seen: Seen | None = None
    groups: dict[Role, Group] = {}
    notices = []
    if candidate.run is not None:
        seen, groups = candidate.run.seen(cancel), _groups_of(candidate.run, cache, listener, cancel)
    elif trained_on is not None:
        seen, groups = _seen_all_of(trained_on), {"train": group_of("train", trained_on.volumes)}
    else:
        notices.append(f"{title} is judged without its --run: patients that it was trained on would count as test.")
    volumes: dict[Role, list[HeldVolume]] = {}
    for volume in held.volumes:
        role = seen.role_of(volume, held.folder) if seen is not None else "test"
        volumes.setdefault(role, []).append(volume)
    if "test" not in volumes:
        notices.append(f"{title} has seen every patient of the data; nothing is a test.")
    else:
        groups["test"] = group_of("test", volumes["test"])
        known = sorted({volume.patient for role, some in volumes.items() if role != "test" for volume in some})
        if known:
            notices.append(
                f"{title} has seen {_some(known)} in training or validation; what it makes of them is not counted as "
                "test."
            )
    return Subject(volumes, {role: groups[role] for role in ROLES if role in groups}, tuple(notices))


def _groups_of(run: Run, cache: Cache, listener: Listener, cancel: Cancel) -> dict[Role, Group]:
    """The images that a run trains on and validates on."""
    record = run.record
    patients: dict[Role, list[str]] = {"train": record.training_patients, "validation": record.validation_patients}
    sources = images_of(run.recipe, record, cache, listener, cancel)
    return {
        role: Group(role, without_empty(source), key_of(record.data, record.contents, record.preprocessing, names))
        for (role, names), source in zip(patients.items(), sources, strict=True)
        if len(source)
    }


def _seen_all_of(held: Held) -> Seen:
    contents: dict[str, Role] = {volume.content: "train" for volume in held.volumes}
    patients: dict[str, Role] = {volume.patient: "train" for volume in held.volumes}
    return Seen(held.folder, contents, patients)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
