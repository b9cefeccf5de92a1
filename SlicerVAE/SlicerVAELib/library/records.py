"""What goes into the library and comes out of it. Nothing here names a person but the two identities.

Positions are LPS millimetres, volumes cm³, doses Gy.
"""

import dataclasses
import json
import math

import numpy as np

from ..core.dvh import Curve, DoseStatistics
from ..core.errors import UserError
from ..core.latent import Latent
from ..core.manifest import Manifest
from ..core.records import to_data
from ..core.volume import Geometry


@dataclasses.dataclass(frozen=True)
class BundleIdentity:
    """The one model whose posteriors a library holds.

    ``sha256`` is the checksum of what posteriors depend on, so that a bundle that was calibrated since is still the
    same. ``latent_size`` is J, and ``preprocessing`` what was done to the images, as JSON.
    """

    name: str
    version: str
    sha256: str
    latent_size: int
    latent_kind: str
    preprocessing: str

    @classmethod
    def of(cls, manifest: Manifest, latent: Latent) -> "BundleIdentity":
        """The identity of a bundle, and of the latents that its network has."""
        summary = json.dumps(to_data(manifest.preprocessing), sort_keys=True, ensure_ascii=False)
        return cls(manifest.name, manifest.version, manifest.encoder_checksum, latent.size, latent.kind, summary)

    @property
    def title(self) -> str:
        """Name, version and the beginning of the checksum, as a person is told them."""
        return f"{self.name} {self.version} ({self.sha256[:12]})"


@dataclasses.dataclass(frozen=True)
class SeriesIdentity:
    """What tells a series from all others, and where its images load from: a path or an address. Kept encrypted."""

    series_uid: str = ""
    study_uid: str = ""
    frame_of_reference_uid: str = ""
    place: str = ""

    def __post_init__(self) -> None:
        if not (self.series_uid or self.place):
            raise UserError("A series has neither a UID nor a place; give one of them, so that it is known again.")


@dataclasses.dataclass(frozen=True)
class PatientIdentity:
    """Who a patient is: the ID in the images, and the identity of each series in the record's order. Kept encrypted."""

    patient_id: str
    series: tuple[SeriesIdentity, ...]

    def __post_init__(self) -> None:
        if not self.patient_id.strip():
            raise UserError("A patient without an ID can't be known again; give the patient an ID in the images.")


@dataclasses.dataclass(frozen=True, eq=False)
class PosteriorStack:
    """Posteriors of the slices of a series.

    ``mean`` and ``log_variance`` are float32 (N, J); ``positions_mm`` float32 (N,), towards the head from ``origin``
    (see ``core.body_position``); ``slice_positions_mm`` float64 (N, 3), the slices' centres in LPS. Raises
    ValueError for shapes that do not fit, UserError for what is not a number.
    """

    mean: np.ndarray
    log_variance: np.ndarray
    positions_mm: np.ndarray
    origin: str
    slice_positions_mm: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in (
            ("mean", "f4"),
            ("log_variance", "f4"),
            ("positions_mm", "f4"),
            ("slice_positions_mm", "f8"),
        ):
            array = np.ascontiguousarray(getattr(self, name), dtype=f"<{kind}")
            object.__setattr__(self, name, array)
            if not np.isfinite(array).all():
                raise UserError("A posterior is not a number (NaN or infinite); encode the series again.")
        slices, *rest = self.mean.shape
        if len(rest) != 1 or slices < 1 or self.log_variance.shape != self.mean.shape:
            raise ValueError(f"means {self.mean.shape} and log variances {self.log_variance.shape} are no (N, J)")
        if self.positions_mm.shape != (slices,) or self.slice_positions_mm.shape != (slices, 3):
            raise ValueError(f"{slices} slices have {self.positions_mm.shape} and {self.slice_positions_mm.shape}")

    def __len__(self) -> int:
        return len(self.mean)


