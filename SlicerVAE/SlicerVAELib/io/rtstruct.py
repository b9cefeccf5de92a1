"""DICOM RT structure sets: the contours of each structure, and whether they belong to a volume."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from ..core.errors import UserError
from .dicom_headers import DAMAGE, looks_like_dicom
from .names import unused

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_CONTOUR_DATA = Tag("ContourData")
_TAGS = ["Modality", "ReferencedFrameOfReferenceSequence", "StructureSetROISequence", "ROIContourSequence"]


@dataclasses.dataclass(frozen=True, eq=False)
class StructureSet:
    """Closed planar contours (P, 3) in RAS mm of each structure that has any, by name and in the file's order; and
    what they were drawn on."""

    contours: dict[str, list[np.ndarray]]
    frames_of_reference: frozenset[str]
    series: frozenset[str]


def read_rtstruct(path: Path) -> StructureSet:
    """Read an RTSTRUCT file. Open and point contours are left out, and structures that have no others; of structures
    with the same name the later ones get a number. Raises UserError when the file is damaged or no structure set."""
    try:
        is_dicom = looks_like_dicom(path)
        dataset = pydicom.dcmread(path, specific_tags=_TAGS, force=True) if is_dicom else pydicom.Dataset()
        if dataset.get("Modality") != "RTSTRUCT":
            raise UserError(f"{path} is not an RT structure set; give an RTSTRUCT file or a label map.")
        _refuse_cut_off(dataset)
        frames, series = _references(dataset)
        return StructureSet(_contours(dataset), frozenset(frames), frozenset(series))
    except DAMAGE as error:
        raise UserError(f"{path} is damaged or cut off, so its structures can't be read; copy it anew.") from error


def _refuse_cut_off(dataset: pydicom.Dataset) -> None:
    """pydicom reads what is left of a sequence without complaint, and structures would be missing silently."""
    for keyword in _TAGS:
        element: Any = dataset.get_item(keyword)
        if isinstance(element, RawDataElement) and element.value and len(element.value) < element.length:
            raise EOFError(f"{keyword} is not complete")


def _references(dataset: pydicom.Dataset) -> tuple[set[str], set[str]]:
    frames = {str(roi.get("ReferencedFrameOfReferenceUID") or "") for roi in dataset.StructureSetROISequence}
    series = set()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in frame.get("RTReferencedStudySequence") or ():
            drawn_on = study.get("RTReferencedSeriesSequence") or ()
            series |= {str(item.get("SeriesInstanceUID") or "") for item in drawn_on}
    return frames - {""}, series - {""}


def _contours(dataset: pydicom.Dataset) -> dict[str, list[np.ndarray]]:
    names = {int(roi.ROINumber): str(roi.get("ROIName") or "").strip() for roi in dataset.StructureSetROISequence}
    result: dict[str, list[np.ndarray]] = {}
    for roi in dataset.ROIContourSequence:
        number = int(roi.ReferencedROINumber)
        closed = [
            points
            for contour in roi.get("ContourSequence") or ()
            if contour.get("ContourGeometricType") in _CLOSED and len(points := _points(contour)) >= 3
        ]
        if closed:
            result[unused(names.get(number) or f"structure {number}", result)] = closed
    return result


def _points(contour: pydicom.Dataset) -> np.ndarray:
    """Points (P, 3) in RAS mm. The text is parsed at once: pydicom's objects for each number take most of the time."""
    element = contour.get_item(_CONTOUR_DATA)
    if element is None or not element.value:
        return np.empty((0, 3))
    value = element.value
    numbers = value.split(b"\\") if isinstance(value, bytes) else value
    points = np.array(numbers, dtype=np.float64).reshape(-1, 3)
    if len(points) != int(contour.get("NumberOfContourPoints") or len(points)):
        raise ValueError("a contour has not as many points as it says")
    return points * (-1, -1, 1)
