"""Inspecting a folder: headers first, pixels only where they are wanted."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Listener, Meter, ignore, part_of
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.io.discover import Found, discover

from .doubts import doubts_about
from .findings import DoseFacts, Inspection, LeftOut, PatientFacts, PlanFacts, StructureSetFacts, within
from .objects import DicomObject, read_objects
from .outlook import outlook_of
from .thumbnails import thumbnail
from .volumes import Seen, look_at

_FEWEST_SLICES = 3
_PROJECTIONS = ("CR", "DX", "MG", "RF", "XA")
_HEADERS, _FOUND = 0.2, 0.3  # shares of the whole that end with reading headers, and with finding volumes


def inspect(
    folder: str | os.PathLike[str],
    *,
    called: str | None = None,
    pixels: bool = True,
    thumbnails: bool = False,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> Inspection:
    """What ``folder`` holds at any depth, what may be wrong with it, and what a training would see.

    ``pixels`` reads every volume for its intensities and troubles, one at a time; ``thumbnails`` draws it then.
    ``called`` is the folder's name in the findings, where it is the copy of something else. Raises UserError when there
    is nothing to tell of; Cancelled.
    """
    root, cancel = Path(folder), cancel or Cancel()
    files = sorted(_visible_files(root))
    objects, unreadable = read_objects(files, part_of(progress, 0, _HEADERS), cancel)
    by_path = {item.path: item for item in objects}
    try:
        found = discover(root, progress=part_of(progress, _HEADERS, _FOUND), cancel=cancel)
    except UserError:
        if not (objects or unreadable):
            raise
        found = []
    seen, pictures = [], {}
    meter = Meter(progress, "looking at the volumes", len(found), start=_FOUND)
    for number, item in enumerate(found, start=1):
        cancel.check()
        volume = _read(item) if pixels else None
        seen.append(look_at(item, number, root, by_path, volume))
        if thumbnails and isinstance(volume, Volume):
            pictures[number] = thumbnail(volume)
        meter.advance(1)
    patients = tuple(_patients(seen, objects, root))
    name = str(folder) if called is None else called
    return Inspection(
        folder=name,
        has_pixels=pixels,
        patients=patients,
        left_out=(*_left_out(seen, objects), *_unreadable(unreadable, root)),
        doubts=doubts_about(seen, objects, patients),
        outlook=outlook_of(seen, root, name, has_pixels=pixels),
        thumbnails=pictures,
    )


def _visible_files(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _read(found: Found) -> Volume | UserError:
    try:
        return found.read()
    except UserError as error:
        return error


def _patients(seen: Sequence[Seen], objects: Sequence[DicomObject], root: Path) -> Iterator[PatientFacts]:
    of_study = {each.found.study: each.found.patient for each in seen if each.found.study}
    present = {item.series for item in objects if item.is_image}
    volumes: dict[str, list[Seen]] = defaultdict(list)
    for each in seen:
        volumes[each.found.patient].append(each)
    companions: dict[str, list[DicomObject]] = defaultdict(list)
    for item in objects:
        if item.modality in ("RTSTRUCT", "RTDOSE", "RTPLAN"):
            owner = item.patient or of_study.get(item.study, "") or within(item.path.parent, root)
            companions["(no identifier)" if owner == "." else owner].append(item)
    for patient in sorted({*volumes, *companions}):
        others = companions[patient]
        yield PatientFacts(
            patient,
            all(each.found.names_patient for each in volumes[patient]) and all(item.patient for item in others),
            tuple(each.facts for each in volumes[patient]),
            tuple(
                StructureSetFacts(
                    within(item.path, root),
                    item.label,
                    item.structures,
                    bool(item.drawn_on & present) if item.drawn_on else None,
                )
                for item in others
                if item.modality == "RTSTRUCT"
            ),
            tuple(
                DoseFacts(within(item.path, root), item.dose_units, item.dose_summation)
                for item in others
                if item.modality == "RTDOSE"
            ),
            tuple(
                PlanFacts(within(item.path, root), item.label, item.approval)
                for item in others
                if item.modality == "RTPLAN"
            ),
        )


def _left_out(seen: Sequence[Seen], objects: Iterable[DicomObject]) -> Iterator[LeftOut]:
    taken = {path for each in seen for path in each.found.files}
    series: dict[str, list[DicomObject]] = defaultdict(list)
    for item in objects:
        if item.path not in taken and item.modality not in ("RTSTRUCT", "RTDOSE", "RTPLAN"):
            series[item.series].append(item)
    for slices in series.values():
        first = slices[0]
        name = f"'{first.description}'" if first.description else f"…{first.series[-10:]}"
        whose = f" of {first.patient}" if first.patient else ""
        yield LeftOut("series", f"{first.modality or 'series'} {name}{whose}", len(slices), _why(slices))


def _why(slices: Sequence[DicomObject]) -> str:
    first = slices[0]
    if not first.is_image:
        return "it holds no pictures of the patient"
    if any("LOCALIZER" in item.image_type for item in slices):
        return "a localizer"
    if first.modality not in ("CT", "MR", *_PROJECTIONS):
        return "neither CT, MR nor X-ray"
    if first.is_colour:
        return "colour pictures"
    if first.frames > 1:
        return f"one file with {first.frames} frames that does not make a volume"
    if len(slices) < _FEWEST_SLICES and first.modality not in _PROJECTIONS:
        return f"only {len(slices)} slice{'s' if len(slices) > 1 else ''}, as localizers have"
    if {"DERIVED", "SECONDARY"} & set(first.image_type):
        return "derived images"
    return "no series that makes a volume"


def _unreadable(reasons: dict[Path, str], root: Path) -> Iterator[LeftOut]:
    for path, reason in reasons.items():
        yield LeftOut("unreadable", within(path, root), 1, f"it {reason}")
