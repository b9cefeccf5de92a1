"""What the readers need of a DICOM file, without its pixels."""

import contextlib
import dataclasses
import math
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

from ..core.acquisition import Acquisition, is_agent
from ..core.errors import UserError
from ..core.volume import Modality
from .dicom_encoding import ENCODING_TAGS, Encoding, encoding_of
from .dicom_frames import FRAME_TAGS, Groups, functional_groups

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
    AssertionError,
    RecursionError,
    struct.error,
)
# They carry pixels but are no image of the patient.
_DERIVED_OBJECTS = {"RTDOSE", "SEG", "RTSTRUCT", "RTPLAN", "PR", "KO", "SR", "REG", "RTIMAGE"}
PARAMETRIC_MAP = "1.2.840.10008.5.1.4.1.1.30"  # which carries the modality of the image that it was made from
_GREY = {"MONOCHROME1", "MONOCHROME2", ""}
_DIRECTORY_FILE = "1.2.840.10008.1.3.10"
_SINGLE_FRAME_IMAGES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4")  # CT, MR
_PROJECTIONS = {"CR", "DX", "MG", "IO", "PX", "XA", "RF"}
_PROJECTION_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in ("1", "1.1", "1.1.1", "1.2", "1.2.1", "1.3", "1.3.1", "12.1", "12.1.1", "12.2", "12.2.1")
)
_TAGS = [
    "SOPClassUID",
    "Modality",
    "ImageType",
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "SeriesNumber",
    "InstanceNumber",
    "SeriesDescription",
    "BodyPartExamined",
    "KVP",
    "ContrastBolusAgent",
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "EchoNumbers",
    "EchoTime",
    "DiffusionBValue",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "RescaleSlope",
    "RescaleIntercept",
    "SpecificCharacterSet",
    *ENCODING_TAGS,
    *FRAME_TAGS,
]


@dataclasses.dataclass(frozen=True, slots=True)
class Header:
    """One DICOM object, or one frame of it where its frames have places of their own.

    Positions and spacings are in mm, LPS; None where the object does not give them.
    """

    path: Path
    frame: int  # from 0
    frames: int  # that this header stands for: more than one where they have no places of their own
    frames_in_file: int
    sop_class: str
    modality: str  # DICOM's own word
    image_type: tuple[str, ...]
    patient: str
    study_uid: str
    series_uid: str
    frame_of_reference_uid: str
    series_number: str
    instance_number: str
    description: str
    body_part: str
    made_by: Acquisition
    stack: str
    acquisition: str
    time_point: str
    trigger_time: float | None  # ms
    echo: str
    echo_time: float | None  # ms
    b_value: float | None  # s/mm²
    rows: int
    columns: int
    is_colour: bool
    position: tuple[float, ...] | None  # centre of the first pixel
    orientation: tuple[float, ...] | None  # directions of a row (i), then of a column (j)
    spacing: tuple[float, ...] | None  # between rows (along j), then between columns (along i)
    detector_spacing: tuple[float, ...] | None  # the same on the detector of a projection
    slope: float
    intercept: float
    encoding: Encoding

    @property
    def is_image(self) -> bool:
        """Whether this is a picture of the patient, rather than a map, a dose, a structure set, a plan or a report."""
        is_derived = self.modality in _DERIVED_OBJECTS or self.sop_class == PARAMETRIC_MAP
        return self.rows > 0 and self.columns > 0 and not is_derived

    @property
    def kind(self) -> Modality:
        """The modality in this library's terms."""
        words = {"CT": Modality.CT, "MR": Modality.MR, "RTDOSE": Modality.DOSE}
        is_projection = self.frames_in_file == 1 and (
            self.modality in _PROJECTIONS or self.sop_class in _PROJECTION_CLASSES
        )  # several are a film, or slices as of tomosynthesis
        return words.get(self.modality, Modality.XRAY if is_projection else Modality.UNKNOWN)

    @property
    def is_localizer(self) -> bool:
        """Whether it is a scout, made to plan the scan that counts."""
        return "LOCALIZER" in self.image_type

    @property
    def is_derived(self) -> bool:
        """Whether it was computed from other images, as projections, reformats and screen saves are."""
        return self.image_type[:2] == ("DERIVED", "SECONDARY")


