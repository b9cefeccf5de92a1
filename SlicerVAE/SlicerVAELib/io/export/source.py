"""The series that a model's input came from: the headers of its slices, in the order of the volume."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage, MRImageStorage

from ...core.errors import UserError
from ...core.volume import Geometry
from ..dicom_grid import arrange
from ..dicom_headers import DAMAGE, files_in, read_headers
from ..dicom_series import choose, group_by_series
from ..quiet import quiet

# What DICOM wants at least empty, and exports leave out at times.
_MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "PositionReferenceIndicator",
)
_NEEDED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
)
_NEAR = 0.25  # of the distance between slices; readers allow for positions that scanners rounded
_SAME_DIRECTION = 1e-3


@dataclasses.dataclass(frozen=True, eq=False)
class SourceSeries:
    """``slices`` are headers without pixels, one for each k of ``geometry``; ``name`` is what messages call it."""

    slices: tuple[Dataset, ...]
    geometry: Geometry
    name: str

    @property
    def uid(self) -> str:
        """SeriesInstanceUID."""
        return str(self.slices[0].SeriesInstanceUID)

    @property
    def sop_class(self) -> UID:
        """CT or MR Image Storage."""
        return UID(self.slices[0].SOPClassUID)


@contextlib.contextmanager
def unusable_headers_told(source: SourceSeries) -> Iterator[None]:
    """Turn what goes wrong with the source's headers, which may hold anything, into UserError."""
    try:
        with quiet():
            yield
    except DAMAGE as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(
            f"{source.name} has headers to which nothing can refer ({reason}); export the original series."
        ) from error


def read_source_series(place: Path, series: str | None = None) -> SourceSeries:
    """The series at ``place``, a folder or one of its files, chosen by ``series`` as ``read_volume`` does.

    Raises UserError for what does not make one volume, and for objects other than single-slice CT and MR.
    """
    try:
        with quiet():
            folder = place if place.is_dir() else place.parent
            headers = read_headers(files_in(folder)) if place.exists() else []
            if place.is_file() and series is None:
                uids = {header.series_uid for header in headers if header.path == place}
                headers = [header for header in headers if header.series_uid in uids]
            found = group_by_series(headers)
            if not found:
                raise UserError(f"{place} holds no DICOM images; give the folder of the series that the model saw.")
            chosen, _ = choose(found, series, str(folder))
            arrangement = arrange(chosen.headers, chosen.name)
    except OSError as error:
        raise UserError(f"{error.filename or place} can't be read ({error.strerror or error}).") from error
    files = list(dict.fromkeys(header.path for header in arrangement.headers))
    return source_series(files, arrangement.geometry, name=chosen.name)


def source_series(files: Sequence[Path], geometry: Geometry, *, name: str) -> SourceSeries:
    """The slices of ``geometry`` among ``files``, found by their position in the patient.

    Raises UserError when a slice has no file or several, or is no CT or MR image of one slice.
    """
    try:
        headers: list[Dataset] = [pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in files]
        for path, header in zip(files, headers, strict=True):
            _refuse_unusable(header, path)
        chosen = _in_order(headers, geometry, name)
        for header in chosen:
            for keyword in _MAY_BE_EMPTY:
                if keyword not in header:
                    setattr(header, keyword, None)
    except (OSError, *DAMAGE) as error:
        raise UserError(f"{name} can't be read completely; copy it anew or export it again.") from error
    return SourceSeries(tuple(chosen), geometry, name)


def _refuse_unusable(header: Dataset, path: Path) -> None:
    if header.get("SOPClassUID") not in (CTImageStorage, MRImageStorage):
        kind = UID(header.get("SOPClassUID", "")).name or "an unknown object"
        raise UserError(
            f"{path} is {kind}, to which nothing can be exported yet; give a CT or MR series of one file per slice."
        )
    for keyword in _NEEDED:
        if not header.get(keyword):
            raise UserError(f"{path} lacks its {keyword}, so nothing can refer to it; export the original series.")


def _in_order(headers: Sequence[Dataset], geometry: Geometry, name: str) -> list[Dataset]:
    spacing, origin, direction = geometry.lps
    expected = origin + np.arange(geometry.shape[0])[:, None] * spacing[2] * direction[:, 2]
    axes = direction[:, :2].T.ravel()
    alike = [
        header
        for header in headers
        if (header.Rows, header.Columns) == geometry.shape[1:]
        and np.allclose(header.ImageOrientationPatient, axes, atol=_SAME_DIRECTION)
    ]
    positions = np.array([header.ImagePositionPatient for header in alike], dtype=np.float64).reshape(-1, 3)
    chosen = []
    for k, place in enumerate(expected):
        near = np.flatnonzero(np.linalg.norm(positions - place, axis=1) < _NEAR * spacing[2])
        if len(near) != 1:
            has = "no file for" if len(near) == 0 else f"{len(near)} files for"
            raise UserError(
                f"{name} has {has} slice {k + 1} of {len(expected)}, so the model's output can't refer to its source; "
                "give a complete, upright stack of one file per slice."
            )
        chosen.append(alike[int(near[0])])
    return chosen
