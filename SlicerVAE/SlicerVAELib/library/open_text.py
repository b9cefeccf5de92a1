"""What stands in the library for everybody to read must not name a person."""

from collections.abc import Iterator

from ..core.errors import UserError
from .records import PatientIdentity, PatientRecord

_SHORTEST = 3  # an identifier of one or two letters stands in words by chance


def check_open_text(record: PatientRecord, identity: PatientIdentity) -> None:
    """Raise UserError where a name, tag or other open text of the record has an identifier of the patient in it, or
    control characters, which PostgreSQL can't store."""
    for what, text in _texts(record):
        check_text(what, text, identity)


def check_text(what: str, text: str, identity: PatientIdentity) -> None:
    """The same for one text, of which a person is told as ``what``."""
    if any(not letter.isprintable() for letter in text):
        raise UserError(f"The {what} has line breaks or control characters; write it as one line of text.")
    folded = text.casefold()
    if any(identifier in folded for identifier in _identifiers(identity)):
        raise UserError(f"The {what} '{text}' names the patient and would be kept unencrypted; use another word.")


def _identifiers(identity: PatientIdentity) -> Iterator[str]:
    given = [identity.patient_id.strip()]
    for series in identity.series:
        given += [series.series_uid, series.study_uid, series.frame_of_reference_uid, series.place]
    return (identifier.casefold() for identifier in given if len(identifier) >= _SHORTEST)


def _texts(record: PatientRecord) -> Iterator[tuple[str, str]]:
    for series in record.series:
        yield "modality", series.facts.modality
        yield "body part", series.facts.body_part
        yield "patient position", series.facts.patient_position
        yield "position origin", series.posteriors.origin
        yield from (("structure name", structure.name) for structure in series.facts.structures)
    for plan in record.plans:
        yield "site", plan.site
        yield "laterality", plan.laterality
        yield "intent", plan.intent
        yield "technique", plan.technique
        yield "approval", plan.approval
    yield from (("tag", tag) for tag in record.tags)
