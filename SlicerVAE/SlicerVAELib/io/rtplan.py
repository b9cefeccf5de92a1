"""DICOM RT plans: prescription, fractions, beams, how they are delivered, and the choice among several plans."""

import contextlib
import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path

import pydicom

from ..core.errors import UserError
from .rt_object import Paths, integer, items, number, read_rt_object, reading, rt_files, text

_FEWEST_MODULATED = 10  # control points; a fixed beam with fewer is a field of a few segments
_PARTICLES = {"ELECTRON": "electrons", "PROTON": "protons", "ION": "ions", "NEUTRON": "neutrons"}
_ROTATION_DEGREES = 1.0  # of the gantry, beyond which a beam is an arc
_TAGS = [
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "RTPlanLabel",
    "RTPlanName",
    "RTPlanDate",
    "ApprovalStatus",
    "PlanIntent",
    "DoseReferenceSequence",
    "FractionGroupSequence",
    "BeamSequence",
    "IonBeamSequence",
    "BrachyTreatmentType",
    "TreatmentMachineSequence",
    "ReferencedStructureSetSequence",
]


@dataclasses.dataclass(frozen=True)
class Prescription:
    """One dose reference to a target. ``target`` is its description, ``roi`` the ROI number in the structure set,
    ``kind`` DICOM's POINT, VOLUME, COORDINATES or SITE; ``dose_gy`` is None where no dose is prescribed."""

    target: str
    kind: str
    roi: int | None
    dose_gy: float | None


@dataclasses.dataclass(frozen=True)
class FractionGroup:
    """Beams that are delivered together, and how often; None where the plan does not say."""

    number: int
    fractions: int | None
    beams: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Beam:
    """One beam. ``beam_type`` is STATIC or DYNAMIC; ``energies`` are its nominal ones, ascending, in MV for photons and
    in MeV for particles; ``delivery`` is TREATMENT, SETUP, …"""

    number: int
    name: str
    beam_type: str
    radiation: str
    technique: str
    energies: tuple[float, ...]
    machine: str
    delivery: str

    @property
    def is_treatment(self) -> bool:
        """Whether it gives dose on purpose, rather than a set-up picture."""
        return self.delivery in ("", "TREATMENT", "CONTINUATION")


@dataclasses.dataclass(frozen=True)
class Plan:
    """One treatment plan. Text is empty where the file does not say; ``approval`` is APPROVED, UNAPPROVED or REJECTED;
    ``technique`` is in words, several joined by "and"."""

    path: Path
    sop_uid: str
    label: str
    name: str
    date: datetime.date | None
    approval: str
    intent: str
    prescriptions: tuple[Prescription, ...]
    fraction_groups: tuple[FractionGroup, ...]
    technique: str
    machines: tuple[str, ...]
    beams: tuple[Beam, ...]
    structure_set_uid: str
    frame_of_reference_uid: str

    @property
    def fractions(self) -> int | None:
        """Fractions planned, over all groups; None where a group does not say, or there is none."""
        counts = [group.fractions for group in self.fraction_groups]
        return sum(count or 0 for count in counts) if counts and None not in counts else None

    @property
    def row(self) -> str:
        """Its line in a list to choose from."""
        doses = [f"{item.dose_gy:g} Gy" for item in self.prescriptions if item.dose_gy is not None]
        words = [self.approval or "no approval status", *doses[:1], self.technique, f"{self.date or 'no date'}"]
        return f"  {self.path}: '{self.label}', {', '.join(word for word in words if word)}"


def read_plan(path: Path) -> Plan:
    """Read an RTPLAN file: photons, electrons, ions or brachytherapy. Raises UserError for another or damaged file."""
    with reading(path, "its plan"):
        return _plan(path, read_rt_object(path, "RTPLAN", _TAGS, "an RT plan"))


def read_plans(where: Paths) -> list[Plan]:
    """Read the RTPLAN files in a folder (at any depth), or the named ones. Raises UserError as ``read_plan`` does."""
    return [read_plan(path) for path in rt_files(where, "RTPLAN")]


def choose_plan(plans: Sequence[Plan]) -> Plan:
    """The only approved plan; or the only plan at all, unless it was rejected. Raises UserError with the list where
    that does not settle it."""
    if not plans:
        raise UserError("There is no plan to choose from; give the RTPLAN file of this patient.")
    approved = [plan for plan in plans if plan.approval == "APPROVED"]
    candidates = approved or plans
    if len(candidates) == 1 and candidates[0].approval != "REJECTED":
        return candidates[0]
    if approved:
        problem = f"There are {len(approved)} approved plans"
    elif len(plans) == 1:
        problem = "The only plan was rejected"
    else:
        problem = f"There are {len(plans)} plans, none of them approved"
    raise UserError(f"{problem}; choose the plan to use:\n" + "\n".join(plan.row for plan in plans))


