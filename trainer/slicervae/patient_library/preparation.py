"""From the files of a patient to what goes into the library. It runs in any process and knows no library."""

import dataclasses
import functools
from pathlib import Path

import pydicom

from SlicerVAELib.core.engine import EncodedVolume, EncodeRequest, Hardware
from SlicerVAELib.core.errors import UserError, continued
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.progress import Cancel, Listener, ignore
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.io.discover import Found
from SlicerVAELib.io.quiet import quiet
from SlicerVAELib.io.rtplan import Plan
from SlicerVAELib.io.treatment import Treatment
from SlicerVAELib.library.intake import (
    dose_facts,
    series_identity,
    series_record,
    side_of_target,
    standardised,
    target_of,
)
from SlicerVAELib.library.pictures import may_show_head
from SlicerVAELib.library.records import (
    DoseFacts,
    PatientIdentity,
    PatientRecord,
    PlanFacts,
    SeriesIdentity,
    SeriesRecord,
    Thumbnail,
)
from SlicerVAELib.library.thumbnails import thumbnails_of

from .patients import Patient, patient_position, place_of, treatment_of


@dataclasses.dataclass(frozen=True)
class Settings:
    """How patients are prepared. ``source`` is the folder or address that was given; ``site`` stands where a plan names
    none; ``tags`` go with every patient."""

    bundle: Path
    source: str
    hardware: Hardware
    keeps_head_pictures: bool = False
    site: str = ""
    tags: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, eq=False)
class PreparedSeries:
    """One image ready for the library. ``volume`` has its structures under standard names; ``plan`` is made on it."""

    volume: Volume
    encoded: EncodedVolume
    identity: SeriesIdentity
    record: SeriesRecord
    plan: PlanFacts | None
    plan_uid: str
    target: str
    notices: tuple[str, ...]


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A patient ready for the library, and sentences about what was doubtful or left out."""

    identity: PatientIdentity
    record: PatientRecord
    notices: tuple[str, ...]


def prepare_patient(
    patient: Patient, settings: Settings, progress: Listener = ignore, cancel: Cancel | None = None
) -> Prepared:
    """Read, encode and measure all images of a patient. An image that can't be used is told in the notices.

    Raises UserError where none can be used, Cancelled.
    """
    ready: list[PreparedSeries] = []
    complaints: list[str] = []
    for image in patient.images:
        try:
            ready.append(prepare_series(image, patient.folder, settings, progress, cancel))
        except UserError as error:
            complaints.append(str(error))
    if not ready:
        raise UserError(complaints[0])
    plans: dict[str, PlanFacts] = {}
    for number, series in enumerate(ready):
        if series.plan is not None:  # images in one frame of reference share their plan, which counts once
            plans.setdefault(series.plan_uid, dataclasses.replace(series.plan, series=number))
    return Prepared(
        PatientIdentity(patient.patient_id, tuple(series.identity for series in ready)),
        PatientRecord(tuple(series.record for series in ready), tuple(plans.values()), settings.tags),
        tuple(dict.fromkeys([*(notice for series in ready for notice in series.notices), *complaints])),
    )


def prepare_series(
    image: Found, folder: Path, settings: Settings, progress: Listener = ignore, cancel: Cancel | None = None
) -> PreparedSeries:
    """Read, encode and measure one image, whose RT files lie in ``folder``. Raises UserError, Cancelled."""
    treatment = treatment_of(image, folder)
    volume, about_names = standardised(treatment.volume)
    encoded = _engine().encode(EncodeRequest(settings.bundle, volume, settings.hardware), progress, cancel)
    doses, about_dose = _doses(treatment, volume)
    record = series_record(
        volume,
        encoded,
        doses,
        patient_position=patient_position(image),
        thumbnails=_thumbnails(volume, encoded, settings),
    )
    target = target_of(volume, doses)
    plan = None
    if treatment.plan is not None or doses:
        site = _site(treatment.plan) or settings.site
        side = side_of_target(record.facts, target)
        plan = _plan_facts(treatment.plan, site, side, doses)
    return PreparedSeries(
        volume=volume,
        encoded=encoded,
        identity=series_identity(volume, place_of(image, settings.source)),
        record=record,
        plan=plan,
        plan_uid=treatment.plan.sop_uid if treatment.plan is not None else "",
        target=target,
        notices=(*volume.source.notes, *treatment.notices, *about_names, *about_dose, *encoded.notices),
    )


@functools.cache
def _engine() -> LocalEngine:
    """The engine of this process, which keeps the model from one patient to the next."""
    return LocalEngine()


def _doses(treatment: Treatment, volume: Volume) -> tuple[tuple[DoseFacts, ...], tuple[str, ...]]:
    if treatment.dose is None:
        return (), ()
    try:
        return dose_facts(volume, treatment.dose_on_volume()), ()
    except UserError as error:
        return (), (f"Taken without dose: {continued(error)}",)


def _thumbnails(volume: Volume, encoded: EncodedVolume, settings: Settings) -> tuple[Thumbnail, ...]:
    if may_show_head(volume.source.body_part) and not settings.keeps_head_pictures:
        return ()
    preprocessing = read_manifest(settings.bundle).preprocessing
    window = preprocessing.intensity.window(volume.array)
    return thumbnails_of(volume, encoded, preprocessing.field_of_view_mm, window)


def _plan_facts(plan: Plan | None, site: str, side: str, doses: tuple[DoseFacts, ...]) -> PlanFacts:
    if plan is None:
        return PlanFacts(0, site=site, laterality=side, doses=doses)
    prescribed = [item.dose_gy for item in plan.prescriptions if item.dose_gy is not None]
    return PlanFacts(
        0,
        site=site,
        laterality=side,
        intent=plan.intent,
        prescription_gy=max(prescribed, default=None),
        fractions=plan.fractions,
        technique=plan.technique,
        approval=plan.approval,
        doses=doses,
    )


def _site(plan: Plan | None) -> str:
    """What the plan calls its first treatment site, empty where it does not."""
    if plan is None:
        return ""
    with quiet():
        header = pydicom.dcmread(plan.path, specific_tags=["TreatmentSites"], force=True)
    sites = header.get("TreatmentSites") or ()
    return (sites if isinstance(sites, str) else next(iter(sites), "")).strip()
