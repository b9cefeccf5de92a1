"""DICOM RT structure sets: the contours of each structure, and whether they belong to a volume."""

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pydicom
from pydicom.tag import Tag

from .names import unused
from .rt_object import integer, items, read_rt_object, reading, text

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_CONTOUR_DATA = Tag("ContourData")
_KINDS = {"POINT": "point", "OPEN_PLANAR": "open", "OPEN_NONPLANAR": "open"}
_TAGS = [
    "ReferencedFrameOfReferenceSequence",
    "StructureSetROISequence",
    "ROIContourSequence",
    "RTROIObservationsSequence",
]


@dataclasses.dataclass(frozen=True)
class Roi:
    """What else the file says of a structure: ROI number, DICOM's interpreted type (EXTERNAL, PTV, ORGAN, … or empty),
    display colour (red, green, blue, 0 to 255), and how many of its contours were left out."""

    number: int
    interpreted_type: str = ""
    colour: tuple[int, int, int] | None = None
    left_out: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class StructureSet:
    """Closed planar contours (P, 3) in RAS mm of each structure that has any, by name and in the file's order; what
    they were drawn on; and, by the same names, their ``rois``. ``notes`` are sentences about what was left out."""

    contours: dict[str, list[np.ndarray]]
    frames_of_reference: frozenset[str]
    series: frozenset[str]
    rois: Mapping[str, Roi] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_rtstruct(path: Path) -> StructureSet:
    """Read an RTSTRUCT file. Open and point contours are left out, and structures that have no others; of structures
    with the same name the later ones get a number. Raises UserError when the file is damaged or no structure set."""
    with reading(path, "its structures"):
        dataset = read_rt_object(path, "RTSTRUCT", _TAGS, "an RT structure set")
        frames, series = _references(dataset)
        contours, rois, notes = _structures(dataset)
        return StructureSet(contours, frozenset(frames), frozenset(series), rois, tuple(notes))


def _references(dataset: pydicom.Dataset) -> tuple[set[str], set[str]]:
    frames = {str(roi.get("ReferencedFrameOfReferenceUID") or "") for roi in dataset.StructureSetROISequence}
    series = set()
    for frame in dataset.get("ReferencedFrameOfReferenceSequence") or ():
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in frame.get("RTReferencedStudySequence") or ():
            drawn_on = study.get("RTReferencedSeriesSequence") or ()
            series |= {str(item.get("SeriesInstanceUID") or "") for item in drawn_on}
    return frames - {""}, series - {""}


def _structures(dataset: pydicom.Dataset) -> tuple[dict[str, list[np.ndarray]], dict[str, Roi], list[str]]:
    names = {int(roi.ROINumber): text(roi, "ROIName") for roi in dataset.StructureSetROISequence}
    types = {
        integer(item, "ReferencedROINumber"): text(item, "RTROIInterpretedType").upper()
        for item in items(dataset, "RTROIObservationsSequence")
    }
    contours: dict[str, list[np.ndarray]] = {}
    rois: dict[str, Roi] = {}
    notes = []
    for item in dataset.ROIContourSequence:
        number = int(item.ReferencedROINumber)
        closed, left_out = _contours(item)
        name = names.get(number) or f"structure {number}"
        if closed:
            name = unused(name, contours)
            contours[name] = closed
            rois[name] = Roi(number, types.get(number, ""), _colour(item), left_out.total())
        if left_out or not closed:
            notes.append(_note(name, left_out, is_kept=bool(closed)))
    drawn = {int(item.ReferencedROINumber) for item in dataset.ROIContourSequence}
    notes += [_note(name, Counter(), is_kept=False) for number, name in names.items() if number not in drawn]
    return contours, rois, notes


def _contours(item: pydicom.Dataset) -> tuple[list[np.ndarray], Counter[str]]:
    """The closed contours of a structure, and how many of which other kind it has."""
    closed, left_out = [], Counter[str]()
    for contour in items(item, "ContourSequence"):
        kind = text(contour, "ContourGeometricType")
        if kind not in _CLOSED:
            left_out[_KINDS.get(kind, "unknown")] += 1
        elif len(points := _points(contour)) < 3:
            left_out["too short"] += 1
        else:
            closed.append(points)
    return closed, left_out


def _note(name: str, left_out: Counter[str], *, is_kept: bool) -> str:
    if not left_out:
        return f"'{name}' has no contours and is left out."
    counts = " and ".join(f"{count} {kind}" for kind, count in left_out.items())
    plural = "s are" if left_out.total() > 1 else " is"
    rest = "" if is_kept else ", and with it the structure, which has no others"
    return f"'{name}': {counts} contour{plural} left out{rest}."


def _colour(item: pydicom.Dataset) -> tuple[int, int, int] | None:
    value = item.get("ROIDisplayColor")
    if value is None or isinstance(value, str | int) or len(value) != 3:
        return None
    red, green, blue = (min(max(int(part), 0), 255) for part in value)
    return red, green, blue


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