def _plan(path: Path, dataset: pydicom.Dataset) -> Plan:
    beams = tuple(_beam(item) for keyword in ("BeamSequence", "IonBeamSequence") for item in items(dataset, keyword))
    groups = tuple(_group(item) for item in items(dataset, "FractionGroupSequence"))
    if {named for group in groups for named in group.beams} - {beam.number for beam in beams}:
        raise ValueError("a fraction group has a beam that is not there")
    is_brachy = bool(text(dataset, "BrachyTreatmentType"))
    techniques = [beam.technique for beam in beams if beam.is_treatment] + ["brachytherapy"] * is_brachy
    sources = items(dataset, "TreatmentMachineSequence")
    machines = [beam.machine for beam in beams] + [text(item, "TreatmentMachineName") for item in sources]
    structure_sets = items(dataset, "ReferencedStructureSetSequence")
    return Plan(
        path=path,
        sop_uid=text(dataset, "SOPInstanceUID"),
        label=text(dataset, "RTPlanLabel"),
        name=text(dataset, "RTPlanName"),
        date=_date(text(dataset, "RTPlanDate")),
        approval=text(dataset, "ApprovalStatus").upper(),
        intent=text(dataset, "PlanIntent").upper(),
        prescriptions=tuple(
            _prescription(item)
            for item in items(dataset, "DoseReferenceSequence")
            if text(item, "DoseReferenceType").upper() == "TARGET"
        ),
        fraction_groups=groups,
        technique=" and ".join(_distinct(techniques)),
        machines=tuple(_distinct(machines)),
        beams=beams,
        structure_set_uid=text(structure_sets[0], "ReferencedSOPInstanceUID") if structure_sets else "",
        frame_of_reference_uid=text(dataset, "FrameOfReferenceUID"),
    )


def _date(value: str) -> datetime.date | None:
    with contextlib.suppress(ValueError):
        return datetime.datetime.strptime(value, "%Y%m%d").date()
    return None


def _prescription(item: pydicom.Dataset) -> Prescription:
    return Prescription(
        target=text(item, "DoseReferenceDescription"),
        kind=text(item, "DoseReferenceStructureType").upper(),
        roi=integer(item, "ReferencedROINumber"),
        dose_gy=number(item, "TargetPrescriptionDose"),
    )


def _group(item: pydicom.Dataset) -> FractionGroup:
    beams = tuple(int(beam.ReferencedBeamNumber) for beam in items(item, "ReferencedBeamSequence"))
    return FractionGroup(int(item.FractionGroupNumber), integer(item, "NumberOfFractionsPlanned"), beams)


def _beam(item: pydicom.Dataset) -> Beam:
    points = items(item, "ControlPointSequence") or items(item, "IonControlPointSequence")
    if len(points) != (integer(item, "NumberOfControlPoints") or len(points)):
        raise ValueError("a beam has not as many control points as it says")
    radiation = text(item, "RadiationType").upper()
    energies = {value for point in points if (value := number(point, "NominalBeamEnergy")) is not None}
    return Beam(
        number=int(item.BeamNumber),
        name=text(item, "BeamName"),
        beam_type=text(item, "BeamType").upper(),
        radiation=radiation,
        technique=_PARTICLES.get(radiation) or _photon_technique(points),
        energies=tuple(sorted(energies)),
        machine=text(item, "TreatmentMachineName"),
        delivery=text(item, "TreatmentDeliveryType").upper(),
    )


def _photon_technique(points: Sequence[pydicom.Dataset]) -> str:
    """How a photon beam is delivered, told by what moves between its control points; what a point does not mention
    stays as it was."""
    is_rotating = _rotates(points)
    if _leaf_positions(points) > 1:
        if is_rotating:
            return "VMAT"
        return "IMRT" if len(points) >= _FEWEST_MODULATED else "static photon fields with segments"
    return "photon arcs" if is_rotating else "static photon fields"


def _rotates(points: Sequence[pydicom.Dataset]) -> bool:
    angles = [angle for point in points if (angle := number(point, "GantryAngle")) is not None]
    # The angle's range alone would miss a full turn between two control points.
    turns = any(text(point, "GantryRotationDirection").upper() in ("CW", "CC") for point in points[:-1])
    return turns or any(abs((angle - angles[0] + 180) % 360 - 180) > _ROTATION_DEGREES for angle in angles)


def _leaf_positions(points: Sequence[pydicom.Dataset]) -> int:
    """How many different apertures the multileaf collimator takes."""
    apertures = {
        tuple(float(position) for position in device.LeafJawPositions)
        for point in points
        for device in items(point, "BeamLimitingDevicePositionSequence")
        if text(device, "RTBeamLimitingDeviceType").upper().startswith("MLC")
    }
    return len(apertures)


def _distinct(words: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word))
