"""What may be wrong with a cohort, in sentences for a person to look into."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from SlicerVAELib.core.errors import listed
from SlicerVAELib.core.volume import Modality

from .findings import PatientFacts, VolumeFacts
from .objects import DicomObject
from .volumes import Seen
from .words import name as called

K = TypeVar("K")
V = TypeVar("V")

_MOST_NAMED = 5
_DIFFERENT = 2.0  # ratio of two spacings that one model hardly serves both of
_AIR_HU = -800  # what the lowest percentile of a CT with air around or in the patient does not exceed
_METAL_HU = 20_000


def doubts_about(
    seen: Sequence[Seen], objects: Iterable[DicomObject], patients: Iterable[PatientFacts]
) -> tuple[str, ...]:
    """All of them, those that could spoil a split of patients first."""
    objects = list(objects)
    return (
        *_one_patient_under_two_names(objects, patients),
        *_two_patients_under_one_name(objects),
        *_without_identifier(seen),
        *_twice(seen, objects),
        *(each.facts.trouble for each in seen if each.facts.trouble),
        *(f"{_name(each.facts)}: {each.gaps}." for each in seen if each.gaps),
        *_notes(seen),
        *_spacings(seen),
        *(f"{_name(each.facts)}: {words}." for each in seen if (words := _about_intensities(each.facts))),
        *_structure_sets(patients),
    )


def _notes(seen: Sequence[Seen]) -> Iterator[str]:
    """What reading them told, once for all volumes that it was told of."""
    for words, names in _groups((words, _name(each.facts)) for each in seen for words in each.facts.notes).items():
        yield f"{_list(names)}: {words}."


def _one_patient_under_two_names(objects: Iterable[DicomObject], patients: Iterable[PatientFacts]) -> Iterator[str]:
    objects = list(objects)
    people = _groups((item.person, item.identifier) for item in objects if all(item.person) and item.identifier)
    for names in people.values():
        if len(names) > 1:
            yield f"{_list(names)} have the same name and date of birth: one patient under {len(names)} identifiers?"
    studies = _groups((item.study, item.identifier) for item in objects if item.study and item.identifier)
    for study, names in studies.items():
        if len(names) > 1:
            yield f"{_list(names)} share the study …{study[-10:]}: one patient under {len(names)} identifiers?"
    spellings = _groups((_spelling(patient.patient), patient.patient) for patient in patients)
    for names in spellings.values():
        if len(names) > 1:
            yield f"{_list(names)} differ only in spelling: one patient under {len(names)} names?"


def _spelling(name: str) -> str:
    """The name without what people write differently: capitals, blanks, signs, zeros in front of a number."""
    words = re.findall(r"[^\W\d_]+|\d+", name.casefold())
    return " ".join(word.lstrip("0") if word.isdigit() else word for word in words) or name


def _two_patients_under_one_name(objects: Iterable[DicomObject]) -> Iterator[str]:
    people = _groups((item.identifier, item.person) for item in objects if all(item.person) and item.identifier)
    for identifier, names in people.items():
        if len(names) > 1:
            yield f"{identifier} has {len(names)} names or dates of birth: several patients under one identifier?"


def _without_identifier(seen: Sequence[Seen]) -> Iterator[str]:
    nameless = [each for each in seen if not each.found.names_patient]
    if nameless:
        yield (
            f"{len(nameless)} series do not say whose they are ({_list(_name(e.facts) for e in nameless)}): "
            "their folders stand in, and the same patient may be in two of them."
        )


def _twice(seen: Sequence[Seen], objects: Iterable[DicomObject]) -> Iterator[str]:
    told = set()
    for same in _groups((each.digest, each.facts.number) for each in seen if each.digest).values():
        if len(same) > 1:
            told |= set(same)
            names = [f"{_name(e.facts)} of {e.found.patient}" for e in seen if e.facts.number in same]
            yield f"{_list(names)} are identical, voxel by voxel: keep one."
    copies = _groups((item.instance, item.path.as_posix()) for item in objects if item.instance)
    again = {path for paths in copies.values() if len(paths) > 1 for path in paths}
    affected = [e for e in seen if e.facts.number not in told and any(s.path.as_posix() in again for s in e.slices)]
    if affected:
        yield f"{_list(_name(each.facts) for each in affected)}: some files are there twice (the same SOPInstanceUID)."


def _spacings(seen: Sequence[Seen]) -> Iterator[str]:
    for modality in sorted({each.facts.modality for each in seen}):
        spacings = [each.facts.spacing_mm for each in seen if each.facts.modality == modality and each.facts.spacing_mm]
        whose = f" of the {modality}" if modality else ""
        for what, axes in (("pixel sizes", (0, 1)), ("slice distances", (2,))):
            values = [spacing[axis] for spacing in spacings for axis in axes]
            if values and max(values) >= _DIFFERENT * min(values):
                low, high = min(values), max(values)
                yield f"The {what}{whose} range from {low:.3g} to {high:.3g} mm: one model may not fit all of them."


def _about_intensities(volume: VolumeFacts) -> str:
    values = volume.intensities
    if values is None:
        return ""
    if values.minimum == values.maximum:
        return f"all voxels have the value {values.minimum:g}"
    if volume.modality == Modality.CT:
        if values.minimum > _AIR_HU:
            return f"a CT without air (lowest value {values.minimum:g}): rescaled wrongly, or masked?"
        if values.maximum > _METAL_HU:
            return f"a CT with values up to {values.maximum:g} HU: rescaled wrongly?"
    if volume.modality == Modality.MR and values.percentile_1 < -0.05 * abs(values.maximum):
        return f"an MR with values down to {values.minimum:g}: a phase image, or standardised?"
    if volume.modality == Modality.UNKNOWN:
        return "looks like neither CT nor MR: a label map, or an image made from others?"
    return ""


def _structure_sets(patients: Iterable[PatientFacts]) -> Iterator[str]:
    for patient in patients:
        for each in patient.structure_sets:
            if each.is_of_this_folder is False:
                yield f"{each.path} was drawn on a series that is not here."
            empty = [structure.name for structure in each.structures if not structure.contours]
            if empty:
                yield f"{each.path} has structures without contours: {_list(empty)}."


def _name(volume: VolumeFacts) -> str:
    return f"{volume.path} ({called(volume)})" if volume.series_uid else volume.path


def _groups(pairs: Iterable[tuple[K, V]]) -> Mapping[K, list[V]]:
    """The different values of each key, in order."""
    groups: dict[K, dict[V, None]] = defaultdict(dict)
    for key, value in pairs:
        groups[key][value] = None
    return {key: list(values) for key, values in groups.items()}


def _list(names: Iterable[str]) -> str:
    every = list(names)
    more = f" and {len(every) - _MOST_NAMED} more" if len(every) > _MOST_NAMED else ""
    return ", ".join(every[:_MOST_NAMED]) + more if more else listed(every)
