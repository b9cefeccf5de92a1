"""A patient's rows, written within the caller's transaction."""

import dataclasses
import hashlib
from typing import Any

import numpy as np
import sqlalchemy as sa

from . import schema
from .blobs import pack_geometry, pack_histogram, pack_posteriors
from .digests import digest_of
from .keys import SiteKey
from .records import DoseFacts, PatientIdentity, PatientRecord, PlanFacts, SeriesRecord, StructureFacts

_OF_PLANS = [column.name for column in schema.plans.columns if column.name not in ("id", "series_id")]


@dataclasses.dataclass(frozen=True)
class SealedIdentity:
    """A patient's identity as the library keeps it: pseudonym, ciphertext, and the fingerprint of each series."""

    pseudonym: str
    sealed: bytes
    fingerprints: tuple[bytes, ...]


def seal_identity(identity: PatientIdentity, key: SiteKey, library_id: str) -> SealedIdentity:
    """Encrypt the identity, bound to the library and the pseudonym."""
    pseudonym = key.pseudonym(identity.patient_id)
    return SealedIdentity(
        pseudonym,
        key.seal(dataclasses.asdict(identity), binding(library_id, pseudonym)),
        tuple(key.fingerprint(series) for series in identity.series),
    )


def binding(library_id: str, pseudonym: str) -> str:
    """What a patient's ciphertext is bound to."""
    return f"{library_id}/{pseudonym}"


def insert_patient(connection: sa.Connection, identity: SealedIdentity, record: PatientRecord) -> None:
    """Insert all rows of a patient who is not there."""
    patient = _insert(
        connection,
        schema.patients,
        pseudonym=identity.pseudonym,
        sealed=identity.sealed,
        digest=digest_of(identity, record),
    )
    structure_ids = []
    series_ids = []
    for fingerprint, series in zip(identity.fingerprints, record.series, strict=True):
        series_id = _insert_series(connection, patient, fingerprint, series)
        series_ids.append(series_id)
        structure_ids.append(
            {facts.name: _insert_structure(connection, series_id, facts) for facts in series.facts.structures}
        )
    for plan in record.plans:
        plan_id = _insert_plan(connection, series_ids[plan.series], plan)
        for dose in plan.doses:
            _insert_dose(connection, plan_id, structure_ids[plan.series][dose.structure], dose)
    _insert_tags(connection, patient, record)


def replace_tags(connection: sa.Connection, identity: SealedIdentity, record: PatientRecord) -> None:
    """Give the patient the record's tags; everything else in the record is what the library holds already."""
    table = schema.patients
    patient = connection.execute(
        sa.update(table)
        .where(table.c.pseudonym == identity.pseudonym)
        .values(digest=digest_of(identity, record))
        .returning(table.c.id)
    ).scalar_one()
    connection.execute(sa.delete(schema.tags).where(schema.tags.c.patient_id == patient))
    _insert_tags(connection, patient, record)


def delete_patient(connection: sa.Connection, pseudonym: str) -> bool:
    """Delete a patient with all rows; whether there was one."""
    deletion = sa.delete(schema.patients).where(schema.patients.c.pseudonym == pseudonym)
    return connection.execute(deletion).rowcount > 0


def _insert(connection: sa.Connection, table: sa.Table, **values: Any) -> int:
    # Without this, SQLite would keep numpy's numbers as bytes.
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    return int(connection.execute(sa.insert(table).values(plain).returning(table.c.id)).scalar_one())


def _insert_tags(connection: sa.Connection, patient: int, record: PatientRecord) -> None:
    if record.tags:
        connection.execute(sa.insert(schema.tags), [{"patient_id": patient, "tag": tag} for tag in record.tags])


def _insert_series(connection: sa.Connection, patient: int, fingerprint: bytes, record: SeriesRecord) -> int:
    facts, stack = record.facts, record.posteriors
    series_id = _insert(
        connection,
        schema.series,
        patient_id=patient,
        fingerprint=fingerprint,
        modality=facts.modality,
        body_part=facts.body_part,
        patient_position=facts.patient_position,
        geometry=pack_geometry(facts.geometry),
    )
    content = pack_posteriors(stack)
    sha256 = hashlib.sha256(content).digest()
    row = {"series_id": series_id, "slices": len(stack), "origin": stack.origin, "content": content, "sha256": sha256}
    connection.execute(sa.insert(schema.posteriors), row)
    for picture in record.thumbnails:
        _insert(connection, schema.thumbnails, series_id=series_id, position_mm=picture.position_mm, png=picture.png)
    return series_id


def _insert_structure(connection: sa.Connection, series_id: int, facts: StructureFacts) -> int:
    left, posterior, superior = facts.centroid_mm
    return _insert(
        connection,
        schema.structures,
        series_id=series_id,
        name=facts.name,
        volume_cm3=facts.volume_cm3,
        centroid_l_mm=left,
        centroid_p_mm=posterior,
        centroid_s_mm=superior,
        plan_geometry=facts.plan_geometry,
    )


def _insert_plan(connection: sa.Connection, series_id: int, plan: PlanFacts) -> int:
    values = {name: getattr(plan, name) for name in _OF_PLANS}
    return _insert(connection, schema.plans, series_id=series_id, **values)


def _insert_dose(connection: sa.Connection, plan_id: int, structure_id: int, dose: DoseFacts) -> None:
    _insert(
        connection,
        schema.doses,
        plan_id=plan_id,
        structure_id=structure_id,
        bin_width_gy=dose.bin_width_gy,
        histogram=pack_histogram(dose.curve),
        **dataclasses.asdict(dose.statistics),
    )
