"""What the readers need of a DICOM file, without its pixels."""

import dataclasses
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ..core.errors import UserError
from ..core.volume import Modality

# What pydicom raises on damaged files: it parses lazily, so a broken value shows when it is asked for.
DAMAGE = (
    InvalidDicomError,
    BytesLengthException,
    ValueError,
    TypeError,
    AttributeError,
    NotImplementedError,
    LookupError,
    EOFError,
    OverflowError,
    struct.error,
)
# They carry pixels but are no image of the patient.
_DERIVED_OBJECTS = {"RTDOSE", "SEG", "RTSTRUCT", "RTPLAN", "PR", "KO", "SR", "REG", "RTIMAGE"}
_GREY = {"MONOCHROME1", "MONOCHROME2", ""}
_DIRECTORY_FILE = "1.2.840.10008.1.3.10"
_SINGLE_FRAME_IMAGES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")  # CT, MR
_TAGS = [
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SpecificCharacterSet",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """One DICOM object. Positions and spacings are in mm, LPS, None where the object does not give them."""

    path: Path
    sop_class: str
    modality: str  # DICOM's own word
    patient: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    series_number: str
    description: str
    body_part: str
    rows: int
    columns: int
    frames: int
    is_colour: bool
    position: tuple[float, ...] | None  # centre of the first pixel
    orientation: tuple[float, ...] | None  # directions of a row (i), then of a column (j)
    spacing: tuple[float, ...] | None  # between rows (along j), then between columns (along i)

    @property
    def is_image(self) -> bool:
        """Whether this is a picture of the patient, rather than a dose, a structure set, a plan or a report."""
        return self.rows > 0 and self.columns > 0 and self.modality not in _DERIVED_OBJECTS

    @property
    def kind(self) -> Modality:
        """The modality in this library's terms."""
        words = {"CT": Modality.CT, "MR": Modality.MR, "RTDOSE": Modality.DOSE}
        return words.get(self.modality, Modality.XRAY if self.modality in ("CR", "DX") else Modality.UNKNOWN)


def files_in(folder: Path) -> list[Path]:
    """All files at any depth in ``folder`` but hidden ones, in a fixed order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_headers(files: Iterable[Path]) -> list[Header]:
    """Headers of those ``files`` that are DICOM. Raises UserError for a damaged one."""
    return [header for header in map(read_header, files) if header is not None]


def read_header(path: Path) -> Header | None:
    """Header of one file, None when it is not a DICOM object (a DICOMDIR is none). Raises UserError when it is damaged
    or cut off."""
    if not looks_like_dicom(path):
        if path.suffix.lower() == ".dcm":
            raise _damaged(path)
        return None
    try:
        # Files without preamble are common from treatment planning systems; looks_like_dicom has vetted them.
        dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
        if dataset.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY_FILE:
            return None
        header = _header_of(path, dataset)
    except DAMAGE as error:
        raise _damaged(path) from error
    lacks_pixels = header.rows == 0 or header.columns == 0
    if not header.series_uid or (lacks_pixels and header.sop_class in (*_SINGLE_FRAME_IMAGES, "")):
        raise _damaged(path)
    return header


def looks_like_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does: with its preamble, or straight with a first group of tags."""
    with path.open("rb") as file:
        start = file.read(132)
    return start[128:] == b"DICM" or (len(start) == 132 and start[:4] in _FIRST_TAGS)


# (0002,0000), (0002,0001), (0008,0000), (0008,0001), (0008,0005), (0008,0008), (0008,0016), (0008,0018), either order
_FIRST_TAGS = {
    struct.pack(f"{order}HH", group, element)
    for order in "<>"
    for group, element in [(2, 0), (2, 1), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16), (8, 0x18)]
}


def _header_of(path: Path, dataset: pydicom.Dataset) -> Header:
    def text(name: str) -> str:
        return str(dataset.get(name) or "").strip()

    def number(name: str, default: int) -> int:
        value = dataset.get(name)
        return default if value in (None, "") else int(value)

    return Header(
        path=path,
        sop_class=text("SOPClassUID"),
        modality=text("Modality").upper(),
        patient=text("PatientID") or text("PatientName"),
        study_uid=text("StudyInstanceUID"),
        series_uid=text("SeriesInstanceUID"),
        frame_of_reference_uid=text("FrameOfReferenceUID"),
        series_number=text("SeriesNumber"),
        description=text("SeriesDescription"),
        body_part=text("BodyPartExamined"),
        rows=number("Rows", 0),
        columns=number("Columns", 0),
        frames=number("NumberOfFrames", 1),
        is_colour=number("SamplesPerPixel", 1) > 1 or text("PhotometricInterpretation") not in _GREY,
        position=_floats(dataset, "ImagePositionPatient", 3),
        orientation=_floats(dataset, "ImageOrientationPatient", 6),
        spacing=_floats(dataset, "PixelSpacing", 2),
    )


def _floats(dataset: pydicom.Dataset, name: str, count: int) -> tuple[float, ...] | None:
    value: Any = dataset.get(name)
    if value is None or isinstance(value, str | float) or len(value) != count:
        return None
    numbers = tuple(float(item) for item in value)
    return numbers if all(map(math.isfinite, numbers)) else None


def transfer_syntax(dataset: pydicom.Dataset) -> UID:
    """How the pixels are encoded; of a file without the header that says so, how its other values are."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(named)
    is_implicit, is_little = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged, cut off or not complete as a DICOM file; copy it anew or remove it.")
