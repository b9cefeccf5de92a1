"""The DICOM objects of a folder, by their headers."""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom

from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.io.dicom_headers import DAMAGE, floats, looks_like_dicom
from SlicerVAELib.io.images import VOLUME_FILES, ending
from SlicerVAELib.io.quiet import quiet

from .findings import Structure

_DIRECTORY = "1.2.840.10008.1.3.10"
_NO_PICTURES = {"RTDOSE", "RTSTRUCT", "RTPLAN", "RTRECORD", "RTIMAGE", "SEG", "PR", "KO", "SR", "REG"}
_TAGS = [
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "Modality",
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ContrastBolusAgent",
    "KVP",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "DoseUnits",
    "DoseSummationType",
    "RTPlanLabel",
    "ApprovalStatus",
    "StructureSetLabel",
]
_STRUCTURE_TAGS = ["StructureSetROISequence", "ROIContourSequence", "ReferencedFrameOfReferenceSequence"]


@dataclasses.dataclass(frozen=True)
class DicomObject:
    """One DICOM file. Texts are empty, and ``kv``, ``position``, ``orientation`` and ``spacing`` (mm, LPS; between
    rows, between columns) None, where it does not say. ``person`` is name and birth date, to compare and never to
    show. ``drawn_on`` are the series of a structure set."""

    path: Path
    instance: str
    modality: str
    patient: str
    identifier: str
    person: tuple[str, str]
    study: str
    series: str
    number: str
    description: str
    image_type: tuple[str, ...]
    rows: int
    columns: int
    frames: int
    is_colour: bool
    position: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, ...] | None
    kv: float | None
    contrast_agent: str
    dose_units: str
    dose_summation: str
    label: str
    approval: str
    structures: tuple[Structure, ...] = ()
    drawn_on: frozenset[str] = frozenset()

    @property
    def is_image(self) -> bool:
        """Whether it is a picture of the patient."""
        return self.rows > 0 and self.columns > 0 and self.modality not in _NO_PICTURES


def read_objects(
    files: Sequence[Path], progress: Listener, cancel: Cancel
) -> tuple[list[DicomObject], dict[Path, str]]:
    """The DICOM objects among ``files``, and why those that look like one can't be read. Raises Cancelled."""
    objects, unreadable = [], {}
    meter = Meter(progress, "reading headers", len(files))
    for path in files:
        cancel.check()
        try:
            with quiet():  # not around the loop, whose progress is to be seen
                found = None if ending(path, VOLUME_FILES) else _read(path)
        except OSError as error:
            unreadable[path] = f"may not be read ({error.strerror or error})"
        except DAMAGE:
            unreadable[path] = "is damaged, cut off or not complete as a DICOM file"
        else:
            objects += [found] if found else []
        meter.advance(1)
    return objects, unreadable


def _read(path: Path) -> DicomObject | None:
    if not looks_like_dicom(path):
        if path.suffix.lower() == ".dcm":
            raise ValueError("it does not begin as DICOM does")
        return None
    dataset = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS, force=True)
    if dataset.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
        return None
    found = _object_of(path, dataset)
    if not found.series:
        raise ValueError("it has no SeriesInstanceUID")
    if found.modality != "RTSTRUCT":
        return found
    dataset = pydicom.dcmread(path, specific_tags=_STRUCTURE_TAGS, force=True)
    return dataclasses.replace(found, structures=_structures(dataset), drawn_on=_drawn_on(dataset))


def _object_of(path: Path, dataset: pydicom.Dataset) -> DicomObject:
    def text(name: str) -> str:
        return str(dataset.get(name) or "").strip()

    def number(name: str, default: int) -> int:
        value = dataset.get(name)
        return default if value in (None, "") else int(value)

    identifier, name = text("PatientID"), text("PatientName").strip("^ ")
    kv = dataset.get("KVP")
    return DicomObject(
        path=path,
        instance=text("SOPInstanceUID"),
        modality=text("Modality").upper(),
        patient=identifier or name,
        identifier=identifier,
        person=(name.casefold(), text("PatientBirthDate")),
        study=text("StudyInstanceUID"),
        series=text("SeriesInstanceUID"),
        number=text("SeriesNumber"),
        description=text("SeriesDescription"),
        image_type=tuple(str(word).upper() for word in _several(dataset.get("ImageType"))),
        rows=number("Rows", 0),
        columns=number("Columns", 0),
        frames=number("NumberOfFrames", 1),
        is_colour=number("SamplesPerPixel", 1) > 1,
        position=floats(dataset, "ImagePositionPatient", 3),
        orientation=floats(dataset, "ImageOrientationPatient", 6),
        spacing=floats(dataset, "PixelSpacing", 2),
        kv=float(kv) if kv not in (None, "") and math.isfinite(float(kv)) and float(kv) > 0 else None,
        contrast_agent=text("ContrastBolusAgent"),
        dose_units=text("DoseUnits").upper(),
        dose_summation=text("DoseSummationType").upper(),
        label=text("RTPlanLabel") or text("StructureSetLabel"),
        approval=text("ApprovalStatus").upper(),
    )


def _several(value: Any) -> Sequence[Any]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


def _structures(dataset: pydicom.Dataset) -> tuple[Structure, ...]:
    counts = {
        int(roi.ReferencedROINumber): len(roi.get("ContourSequence") or ())
        for roi in dataset.get("ROIContourSequence") or ()
    }
    rois = dataset.get("StructureSetROISequence") or ()
    return tuple(
        Structure(
            str(roi.get("ROIName") or "").strip() or f"structure {roi.ROINumber}", counts.get(int(roi.ROINumber), 0)
        )
        for roi in rois
    )


def _drawn_on(dataset: pydicom.Dataset) -> frozenset[str]:
    return frozenset(
        str(series.get("SeriesInstanceUID") or "")
        for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ()
        for study in frame.get("RTReferencedStudySequence") or ()
        for series in study.get("RTReferencedSeriesSequence") or ()
    ) - {""}
