"""DICOM RT dose: dose grids in gray, and the choice among several of them."""

import dataclasses
import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom

from ..core.errors import UserError
from ..core.volume import Geometry, Modality, Source, Volume
from .dicom_decode import decode
from .dicom_encoding import transfer_syntax
from .rt_object import Paths, integer, items, number, read_rt_object, reading, rt_files, text
from .rtplan import Plan

_EVEN_WITHIN = 0.01  # of the distance between frames
_ROUNDING_MM = 0.02  # planning systems write positions with few decimals
_UNIT_WITHIN = 1e-2
_TAGS = [
    "SOPInstanceUID",
    "PatientID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesDescription",
    "FrameOfReferenceUID",
    "DoseUnits",
    "DoseType",
    "DoseSummationType",
    "DoseComment",
    "DoseGridScaling",
    "GridFrameOffsetVector",
    "ReferencedRTPlanSequence",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "NumberOfFrames",
    "Rows",
]


@dataclasses.dataclass(frozen=True, eq=False)
class Dose:
    """One dose grid.

    ``volume`` holds gray as float32, ascending along the slice normal. ``summation`` and ``dose_type`` are DICOM's
    words: PLAN, MULTI_PLAN, PLAN_OVERVIEW, FRACTION, BEAM, BRACHY, … and PHYSICAL, EFFECTIVE, ERROR. ``beams`` are the
    numbers of the beams that a BEAM dose is of. Text is empty where the file does not say.
    """

    volume: Volume
    summation: str
    dose_type: str
    plan_uid: str
    sop_uid: str
    series_uid: str
    comment: str = ""
    beams: tuple[int, ...] = ()

    @property
    def row(self) -> str:
        """Its line in a list to choose from."""
        highest = float(self.volume.array.max())
        beams = f", beam {', '.join(map(str, self.beams))}" if self.beams else ""
        comment = f", '{self.comment}'" if self.comment else ""
        return (
            f"  {self.volume.source.path}: {self.summation}{beams}, {self.dose_type}, up to {highest:.2f} Gy{comment}"
        )


def read_doses(where: Paths, frame_of_reference_uid: str | None) -> list[Dose]:
    """Read the RTDOSE files in a folder (at any depth), or the named ones, each as a Dose of its own.

    With ``frame_of_reference_uid`` a file that lies in another frame is refused; in a folder it is passed over, as the
    dose of another image, as long as one in the right frame is there. Raises UserError, in one sentence, for a dose
    that is not in gray, unevenly spaced frames, a single frame, and damage.
    """
    found = [(path, _open(path)) for path in rt_files(where, "RTDOSE")]
    if frame_of_reference_uid is not None:
        is_folder = isinstance(where, str | os.PathLike)
        found = _in_frame(found, frame_of_reference_uid, may_pass_over=is_folder)
    return [_read(path, dataset) for path, dataset in found]


def choose_dose(doses: Sequence[Dose]) -> Dose:
    """The only dose of a whole plan, a physical one before an effective one. Raises UserError with the list where
    there is none, or more than one: which of them is meant is a person's choice, and so is any sum."""
    if not doses:
        raise UserError("There is no dose to choose from; give the RTDOSE file of this patient.")
    plans = [dose for dose in doses if dose.summation == "PLAN" and dose.dose_type != "ERROR"]
    candidates = [dose for dose in plans if dose.dose_type == "PHYSICAL"] or plans
    if len(candidates) == 1:
        return candidates[0]
    listing = "\n".join(dose.row for dose in doses)
    problem = f"{len(candidates)} doses of whole plans" if candidates else "no dose of a whole plan"
    raise UserError(f"There {'are' if candidates else 'is'} {problem}; choose the dose to use:\n{listing}")


def summed(doses: Sequence[Dose], plan: Plan | None = None) -> Dose:
    """The sum of BEAM doses, which must be of one plan, one type and one grid, and no beam twice.

    With ``plan`` they must be that plan's, and all of its treatment beams must be there. Raises UserError otherwise.
    """
    _refuse_sum(doses, plan)
    first = doses[0]
    total = np.sum([dose.volume.array for dose in doses], axis=0, dtype=np.float64).astype(np.float32)
    beams = tuple(sorted(beam for dose in doses for beam in dose.beams))
    return dataclasses.replace(
        first,
        volume=first.volume.replace(array=total),
        summation="PLAN" if plan is not None else "BEAM",
        sop_uid="",
        comment=f"sum of {len(doses)} beam doses",
        beams=beams,
    )