@dataclasses.dataclass(frozen=True)
class StructureFacts:
    """A contoured structure under its standard name (never the clinic's own, which may name the patient).
    ``plan_geometry`` is what ``core.planning_similarity`` compares, as bytes."""

    name: str
    volume_cm3: float
    centroid_mm: tuple[float, float, float]
    plan_geometry: bytes | None = None

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.volume_cm3, *self.centroid_mm))):
            raise UserError(f"The structure {self.name} has no volume or centre; leave it out or contour it.")


@dataclasses.dataclass(frozen=True, eq=False)
class DoseFacts:
    """The dose of one plan in one structure of the planning series: the usual figures and the cumulative histogram,
    whose bins are evenly spaced from 0 Gy."""

    structure: str
    statistics: DoseStatistics
    curve: Curve

    def __post_init__(self) -> None:
        given = [value for value in dataclasses.astuple(self.statistics) if value is not None]
        if not (all(map(math.isfinite, given)) and np.isfinite(self.curve.volume_cm3).all()):
            raise UserError(f"The dose of {self.structure} is not a number somewhere; calculate it again.")
        doses = self.curve.dose_gy
        if len(doses) < 2 or not np.array_equal(doses, doses[1] * np.arange(len(doses))):
            raise ValueError("a stored histogram has evenly spaced bins, the first at 0 Gy")

    @property
    def bin_width_gy(self) -> float:
        """Distance of the histogram's doses."""
        return float(self.curve.dose_gy[1])

    def volume_at(self, dose_gy: float) -> float:
        """V_D in cm³: exact at the histogram's doses, linear between them."""
        return float(np.interp(dose_gy, self.curve.dose_gy, self.curve.volume_cm3))

    def percent_at(self, dose_gy: float) -> float:
        """V_D in per cent of the volume that has a dose."""
        return 100 * self.volume_at(dose_gy) / self.statistics.volume_cm3


@dataclasses.dataclass(frozen=True, eq=False)
class PlanFacts:
    """A plan made on series number ``series`` of the record. Text is empty and a number None where nothing is said."""

    series: int
    site: str = ""
    laterality: str = ""
    intent: str = ""
    prescription_gy: float | None = None
    fractions: int | None = None
    technique: str = ""
    approval: str = ""
    doses: tuple[DoseFacts, ...] = ()


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """A small picture (PNG) of the slice at ``position_mm`` along the body."""

    position_mm: float
    png: bytes


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesFacts:
    """What a series shows and where. ``patient_position`` is DICOM's (HFS, …), ``geometry`` the image's grid."""

    modality: str
    body_part: str
    geometry: Geometry
    patient_position: str = ""
    structures: tuple[StructureFacts, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class SeriesRecord:
    """A series with its posteriors and, where they are wanted, pictures."""

    facts: SeriesFacts
    posteriors: PosteriorStack
    thumbnails: tuple[Thumbnail, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class PatientRecord:
    """All that the library keeps of a patient, less the identity. Raises ValueError where plan, series and structures
    do not fit each other."""

    series: tuple[SeriesRecord, ...]
    plans: tuple[PlanFacts, ...] = ()
    tags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "tags", tuple(sorted(set(self.tags))))
        if not self.series:
            raise ValueError("a patient of the library has at least one series")
        names = [[structure.name for structure in series.facts.structures] for series in self.series]
        if any(len(set(given)) != len(given) for given in names):
            raise ValueError("a structure occurs twice in a series")
        for plan in self.plans:
            if not 0 <= plan.series < len(self.series):
                raise ValueError(f"a plan is made on series {plan.series} of {len(self.series)}")
            dosed = [dose.structure for dose in plan.doses]
            if len(set(dosed)) != len(dosed) or not set(dosed) <= set(names[plan.series]):
                raise ValueError("a dose belongs to one structure of the planning series")


@dataclasses.dataclass(frozen=True, eq=False)
class PatientFacts:
    """What is known of a patient but for the posteriors and pictures, which are large."""

    pseudonym: str
    series: tuple[SeriesFacts, ...]
    plans: tuple[PlanFacts, ...]
    tags: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Reveal:
    """An entry of the log: who looked up which patient, when (UTC), and why."""

    when: str
    who: str
    pseudonym: str
    why: str
