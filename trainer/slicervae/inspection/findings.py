"""What an inspection finds. The names of the fields are the keys of its JSON; ``FORMAT`` counts their changes."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

from SlicerVAELib.core.records import to_data

FORMAT = 1


@dataclasses.dataclass(frozen=True)
class Intensities:
    """Lowest and highest value of a volume, and its 1st and 99th percentile, in ``unit`` (HU; empty: arbitrary)."""

    minimum: float
    maximum: float
    percentile_1: float
    percentile_99: float
    unit: str


@dataclasses.dataclass(frozen=True)
class VolumeFacts:
    """One volume that can be read, or that should be readable and is not, which ``trouble`` tells.

    ``number`` counts the volumes of an inspection from 1. ``path`` is within the folder: of the file, or of the folder
    of a DICOM series. ``size`` counts voxels and ``spacing_mm`` and ``field_of_view_mm`` are measured along i, j, k;
    they are None where only the pixels' reader could tell. ``plane`` is that of a slice: axial, coronal, sagittal,
    oblique, or 2-D for an X-ray. ``modality`` is empty where nothing tells it, and ``modality_is_inferred`` from the
    values where no header does; ``part`` tells volumes of one series from each other. ``notes`` say what was done to
    the values on reading. Other None or empty fields: not told.
    """

    number: int
    path: str
    format: str
    description: str
    part: str
    modality: str
    modality_is_inferred: bool
    files: int
    size: tuple[int, int, int] | None
    spacing_mm: tuple[float, float, float] | None
    plane: str
    field_of_view_mm: tuple[float, float, float] | None
    intensities: Intensities | None
    tube_voltage_kv: float | None
    contrast_agent: str
    study_uid: str
    series_uid: str
    label_maps: tuple[str, ...]
    notes: tuple[str, ...]
    trouble: str


@dataclasses.dataclass(frozen=True)
class Structure:
    """A structure of a structure set, and how many contours it has; 0 for an empty one."""

    name: str
    contours: int


@dataclasses.dataclass(frozen=True)
class StructureSetFacts:
    """An RT structure set; ``is_of_this_folder`` says whether the series that it was drawn on is there, None when it
    does not name one."""

    path: str
    label: str
    structures: tuple[Structure, ...]
    is_of_this_folder: bool | None


@dataclasses.dataclass(frozen=True)
class DoseFacts:
    """An RT dose: its units (GY or RELATIVE) and what it sums up (PLAN, BEAM, …), as the file says."""

    path: str
    units: str
    summation: str


@dataclasses.dataclass(frozen=True)
class PlanFacts:
    """An RT plan: its label and its approval (APPROVED, UNAPPROVED, REJECTED), as the file says."""

    path: str
    label: str
    approval: str


@dataclasses.dataclass(frozen=True)
class PatientFacts:
    """One patient; ``is_identified`` is False where a DICOM file does not say whose it is and its folder stands in."""

    patient: str
    is_identified: bool
    volumes: tuple[VolumeFacts, ...]
    structure_sets: tuple[StructureSetFacts, ...]
    doses: tuple[DoseFacts, ...]
    plans: tuple[PlanFacts, ...]


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """What is no volume to train on: ``what`` it is, how many ``files``, and the ``reason``; ``kind`` is "series" or
    "unreadable"."""

    kind: str
    what: str
    files: int
    reason: str


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a training would see: patients and volumes of each modality, a sentence, and a command to begin with (empty
    when there is nothing to train on)."""

    patients: int
    volumes: int
    by_modality: dict[str, int]
    sentence: str
    command: str


@dataclasses.dataclass(frozen=True)
class Inspection:
    """Everything. ``thumbnails`` are PNG by the number of the volume, and no part of the JSON."""

    folder: str
    has_pixels: bool
    patients: tuple[PatientFacts, ...]
    left_out: tuple[LeftOut, ...]
    doubts: tuple[str, ...]
    outlook: Outlook
    thumbnails: dict[int, bytes] = dataclasses.field(repr=False, default_factory=dict)

    @property
    def volumes(self) -> Iterator[VolumeFacts]:
        """Every volume, by patient."""
        return (volume for patient in self.patients for volume in patient.volumes)

    def to_json(self) -> str:
        """The findings for programs."""
        data = to_data(self)
        del data["thumbnails"]
        return json.dumps({"format": FORMAT, **data}, indent=2, ensure_ascii=False) + "\n"


def within(path: Path, root: Path) -> str:
    """``path`` as the findings name it."""
    return path.relative_to(root).as_posix()