def _refuse_sum(doses: Sequence[Dose], plan: Plan | None) -> None:
    if not doses:
        raise UserError("There is no dose to sum; give the doses of a plan's beams.")
    first = doses[0]
    for dose in doses:
        place = dose.volume.source.path
        if dose.summation != "BEAM" or not dose.beams:
            raise UserError(f"{place} is not the dose of a known beam ({dose.summation}); sum doses of beams only.")
        if not dose.plan_uid or dose.plan_uid != first.plan_uid:
            raise UserError(f"{place} and {first.volume.source.path} are not of one plan; sum doses of one plan only.")
        if dose.dose_type != first.dose_type or dose.dose_type == "ERROR":
            raise UserError(f"{place} is a dose of type {dose.dose_type}; sum PHYSICAL or EFFECTIVE doses, not both.")
        if not dose.volume.geometry.matches(first.volume.geometry, tolerance_mm=_ROUNDING_MM):
            raise UserError(f"{place} has another grid than {first.volume.source.path}; export both on one grid.")
    beams = [beam for dose in doses for beam in dose.beams]
    if len(set(beams)) < len(beams):
        raise UserError(f"Beam {max(beams, key=beams.count)} is there twice among the doses; keep one of each beam.")
    if plan is None:
        return
    if plan.sop_uid != first.plan_uid:
        raise UserError(f"The doses are not of plan '{plan.label}'; give the plan that they refer to.")
    wanted = {beam.number for beam in plan.beams if beam.is_treatment}
    if missing := wanted - set(beams):
        raise UserError(
            f"The dose of beam {', '.join(map(str, sorted(missing)))} of plan '{plan.label}' is missing; give all."
        )
    if foreign := set(beams) - wanted:
        raise UserError(f"Plan '{plan.label}' has no treatment beam {', '.join(map(str, sorted(foreign)))}.")


def _open(path: Path) -> pydicom.Dataset:
    with reading(path, "its dose"):
        dataset = read_rt_object(path, "RTDOSE", _TAGS, "an RT dose")
        text(dataset, "FrameOfReferenceUID")
        return dataset


def _in_frame(
    found: Sequence[tuple[Path, pydicom.Dataset]], wanted: str, *, may_pass_over: bool
) -> list[tuple[Path, pydicom.Dataset]]:
    here = [(path, dataset) for path, dataset in found if text(dataset, "FrameOfReferenceUID") == wanted]
    if len(here) == len(found) or (here and may_pass_over):
        return here
    path, frame = next((p, uid) for p, ds in found if (uid := text(ds, "FrameOfReferenceUID")) != wanted)
    lies = f"in frame of reference {frame}" if frame else "in an unnamed frame of reference"
    raise UserError(f"{path} lies {lies}, not in {wanted}; give the dose that was calculated on this image.")


def _read(path: Path, dataset: pydicom.Dataset) -> Dose:
    with reading(path, "its dose"):
        units = text(dataset, "DoseUnits").upper()
        if units != "GY":
            raise UserError(f"{path} gives its dose in units of {units or '(none)'}, not GY; export it in gray.")
        if not dataset.get("Rows"):
            raise UserError(f"{path} holds no dose grid, only histograms or points; export the dose distribution.")
        array = _gray(path, dataset)
        geometry, is_descending = _geometry(path, dataset, array.shape)
        plan, beams = _reference(dataset)
        source = Source(
            name=text(dataset, "SeriesDescription") or path.name,
            path=str(path),
            patient=text(dataset, "PatientID"),
            study_uid=text(dataset, "StudyInstanceUID"),
            series_uid=text(dataset, "SeriesInstanceUID"),
            frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
            description=text(dataset, "SeriesDescription"),
        )
        return Dose(
            volume=Volume(array[::-1] if is_descending else array, geometry, Modality.DOSE, source=source),
            summation=text(dataset, "DoseSummationType").upper(),
            dose_type=text(dataset, "DoseType").upper(),
            plan_uid=plan,
            sop_uid=text(dataset, "SOPInstanceUID"),
            series_uid=source.series_uid,
            comment=text(dataset, "DoseComment"),
            beams=beams,
        )


