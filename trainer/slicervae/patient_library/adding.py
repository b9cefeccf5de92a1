"""Adding a folder of patients to a library, each in one transaction; what is there is skipped."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.library.records import SeriesIdentity
from SlicerVAELib.library.store import Library

from .patients import Patient
from .preparation import Settings
from .runners import Outcome

Runner = Callable[[Sequence[Patient], Settings, Cancel], Iterator[Outcome]]


@dataclasses.dataclass(frozen=True)
class Summary:
    """How many patients came in and were there before, and sentences about what was doubtful and who was refused, with
    the patients' IDs in front: they are for the person at the screen and are not kept."""

    added: int
    present: int
    notices: tuple[str, ...]
    refused: tuple[str, ...]


def add_patients(
    library: Library, patients: Sequence[Patient], settings: Settings, run: Runner, progress: Listener, cancel: Cancel
) -> Summary:
    """Add those patients who are not in the library. One who can't be read or is refused does not stop the others.

    Raises Cancelled, and UserError where the library itself can't be written; who was added until then stays.
    """
    held = {patient.patient_id for patient in patients if library.holds(patient.patient_id)}
    missing = [patient for patient in patients if patient.patient_id not in held]
    present = [patient for patient in patients if patient.patient_id in held]
    about: dict[str, list[str]] = {}  # what is told of several patients is told once
    for patient in present:
        if notice := _on_new_images(library, patient):
            about.setdefault(notice, []).append(patient.patient_id)
    refused = []
    added = 0
    meter = Meter(progress, "adding patients", len(missing))
    for outcome in run(missing, settings, cancel) if missing else ():
        complaint = outcome.complaint
        if outcome.prepared is not None:
            for notice in outcome.prepared.notices:
                about.setdefault(notice, []).append(outcome.patient_id)
            try:
                added += library.add(outcome.prepared.identity, outcome.prepared.record)
            except UserError as error:
                complaint = str(error)
        if complaint:
            refused.append(f"{outcome.patient_id}: {complaint}")
        meter.advance(1)
    notices = (f"{_named(patient_ids)}: {notice}" for notice, patient_ids in about.items())
    return Summary(added, len(present), tuple(notices), tuple(refused))


def _named(patient_ids: Sequence[str]) -> str:
    others = len(patient_ids) - 1
    return patient_ids[0] + (f" and {others} more" if others else "")


def _on_new_images(library: Library, patient: Patient) -> str:
    new = sum(
        not library.holds_series(patient.patient_id, SeriesIdentity(series_uid=image.series))
        for image in patient.images
        if image.series
    )
    if not new:
        return ""
    return f"The library has the patient without {new} of these images; remove and add to take them in."
