"""Finding the volumes of a data folder, and whose they are, without reading their pixels."""

import dataclasses
import fnmatch
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.progress import Cancel, Listener, Meter, ignore
from ..core.volume import Modality, Volume
from .companions import is_label_map, label_maps_by_folder, label_maps_of, lies_in_truth, structure_sets_of
from .dicom import read_series
from .dicom_headers import Header, looks_like_dicom, read_header, read_headers
from .dicom_series import Series, group_by_series, left_out
from .images import VOLUME_FILES, ending, stem
from .picture import PICTURES
from .quiet import quiet
from .read import read_volume
from .values import refuse_unusable

_FEWEST_SLICES = {Modality.CT: 3, Modality.MR: 3, Modality.XRAY: 1}  # fewer are localizers
_NEVER_DICOM = (".json", ".csv", ".txt", ".md", ".xml", ".png", ".jpg", ".html", ".pdf", ".bval", ".bvec")
_MOST_NAMED = 5


@dataclasses.dataclass(frozen=True)
class Found:
    """One volume of a data folder.

    ``patient`` tells whose it is, for splits; ``names_patient`` is False where a DICOM series does not say and its
    folder had to stand in. ``series`` and ``study`` are UIDs for DICOM and empty for other files; a volume file's
    ``modality`` is not told by its header either; ``part`` tells volumes of one series from each other. ``files`` are
    its own, ``mask_files`` those that may hold structures drawn on it.
    """

    patient: str
    path: Path
    series: str
    modality: Modality
    description: str
    part: str = ""
    files: tuple[Path, ...] = dataclasses.field(repr=False, compare=False, default=())
    mask_files: tuple[Path, ...] = dataclasses.field(repr=False, compare=False, default=())
    study: str = dataclasses.field(repr=False, compare=False, default="")
    names_patient: bool = dataclasses.field(repr=False, compare=False, default=True)

    @property
    def folder(self) -> Path:
        """The folder that its files lie in."""
        return self.path if self.series else self.path.parent

    def read(self) -> Volume:
        """Read it. Raises UserError as ``read_volume`` does."""
        if not self.series:
            return read_volume(self.path)
        try:
            with quiet():
                volume = read_series(self._its_part(group_by_series(read_headers(self.files))))
        except OSError as error:
            raise UserError(f"{error.filename or self.path} can't be read ({error.strerror or error}).") from error
        refuse_unusable(volume.array, str(self.path), volume.modality)
        return volume

    def _its_part(self, parts: Sequence[Series]) -> Series:
        if len(parts) == 1:  # alone its files need no name to be told apart
            return dataclasses.replace(parts[0], part=self.part)
        fitting = [part for part in parts if f", {self.part}".endswith(f", {part.part}")]
        if len(fitting) != 1:
            raise UserError(f"{self.path} has changed since it was looked through; start anew.")
        return fitting[0]