def _gray(path: Path, dataset: pydicom.Dataset) -> np.ndarray:
    """Dose (K, J, I) in gray, frames in the file's order."""
    scaling = number(dataset, "DoseGridScaling")
    if scaling is None or not (math.isfinite(scaling) and scaling > 0):
        raise ValueError("the dose has no usable scaling")
    stored = decode(path, transfer_syntax(dataset))
    if len(stored) != (integer(dataset, "NumberOfFrames") or 1):
        raise ValueError("the pixels do not fill the grid")
    return (stored * scaling).astype(np.float32)


def _geometry(path: Path, dataset: pydicom.Dataset, shape: tuple[int, int, int]) -> tuple[Geometry, bool]:
    """The grid, ascending along its normal, and whether the file's frames descend."""
    if min(shape) < 2:
        raise UserError(f"{path} is a dose in a single plane, but a volume is needed; export the whole dose grid.")
    position = np.array(dataset.ImagePositionPatient, dtype=np.float64)
    between_rows, between_columns = (float(value) for value in dataset.PixelSpacing)
    axes = np.array(dataset.ImageOrientationPatient, dtype=np.float64).reshape(2, 3)
    if not (np.isfinite(axes).all() and np.isfinite(position).all() and min(between_rows, between_columns) > 0):
        raise ValueError("the grid's place is not usable")
    lengths = np.linalg.norm(axes, axis=1)
    if np.abs(lengths - 1).max() > _UNIT_WITHIN or abs(axes[0] @ axes[1]) > _UNIT_WITHIN:
        raise UserError(f"{path} has unusable directions: rows and columns are not at right angles; export it anew.")
    axes /= lengths[:, None]
    normal = np.cross(*axes)
    offsets = _offsets(path, dataset, position, normal)
    if len(offsets) != shape[0]:
        raise ValueError("there are not as many offsets as frames")
    step = (offsets[-1] - offsets[0]) / (len(offsets) - 1)
    even = offsets[0] + step * np.arange(len(offsets))
    is_even = np.abs(offsets - even).max() <= max(_EVEN_WITHIN * abs(step), _ROUNDING_MM)
    if not is_even or abs(step) <= _ROUNDING_MM:
        gaps = np.abs(np.diff(offsets))
        raise UserError(
            f"{path} has unevenly spaced frames ({gaps.min():g} to {gaps.max():g} mm apart); export an even dose grid."
        )
    geometry = Geometry.from_lps(
        shape,
        spacing=(between_columns, between_rows, abs(step)),
        origin=tuple(position + min(even[0], even[-1]) * normal),
        direction=np.stack([*axes, normal], axis=1),
    )
    return geometry, bool(step < 0)


def _offsets(path: Path, dataset: pydicom.Dataset, position: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Each frame's distance from the image position along ``normal`` in mm (PS3.3, C.8.8.3.2).

    The vector begins with 0 where its entries are such distances already; or, in transverse planes, with the z of the
    image position where they are z coordinates.
    """
    vector = np.array(dataset.GridFrameOffsetVector, dtype=np.float64)
    if not np.isfinite(vector).all():
        raise ValueError("an offset is no number")
    if abs(vector[0]) <= _ROUNDING_MM:
        return vector - vector[0]
    is_transverse = abs(abs(normal[2]) - 1) < 1e-6
    if is_transverse and abs(vector[0] - position[2]) <= _ROUNDING_MM:
        return (vector - vector[0]) * np.sign(normal[2])
    raise UserError(
        f"{path} does not say where its frames lie (its frame offsets begin with {vector[0]:g}, neither 0 nor the "
        "position of the first frame); export it anew."
    )


def _reference(dataset: pydicom.Dataset) -> tuple[str, tuple[int, ...]]:
    """UID of the plan, and the numbers of the beams that the dose is of."""
    plans = items(dataset, "ReferencedRTPlanSequence")
    beams = tuple(
        int(beam.ReferencedBeamNumber)
        for plan in plans
        for group in items(plan, "ReferencedFractionGroupSequence")
        for beam in items(group, "ReferencedBeamSequence")
    )
    # A dose of several plans is of none of them.
    return text(plans[0], "ReferencedSOPInstanceUID") if len(plans) == 1 else "", beams