def files_in(folder: Path) -> list[Path]:
    """All files at any depth in ``folder`` but hidden ones, in a fixed order."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_headers(files: Iterable[Path]) -> list[Header]:
    """Headers of those ``files`` that are DICOM, frame by frame. Raises UserError for a damaged one."""
    return [header for path in files for header in read_header(path)]


def read_header(path: Path) -> list[Header]:
    """Headers of the frames of one file, one for an object without frames; none when it is not a DICOM object (a
    DICOMDIR is none). Raises UserError when it is damaged or cut off."""
    with path.open("rb") as file:
        if not _begins_as_dicom(file.read(_START)):
            if path.suffix.lower() == ".dcm":
                raise _damaged(path)
            return []
        file.seek(0)
        try:
            # Files without preamble are common from treatment planning systems; their beginning has been vetted.
            dataset = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS, force=True)
            if dataset.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY_FILE:
                return []
            header = _header_of(path, dataset, encoding_of(dataset, file))
            headers = _framewise(header, dataset)
        except DAMAGE as error:
            raise _damaged(path) from error
    lacks_pixels = header.rows == 0 or header.columns == 0
    if not header.series_uid or (lacks_pixels and not _may_lack_pixels(header.sop_class)):
        raise _damaged(path)
    return headers


def _may_lack_pixels(sop_class: str) -> bool:
    """Whether it is a class of objects, known to DICOM or a vendor's own, that is not always an image."""
    uid = UID(sop_class)
    return uid.is_valid and (uid.is_private or uid.type == "SOP Class") and uid not in _SINGLE_FRAME_IMAGES


def looks_like_dicom(path: Path) -> bool:
    """Whether the file begins as DICOM does: with its preamble, or straight with a first group of tags."""
    with path.open("rb") as file:
        return _begins_as_dicom(file.read(_START))


_START = 132
# (0002,0000), (0002,0001), (0008,0000), (0008,0001), (0008,0005), (0008,0008), (0008,0016), (0008,0018), either order
_FIRST_TAGS = {
    struct.pack(f"{order}HH", group, element)
    for order in "<>"
    for group, element in [(2, 0), (2, 1), (8, 0), (8, 1), (8, 5), (8, 8), (8, 0x16), (8, 0x18)]
}


def _begins_as_dicom(start: bytes) -> bool:
    return start[128:] == b"DICM" or (len(start) == _START and start[:4] in _FIRST_TAGS)


def _header_of(path: Path, dataset: pydicom.Dataset, encoding: Encoding) -> Header:
    frames = int(_number(dataset, "NumberOfFrames", 1))
    return Header(
        path=path,
        frame=0,
        frames=frames,
        frames_in_file=frames,
        sop_class=_text(dataset, "SOPClassUID"),
        modality=_text(dataset, "Modality").upper(),
        image_type=_words(dataset.get("ImageType")),
        patient=_text(dataset, "PatientID") or _text(dataset, "PatientName"),
        study_uid=_text(dataset, "StudyInstanceUID"),
        series_uid=_text(dataset, "SeriesInstanceUID"),
        frame_of_reference_uid=_text(dataset, "FrameOfReferenceUID"),
        series_number=_text(dataset, "SeriesNumber"),
        instance_number=_hint(dataset, "InstanceNumber"),
        description=_text(dataset, "SeriesDescription"),
        body_part=_text(dataset, "BodyPartExamined"),
        made_by=Acquisition(_measure(dataset, "KVP"), is_agent(_hint(dataset, "ContrastBolusAgent"))),
        stack="",
        acquisition=_hint(dataset, "AcquisitionNumber"),
        time_point=_hint(dataset, "TemporalPositionIdentifier"),
        trigger_time=_measure(dataset, "TriggerTime"),
        echo=_hint(dataset, "EchoNumbers"),
        echo_time=_measure(dataset, "EchoTime"),
        b_value=_measure(dataset, "DiffusionBValue"),
        rows=int(_number(dataset, "Rows", 0)),
        columns=int(_number(dataset, "Columns", 0)),
        is_colour=_number(dataset, "SamplesPerPixel", 1) > 1
        or _text(dataset, "PhotometricInterpretation") not in _GREY,
        position=floats(dataset, "ImagePositionPatient", 3),
        orientation=floats(dataset, "ImageOrientationPatient", 6),
        spacing=floats(dataset, "PixelSpacing", 2),
        detector_spacing=floats(dataset, "ImagerPixelSpacing", 2),
        slope=_number(dataset, "RescaleSlope", 1.0),
        intercept=_number(dataset, "RescaleIntercept", 0.0),
        encoding=encoding,
    )


