"""Rows back into records, within the caller's transaction. What can't have been written so raises UserError."""

import contextlib
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ..core.dvh import DoseStatistics
from ..core.errors import UserError
from ..core.similarity import blocks
from . import schema
from .address import Address
from .blobs import unpack_geometry, unpack_histogram, unpack_posteriors
from .complaints import damaged
from .digests import digest_of
from .records import (
    DoseFacts,
    PatientFacts,
    PatientRecord,
    PlanFacts,
    PosteriorStack,
    SeriesFacts,
    SeriesRecord,
    StructureFacts,
    Thumbnail,
)
from .writing import SealedIdentity

_AT_ONCE = 500  # patients whose rows are asked for together
Rows = dict[int, list[sa.Row[Any]]]


class Reader:
    """Reads patients of the library at ``address`` over ``connection``; J is ``latent_size``."""

    def __init__(self, connection: sa.Connection, address: Address, latent_size: int) -> None:
        self.address = address
        self._connection, self._latents = connection, latent_size

    def facts(self, pseudonyms: Sequence[str]) -> tuple[PatientFacts, ...]:
        """The facts of these patients, in this order; UserError for one who is not there."""
        found: dict[str, PatientFacts] = {}
        for some in blocks(len(pseudonyms), _AT_ONCE):
            with self._noticing_damage("facts"):
                found.update(self._some_facts(pseudonyms[some]))
        for pseudonym in pseudonyms:
            if pseudonym not in found:
                raise UserError(f"The library {self.address} has no patient {pseudonym}; check the pseudonym.")
        return tuple(found[pseudonym] for pseudonym in pseudonyms)

    def record(self, pseudonym: str) -> PatientRecord:
        """All that is kept of a patient, compared with its checksum."""
        record, sealed, digest = self.unchecked(pseudonym)
        if digest_of(sealed, record) != digest:
            raise damaged(self.address, f"patient {pseudonym} was changed")
        return record

    def unchecked(self, pseudonym: str) -> tuple[PatientRecord, SealedIdentity, bytes]:
        """A patient's record, sealed identity and the digest that both had when they were written."""
        (facts,) = self.facts([pseudonym])
        patient = self._patient(pseudonym)
        with self._noticing_damage(f"patient {pseudonym}"):
            rows = self._ordered(schema.series, schema.series.c.patient_id, [patient.id])[patient.id]
            record = PatientRecord(
                tuple(self._series(row.id, given) for row, given in zip(rows, facts.series, strict=True)),
                facts.plans,
                facts.tags,
            )
        sealed = SealedIdentity(pseudonym, bytes(patient.sealed), tuple(bytes(row.fingerprint) for row in rows))
        return record, sealed, bytes(patient.digest)

    def sealed(self, pseudonym: str) -> bytes:
        """The patient's encrypted identity."""
        return bytes(self._patient(pseudonym).sealed)

    def stack(self, row: sa.Row[Any]) -> PosteriorStack:
        """The posteriors in a row of that table, compared with their checksum."""
        with self._noticing_damage("posteriors"):
            content = bytes(row.content)
            if hashlib.sha256(content).digest() != bytes(row.sha256):
                raise ValueError("their checksum is wrong")
            return unpack_posteriors(content, row.slices, self._latents, row.origin)

    def structure(self, row: sa.Row[Any]) -> StructureFacts:
        """The structure in a row of that table."""
        with self._noticing_damage("structures"):
            return _structure_facts(row)

    @contextlib.contextmanager
    def _noticing_damage(self, what: str) -> Iterator[None]:
        try:
            yield
        # What a changed byte leads to when it is read as numbers, text and references.
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise damaged(self.address, f"{what}: {error}") from error

    def _patient(self, pseudonym: str) -> sa.Row[Any]:
        found = self._connection.execute(
            sa.select(schema.patients).where(schema.patients.c.pseudonym == pseudonym)
        ).one_or_none()
        if found is None:
            raise UserError(f"The library {self.address} has no patient {pseudonym}; check the pseudonym.")
        return found

    def _some_facts(self, pseudonyms: Sequence[str]) -> dict[str, PatientFacts]:
        table = schema.patients
        named = {
            row.id: row.pseudonym
            for row in self._connection.execute(
                sa.select(table.c.id, table.c.pseudonym).where(table.c.pseudonym.in_(pseudonyms))
            )
        }
        series = self._ordered(schema.series, schema.series.c.patient_id, list(named))
        series_ids = [row.id for rows in series.values() for row in rows]
        structures = self._ordered(schema.structures, schema.structures.c.series_id, series_ids)
        plans = self._ordered(schema.plans, schema.plans.c.series_id, series_ids)
        doses = self._ordered(schema.doses, schema.doses.c.plan_id, [row.id for rows in plans.values() for row in rows])
        names = {row.id: row.name for rows in structures.values() for row in rows}
        tags = self._ordered(schema.tags, schema.tags.c.patient_id, list(named), by=schema.tags.c.tag)
        facts = {}
        for patient, pseudonym in named.items():
            own = series[patient]
            numbers = {row.id: number for number, row in enumerate(own)}
            of_own = sorted((plan for row in own for plan in plans[row.id]), key=lambda plan: int(plan.id))
            facts[pseudonym] = PatientFacts(
                pseudonym,
                tuple(_series_facts(row, structures[row.id]) for row in own),
                tuple(_plan_facts(plan, numbers[plan.series_id], doses[plan.id], names) for plan in of_own),
                tuple(sorted(row.tag for row in tags[patient])),
            )
        return facts

    def _series(self, series_id: int, facts: SeriesFacts) -> SeriesRecord:
        (posteriors,) = self._ordered(
            schema.posteriors, schema.posteriors.c.series_id, [series_id], by=schema.posteriors.c.series_id
        )[series_id]
        pictures = self._ordered(schema.thumbnails, schema.thumbnails.c.series_id, [series_id])[series_id]
        return SeriesRecord(
            facts, self.stack(posteriors), tuple(Thumbnail(row.position_mm, bytes(row.png)) for row in pictures)
        )

    def _ordered(
        self, table: sa.Table, owner: sa.Column[int], owners: Sequence[int], by: sa.Column[Any] | None = None
    ) -> Rows:
        """The rows of ``table`` by their owner, in the order in which they were written, or ``by`` a column."""
        rows: Rows = defaultdict(list)
        for some in blocks(len(owners), _AT_ONCE):
            query = sa.select(table).where(owner.in_(owners[some])).order_by(table.c.id if by is None else by)
            for row in self._connection.execute(query):
                rows[getattr(row, owner.name)].append(row)
        return rows


