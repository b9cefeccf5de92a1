"""A patient's images from where a library says that they load from, with what was planned on them."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import UserError, continued
from ..core.progress import Cancel, Listener, ignore
from ..io.dicom_headers import looks_like_dicom
from ..io.dicomweb import local_copy
from ..io.dicomweb_address import is_address, parse_address
from ..io.read import read_volume
from ..io.treatment import Treatment, read_treatment
from ..library.records import SeriesIdentity


def read_archived(
    series: SeriesIdentity, pseudonym: str, progress: Listener = ignore, cancel: Cancel | None = None
) -> Treatment:
    """Read the series with its structures, plan and dose, from files or a DICOMweb server.

    Without any of these, where it can't be told which are meant; a notice says why. Raises UserError where the library
    does not know the place or the images can't be read, Cancelled.
    """
    if not series.place:
        raise UserError(f"The library does not say where the images of {pseudonym} load from; fetch them by hand.")
    with local_copy(_whole_study(series.place), progress=progress, cancel=cancel) as folder:
        where = folder if is_address(series.place) else _with_its_plan(folder)
        try:
            if where.is_dir():
                return read_treatment(where, series=series.series_uid or None)
            return Treatment(read_volume(where), None, None, None)
        except UserError as error:
            volume = read_volume(folder, series=series.series_uid or None)
            reason = continued(str(error).partition("\n")[0].rstrip(".:"))
            return Treatment(volume, None, None, None, (f"Loaded without structures and dose: {reason}.",))


def _whole_study(place: str) -> str:
    """The place, or the address of the study where that of one of its series is given: the plan is another one."""
    return str(dataclasses.replace(parse_address(place), series="")) if is_address(place) else place


def _with_its_plan(folder: Path) -> Path:
    """The folder itself, or that around it when DICOM files lie there, as plans do beside the images' own folder."""
    return folder.parent if folder.is_dir() and any(_dicom_files(folder.parent)) else folder


def _dicom_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.is_file() and looks_like_dicom(path))