def _framewise(header: Header, dataset: pydicom.Dataset) -> list[Header]:
    """A header for each frame of an enhanced object, which describes them in its functional groups."""
    if not header.is_image or "PerFrameFunctionalGroupsSequence" not in dataset:
        return [header]
    groups = functional_groups(dataset)
    if len(groups) != header.frames:
        raise ValueError("not as many frames are described as there are")
    return [_frame_of(header, n, frame) for n, frame in enumerate(groups)]


def _frame_of(header: Header, n: int, groups: Groups) -> Header:
    content, measures = groups.item("FrameContentSequence"), groups.item("PixelMeasuresSequence")
    transformation = groups.item("PixelValueTransformationSequence")
    timing = groups.item("CardiacSynchronizationSequence")
    kinds = (groups.item(f"{name}FrameTypeSequence") for name in ("CTImage", "MRImage", "PET"))
    kind = next((_words(item.get("FrameType")) for item in kinds if "FrameType" in item), header.image_type)
    return dataclasses.replace(
        header,
        frame=n,
        frames=1,
        image_type=kind,
        stack=_hint(content, "StackID"),
        acquisition=_hint(content, "FrameAcquisitionNumber"),
        time_point=_hint(content, "TemporalPositionIndex"),
        trigger_time=_measure(timing, "NominalCardiacTriggerDelayTime"),
        echo_time=_measure(groups.item("MREchoSequence"), "EffectiveEchoTime"),
        b_value=_measure(groups.item("MRDiffusionSequence"), "DiffusionBValue"),
        position=floats(groups.item("PlanePositionSequence"), "ImagePositionPatient", 3),
        orientation=floats(groups.item("PlaneOrientationSequence"), "ImageOrientationPatient", 6),
        spacing=floats(measures, "PixelSpacing", 2),
        slope=_number(transformation, "RescaleSlope", header.slope),
        intercept=_number(transformation, "RescaleIntercept", header.intercept),
    )


def _text(dataset: pydicom.Dataset, name: str) -> str:
    return str(dataset.get(name) or "").strip()


def _words(value: Any) -> tuple[str, ...]:
    if not value:
        return ()
    return (value.upper(),) if isinstance(value, str) else tuple(str(word).upper() for word in value)


def _number(dataset: pydicom.Dataset, name: str, default: float) -> float:
    value: Any = dataset.get(name)
    return default if value in (None, "") else float(value)


def _hint(dataset: pydicom.Dataset, name: str) -> str:
    """A text that only tells parts of a series from each other; empty when damaged, which is no reason to refuse."""
    with contextlib.suppress(*DAMAGE):
        value: Any = dataset.get(name)
        return "" if value is None else str(value).strip()
    return ""


def _measure(dataset: pydicom.Dataset, name: str) -> float | None:
    """A number of that use, None when it is missing or damaged."""
    with contextlib.suppress(*DAMAGE):
        value: Any = dataset.get(name)
        return None if value in (None, "") or not math.isfinite(float(value)) else float(value)
    return None


def floats(dataset: pydicom.Dataset, name: str, count: int) -> tuple[float, ...] | None:
    """The ``count`` numbers of an element, None when it has others or any is not finite."""
    value: Any = dataset.get(name)
    if value is None or isinstance(value, str | float) or len(value) != count:
        return None
    numbers = tuple(float(item) for item in value)
    return numbers if all(map(math.isfinite, numbers)) else None


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged, cut off or not complete as a DICOM file; copy it anew or remove it.")
