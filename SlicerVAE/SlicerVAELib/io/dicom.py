"""DICOM series as volumes: which series a folder holds, which one is meant, and reading it."""

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.volume import Source, Volume
from .dicom_grid import arrange
from .dicom_headers import Header, files_in, read_header, read_headers
from .dicom_pixels import read_stack
from .images import VOLUME_FILES, ending

_MOST_LISTED = 30
_TAIL = 10  # characters of a UID that a listing shows


@dataclasses.dataclass(frozen=True)
class Series:
    """The image slices of one SeriesInstanceUID, unordered."""

    headers: tuple[Header, ...]

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.headers[0].series_uid

    @property
    def folder(self) -> Path:
        """The innermost folder that holds all its files."""
        return Path(os.path.commonpath([header.path.parent for header in self.headers]))

    @property
    def name(self) -> str:
        """What messages call it."""
        first = self.headers[0]
        number = f"number {first.series_number}" if first.series_number else f"…{self.uid[-_TAIL:]}"
        return f"The series '{first.description or number}' in {self.folder}"

    @property
    def row(self) -> str:
        """Its line in a list to choose from."""
        first, count = self.headers[0], len(self.headers)
        number = f"number {first.series_number}, " if first.series_number else ""
        slices = f"{count} slice{'s' if count > 1 else ''}"
        return f"  {number}'{first.description}', {first.modality}, {slices}, UID …{self.uid[-_TAIL:]}"

    def is_called(self, wanted: str) -> tuple[bool, ...]:
        """Whether ``wanted`` is its UID, its number, its description, the end of its UID; the surest first."""
        first = self.headers[0]
        return (
            wanted == self.uid,
            wanted == first.series_number,
            wanted.casefold() == first.description.casefold(),
            self.uid.endswith(wanted.lstrip("…")),
        )


def group_by_series(headers: Iterable[Header]) -> list[Series]:
    """The image series among ``headers``, in the order of their first files."""
    groups: dict[str, list[Header]] = {}
    for header in headers:
        if header.is_image:
            groups.setdefault(header.series_uid, []).append(header)
    return [Series(tuple(group)) for group in groups.values()]


def read_folder(folder: Path, wanted: str | None) -> Volume:
    """Read the series of ``folder`` (at any depth) that ``wanted`` calls by UID, end of UID, number or description;
    None where there is only one. Raises UserError, listing the series where several fit."""
    files = files_in(folder)
    headers = read_headers(files)
    if not headers:
        raise UserError(f"{folder} holds no DICOM images{_what_else(files)}; give a folder with a CT or MR series.")
    return read_series(_choose(headers, wanted, str(folder)))


def read_file(path: Path, wanted: str | None) -> Volume:
    """Read the whole series that the DICOM file ``path`` belongs to from its folder, or the one that is ``wanted``."""
    header = read_header(path)
    if header is None:
        raise UserError(f"{path} is not a DICOM image; give a folder with a CT or MR series.")
    if not header.is_image:
        raise UserError(f"{path} is {_not_an_image(header)}, not an image to read; give a CT or MR series.")
    beside = sorted(other for other in path.parent.iterdir() if other.is_file() and not other.name.startswith("."))
    headers = read_headers(beside)
    if wanted is None:
        headers = [other for other in headers if other.series_uid == header.series_uid]
    return read_series(_choose(headers, wanted, str(path.parent)))


def read_series(series: Series) -> Volume:
    """Read one series. Raises UserError for anything that does not make one evenly spaced stack of grey slices."""
    headers, geometry = arrange(series.headers, series.name)
    first = headers[0]
    source = Source(
        name=first.description or series.folder.name,
        path=str(series.folder),
        patient=first.patient,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        description=first.description,
        body_part=first.body_part,
    )
    return Volume(read_stack(headers), geometry, modality=first.kind, source=source)


def _choose(headers: Sequence[Header], wanted: str | None, where: str) -> Series:
    found = group_by_series(headers)
    if not found:
        kinds = sorted({_not_an_image(header) for header in headers})
        raise UserError(f"{where} holds {' and '.join(kinds)}, but no image to read; give a CT or MR series.")
    if wanted is None:
        fitting = found
    else:
        calls = [series.is_called(wanted.strip()) for series in found]
        tiers = ([s for s, call in zip(found, calls, strict=True) if call[tier]] for tier in range(4))
        fitting = next((tier for tier in tiers if tier), [])
    if len(fitting) == 1:
        return fitting[0]
    if not fitting:
        raise UserError(f"{where} has no series '{wanted}'; choose with --series one of\n{_listing(found)}")
    raise UserError(
        f"{where} holds {len(fitting)} series{f' called {wanted!r}' if wanted else ''}; choose one with --series, by "
        f"number, description or the end of its UID:\n{_listing(fitting)}"
    )


def _listing(found: Sequence[Series]) -> str:
    rows = [series.row for series in found[:_MOST_LISTED]]
    if len(found) > _MOST_LISTED:
        rows.append(f"  and {len(found) - _MOST_LISTED} more")
    return "\n".join(rows)


def _not_an_image(header: Header) -> str:
    names = {
        "RTDOSE": "a dose",
        "RTSTRUCT": "a structure set",
        "RTPLAN": "a plan",
        "SEG": "a segmentation",
        "SR": "a report",
    }
    return names.get(header.modality, f"a DICOM object without pixels ({header.modality or 'no modality'})")


def _what_else(files: Sequence[Path]) -> str:
    if not files:
        return " (it is empty)"
    volumes = [path for path in files if ending(path, VOLUME_FILES)]
    if volumes:
        return f", but files to give by name, such as {volumes[0]}"
    endings = Counter(path.suffix.lower() or "without ending" for path in files)
    return " (what it holds is " + ", ".join(f"{count} × {kind}" for kind, count in endings.most_common(4)) + ")"
