"""The series among DICOM headers: what each is called, and which of them count."""

import dataclasses
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..core.errors import UserError
from ..core.volume import Modality
from .dicom_headers import Header
from .dicom_split import split

_MOST_LISTED = 30
_TIERS = 5  # in which a series is called
_TAIL = 10  # characters of a UID that a listing shows
_SLICED = (Modality.CT, Modality.MR)


@dataclasses.dataclass(frozen=True)
class Series:
    """The slices of one volume, unordered: those of one SeriesInstanceUID, or the ``part`` of them that makes one."""

    headers: tuple[Header, ...]
    part: str = ""

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return self.headers[0].series_uid

    @property
    def folder(self) -> Path:
        """The innermost folder that holds all its files."""
        return Path(os.path.commonpath([header.path.parent for header in self.headers]))

    @property
    def description(self) -> str:
        """SeriesDescription, with the part behind it in brackets."""
        described = self.headers[0].description
        return f"{described} ({self.part})".strip() if self.part else described

    @property
    def name(self) -> str:
        """What messages call it."""
        first = self.headers[0]
        number = f"number {first.series_number}" if first.series_number else f"…{self.uid[-_TAIL:]}"
        part = f" ({self.part})" if self.part else ""
        return f"The series '{first.description or number}'{part} in {self.folder}"

    @property
    def row(self) -> str:
        """Its line in a list to choose from."""
        first, count = self.headers[0], len(self.headers)
        number = f"number {first.series_number}, " if first.series_number else ""
        part = f"{self.part}, " if self.part else ""
        slices = f"{count} slice{'s' if count > 1 else ''}"
        return f"  {number}'{first.description}', {part}{first.modality}, {slices}, UID …{self.uid[-_TAIL:]}"

    @property
    def is_localizer(self) -> bool:
        """Whether it holds nothing but scouts."""
        return all(header.is_localizer for header in self.headers)

    @property
    def is_derived(self) -> bool:
        """Whether it holds nothing but what was computed from other images."""
        return all(header.is_derived for header in self.headers)

    def is_called(self, wanted: str) -> tuple[bool, ...]:
        """Whether ``wanted`` is its UID, its number, its description, the end of its UID, its part; the surest first.
        The part may stand behind any of the others and a comma: "3, echo 2"."""
        first, known = self.headers[0], wanted.casefold()
        part = f", {self.part}".casefold()
        if self.part and known.endswith(part):
            wanted, known = wanted[: -len(part)], known[: -len(part)]
        return (
            wanted == self.uid,
            wanted == first.series_number,
            known in (first.description.casefold(), self.description.casefold()),
            bool(wanted.strip("…")) and self.uid.endswith(wanted.lstrip("…")),
            bool(self.part) and known == self.part.casefold(),
        )


def group_by_series(headers: Iterable[Header]) -> list[Series]:
    """The image series among ``headers``, in the order of their first files; several where one series holds several
    volumes."""
    groups: dict[str, list[Header]] = {}
    for header in headers:
        if header.is_image:
            groups.setdefault(header.series_uid, []).append(header)
    return [Series(tuple(part), name) for group in groups.values() for name, part in split(group)]


def left_out(found: Sequence[Series]) -> list[Series]:
    """Those that do not count beside the others: localizers, and what was computed from series that are there too."""
    scans = [series for series in found if not (series.is_localizer or series.is_derived)]
    originals = {(series.headers[0].study_uid, series.headers[0].kind) for series in scans}
    studies = {study for study, _ in originals}

    def is_spare(series: Series) -> bool:
        first = series.headers[0]
        if series.is_localizer:
            return bool(scans)
        if first.kind in _SLICED:
            return series.is_derived and (first.study_uid, first.kind) in originals
        return series.is_derived and first.study_uid in studies

    return [series for series in found if is_spare(series)]


def in_words(spare: Sequence[Series]) -> str:
    """What was left out: "left out: 2 localizers and 1 derived series"; empty when nothing was."""
    localizers = sum(series.is_localizer for series in spare)
    derived = len(spare) - localizers
    counts = [f"{localizers} localizer{'s' if localizers > 1 else ''}"] if localizers else []
    counts += [f"{derived} derived series"] if derived else []
    return f"left out: {' and '.join(counts)}" if counts else ""


def choose(found: Sequence[Series], wanted: str | None, where: str) -> tuple[Series, str]:
    """The series that ``wanted`` calls, or the only one, and what was left out of the choice in words.

    Raises UserError that lists the series of ``where`` when none or several fit.
    """
    fitting = list(found)
    if wanted is not None:
        calls = [series.is_called(wanted.strip()) for series in found]
        tiers = ([s for s, call in zip(found, calls, strict=True) if call[tier]] for tier in range(_TIERS))
        fitting = next((tier for tier in tiers if tier), [])
    spare = left_out(fitting)
    fitting, without = [series for series in fitting if series not in spare], in_words(spare)
    if len(fitting) == 1:
        return fitting[0], without
    if not fitting:
        raise UserError(f"{where} has no series '{wanted}'; choose with --series one of\n{_listing(found)}")
    behind = ", its part behind a comma" if any(series.part for series in fitting) else ""
    besides = f"\n  {without}" if without else ""
    raise UserError(
        f"{where} holds {len(fitting)} series{f' called {wanted!r}' if wanted else ''}; choose one with --series, by "
        f"number, description or the end of its UID{behind}:\n{_listing(fitting)}{besides}"
    )


def _listing(found: Sequence[Series]) -> str:
    rows = [series.row for series in found[:_MOST_LISTED]]
    if len(found) > _MOST_LISTED:
        rows.append(f"  and {len(found) - _MOST_LISTED} more")
    return "\n".join(rows)