def discover(
    folder: str | os.PathLike[str],
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> list[Found]:
    """List the volumes in ``folder`` at any depth, in a fixed order.

    DICOM files are grouped by folder and series, and a series that holds several volumes (echoes, acquisitions) is
    split; those of CT and MR with at least three slices and X-ray images count, and belong to their PatientID. NIfTI,
    NRRD and MetaImage files belong to the ``sub-…`` folder that they lie in (BIDS), otherwise to their folder; files
    directly in ``folder`` each to a patient of their own. Grey PNG and JPEG pictures count as X-ray images where there
    is nothing else; their folders may be groups, so each belongs to the patient of its name, with which sides are not
    told apart ("1234_L.png" and "1234_R.png" are one's). Left out are hidden files, folders of truth or labels,
    segmentations by their name, damaged files, localizers, what was derived from series that are there too, and what
    ``include`` does not name or ``exclude`` does: patterns such as '*FLAIR*', without regard to case, for the path
    within ``folder``, the file's name or the series description.

    Raises UserError when nothing is left, saying what was there; Cancelled.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{root} is {'a file' if root.exists() else 'not there'}; give a folder with volumes.")
    visible = sorted(_visible_files(root))
    files = [path for path in visible if not lies_in_truth(path, root)]
    found = [*_volume_files(root, files), *_dicom_series(root, files, progress, cancel or Cancel())]
    found = found or list(_pictures(files))
    found = _with_label_maps(found, root, visible)
    found.sort(key=lambda item: (item.path.as_posix(), item.description, item.series))
    if not found:
        raise UserError(
            f"{root} holds no CT, MR or X-ray series, no NIfTI, NRRD or MetaImage volume and no picture"
            f"{_inventory(files)}."
        )
    chosen = [item for item in found if _is_wanted(item, root, include, exclude)]
    if not chosen:
        raise UserError(_none_wanted(found, root, include, exclude))
    return chosen


def _visible_files(root: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (Path(place, name) for name in names if not name.startswith("."))


def _volume_files(root: Path, files: Sequence[Path]) -> Iterator[Found]:
    for path in files:
        if ending(path, VOLUME_FILES) and not is_label_map(path, root):
            yield Found(_owner(path, root), path, "", Modality.UNKNOWN, stem(path), files=(path,))


def _pictures(files: Sequence[Path]) -> Iterator[Found]:
    for path in files:
        if ending(path, PICTURES):
            patient = re.sub(r"(?i)(?<=.)[ _-](left|right|[lr]t?)$|(?<=\d)[LR]$", "", path.stem)
            yield Found(patient, path, "", Modality.XRAY, path.stem, files=(path,))


def _with_label_maps(found: Sequence[Found], root: Path, files: Sequence[Path]) -> list[Found]:
    homes = label_maps_by_folder(files, root)
    folders = {item.folder for item in found}
    return [
        dataclasses.replace(
            item, mask_files=(*item.mask_files, *label_maps_of(item.folder, stem(item.path), homes, folders, root))
        )
        for item in found
    ]


def _owner(path: Path, root: Path) -> str:
    parents = path.relative_to(root).parts[:-1]
    subject = next((part for part in parents if re.fullmatch(r"sub-[A-Za-z0-9]+", part)), None)
    return subject or "/".join(parents) or stem(path)


def _dicom_series(root: Path, files: Sequence[Path], progress: Listener, cancel: Cancel) -> Iterator[Found]:
    candidates = [path for path in files if not ending(path, (*VOLUME_FILES, *_NEVER_DICOM))]
    meter = Meter(progress, "looking through files", len(candidates))
    by_folder: dict[Path, list[Header]] = {}
    structure_sets: list[Header] = []
    for path in candidates:
        cancel.check()
        for header in _headers(path):
            if header.modality == "RTSTRUCT":
                structure_sets.append(header)
            else:
                by_folder.setdefault(path.parent, []).append(header)
        meter.advance(1)
    found = [(place, series) for place, headers in by_folder.items() for series in group_by_series(headers)]
    spare = left_out([series for _, series in found])
    for place, series in found:
        first = series.headers[0]
        fewest = _FEWEST_SLICES.get(first.kind)
        is_volume = fewest is not None and len(series.headers) >= fewest and not first.is_colour
        if is_volume and series not in spare:
            yield Found(
                patient=first.patient or "/".join(place.relative_to(root).parts) or series.uid,
                path=place,
                series=series.uid,
                modality=first.kind,
                description=series.description,
                part=series.part,
                files=tuple(dict.fromkeys(header.path for header in series.headers)),
                mask_files=structure_sets_of(first, structure_sets),
                study=first.study_uid,
                names_patient=bool(first.patient),
            )


def _headers(path: Path) -> list[Header]:
    try:
        with quiet():  # not around the loop, whose progress is to be seen
            return read_header(path) if looks_like_dicom(path) else []
    except (UserError, OSError):
        return []  # a damaged slice shows as a gap when its series is read


def is_like(found: Found, root: Path, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns, without regard to case, fits its path within ``root``, its file's name or its series
    description."""
    names = [name.lower() for name in (_within(found, root), found.path.name, found.description)]
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for name in names for pattern in patterns)


def _is_wanted(found: Found, root: Path, include: Sequence[str], exclude: Sequence[str]) -> bool:
    return (not include or is_like(found, root, include)) and not is_like(found, root, exclude)


def _none_wanted(found: Sequence[Found], root: Path, include: Sequence[str], exclude: Sequence[str]) -> str:
    asked = " and ".join(
        f"{verb} {', '.join(repr(pattern) for pattern in patterns)}"
        for verb, patterns in (("including", include), ("excluding", exclude))
        if patterns
    )
    named = ", ".join(
        f"'{_within(item, root)}'" + (f" ({item.description})" if item.series else "") for item in found[:_MOST_NAMED]
    )
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return f"Nothing in {root} is left when {asked}; there are {named}{more}."


def _within(found: Found, root: Path) -> str:
    return found.path.relative_to(root).as_posix()


def _inventory(files: Sequence[Path]) -> str:
    if not files:
        return "; it is empty"
    endings = Counter(ending(path, VOLUME_FILES) or path.suffix.lower() or "without ending" for path in files)
    return "; it holds " + ", ".join(f"{count} × {kind}" for kind, count in endings.most_common(_MOST_NAMED))
