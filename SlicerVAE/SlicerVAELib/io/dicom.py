"""DICOM series as volumes: which series a folder holds, which one is meant, and reading it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.volume import Source, Volume
from .dicom_grid import Arrangement, arrange
from .dicom_headers import PARAMETRIC_MAP, Header, files_in, read_header, read_headers
from .dicom_pixels import read_stack
from .dicom_series import Series, choose, group_by_series
from .dicom_upright import completed, shifted
from .images import VOLUME_FILES, ending


def read_folder(folder: Path, wanted: str | None) -> Volume:
    """Read the series of ``folder`` (at any depth) that ``wanted`` calls by UID, end of UID, number or description,
    with the part of it behind a comma where it has parts; None where there is only one. Raises UserError, listing the
    series where several fit."""
    files = files_in(folder)
    headers = read_headers(files)
    if not headers:
        raise UserError(f"{folder} holds no DICOM images{_what_else(files)}; give a folder with a CT or MR series.")
    return _read_chosen(headers, wanted, str(folder))


def read_file(path: Path, wanted: str | None) -> Volume:
    """Read the whole series that the DICOM file ``path`` belongs to from its folder, or the one that is ``wanted``.
    A file that holds a whole stack of slices is read by itself."""
    headers = read_header(path)
    if not headers:
        raise UserError(f"{path} is not a DICOM image; give a folder with a CT or MR series.")
    first = headers[0]
    if not first.is_image:
        raise UserError(f"{path} is {_not_an_image(first)}, not an image to read; give a CT or MR series.")
    if len(headers) == 1:
        beside = sorted(
            other
            for other in path.parent.iterdir()
            if other.is_file() and not other.name.startswith(".") and other != path
        )
        headers += read_headers(beside)
    if wanted is not None:
        return _read_chosen(headers, wanted, str(path.parent))
    found = group_by_series(header for header in headers if header.series_uid == first.series_uid)
    its_own = [series for series in found if any(header.path == path for header in series.headers)]
    series, _ = choose(its_own, None, str(path))
    return read_series(series)


def read_series(series: Series, *, notes: Sequence[str] = ()) -> Volume:
    """Read one series; ``notes`` are told with it. Raises UserError for anything that does not make one evenly spaced
    stack of grey slices, or one projection."""
    arrangement = arrange(series.headers, series.name)
    first = arrangement.headers[0]
    source = Source(
        name=series.description or series.folder.name,
        path=str(series.folder),
        patient=first.patient,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        description=series.description,
        body_part=first.body_part,
        acquisition=first.made_by,
        notes=(*arrangement.notes, *notes),
    )
    return Volume(_values(arrangement), arrangement.geometry, modality=first.kind, source=source)


def _values(arrangement: Arrangement) -> np.ndarray:
    """The values (K, J, I) on the grid of ``arrangement``."""
    values = read_stack(arrangement.headers)
    if arrangement.shifts is not None:
        values = shifted(values, arrangement.shifts, arrangement.geometry.shape)
    if len(values) < arrangement.geometry.shape[0]:
        values = completed(values, arrangement.places)
    return values


def _read_chosen(headers: Sequence[Header], wanted: str | None, where: str) -> Volume:
    found = group_by_series(headers)
    if not found:
        kinds = sorted({_not_an_image(header) for header in headers})
        raise UserError(f"{where} holds {' and '.join(kinds)}, but no image to read; give a CT or MR series.")
    series, without = choose(found, wanted, where)
    return read_series(series, notes=[without] if without else [])


def _not_an_image(header: Header) -> str:
    if header.sop_class == PARAMETRIC_MAP:
        return "a parametric map"
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