def _series_facts(row: sa.Row[Any], structures: Sequence[sa.Row[Any]]) -> SeriesFacts:
    return SeriesFacts(
        row.modality,
        row.body_part,
        unpack_geometry(bytes(row.geometry)),
        row.patient_position,
        tuple(_structure_facts(structure) for structure in structures),
    )


def _structure_facts(row: sa.Row[Any]) -> StructureFacts:
    geometry = None if row.plan_geometry is None else bytes(row.plan_geometry)
    return StructureFacts(row.name, row.volume_cm3, (row.centroid_l_mm, row.centroid_p_mm, row.centroid_s_mm), geometry)


def _plan_facts(row: sa.Row[Any], series: int, doses: Sequence[sa.Row[Any]], names: dict[int, str]) -> PlanFacts:
    return PlanFacts(
        series,
        site=row.site,
        laterality=row.laterality,
        intent=row.intent,
        prescription_gy=row.prescription_gy,
        fractions=row.fractions,
        technique=row.technique,
        approval=row.approval,
        doses=tuple(_dose_facts(dose, names[dose.structure_id]) for dose in doses),
    )


def _dose_facts(row: sa.Row[Any], structure: str) -> DoseFacts:
    statistics = DoseStatistics(**{name: getattr(row, name) for name in schema.STATISTICS})
    return DoseFacts(structure, statistics, unpack_histogram(bytes(row.histogram), row.bin_width_gy))
