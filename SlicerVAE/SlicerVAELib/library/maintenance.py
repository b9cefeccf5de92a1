"""Whether a library is whole, and clearing what removed patients left behind."""

import dataclasses
from typing import Any

import sqlalchemy as sa

from ..core.errors import UserError
from ..core.progress import Cancel, Listener, Meter, ignore
from . import schema
from .complaints import told_as_sentence
from .digests import digest_of
from .disclosure import changed_entries, read_identity
from .store import Library

_OWNERS: dict[sa.Table, tuple[sa.Table, ...]] = {
    schema.series: (schema.patients,),
    schema.posteriors: (schema.series,),
    schema.structures: (schema.series,),
    schema.plans: (schema.series,),
    schema.doses: (schema.plans, schema.structures),
    schema.thumbnails: (schema.series,),
    schema.tags: (schema.patients,),
}


@dataclasses.dataclass(frozen=True)
class Report:
    """How much there is, a sentence for each fault, and one for each thing that is worth knowing but no fault."""

    patients: int
    series: int
    slices: int
    faults: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_whole(self) -> bool:
        """Whether there is no fault."""
        return not self.faults


def verify(library: Library, progress: Listener = ignore, cancel: Cancel | None = None) -> Report:
    """Compare everything in the library with its checksums, and with the key, where it is there, what is encrypted.

    A fault is told, not raised. Raises UserError only where the library can't be read at all, Cancelled.
    """
    cancel = cancel or Cancel()
    faults = _structural_faults(library)
    with library.database.reading() as connection:
        pseudonyms = connection.execute(sa.select(schema.patients.c.pseudonym).order_by(schema.patients.c.id))
        names = [str(name) for name in pseudonyms.scalars()]
        meter = Meter(progress, "verifying", len(names))
        for pseudonym in names:
            cancel.check()
            faults += _faults_of(library, connection, pseudonym)
            meter.advance(1)
        faults += _orphans(connection)
        if changed := changed_entries(connection):
            faults.append(f"The log of reveals was changed in {changed} of its entries.")
        series = connection.execute(sa.select(sa.func.count()).select_from(schema.series)).scalar_one()
        slices = connection.execute(
            sa.select(sa.func.coalesce(sa.func.sum(schema.posteriors.c.slices), 0))
        ).scalar_one()
        state = connection.execute(sa.select(schema.library.c.state)).scalar_one()
    return Report(len(names), series, slices, tuple(faults), tuple(_remarks(library, state)))


def compact(library: Library) -> None:
    """Rewrite the database without the space of removed rows, empty the write-ahead log, and remove all search files.

    Raises UserError when another program has the library open, so that its log can't be emptied, or when search files
    can't be removed.
    """
    if not library.database.is_writable:
        raise UserError(f"The library {library.address} is read-only; ask who keeps it.")
    with library.database.outside_transactions() as connection:
        if library.database.is_server:
            for table in sa.inspect(connection).get_table_names():  # those of vector searches are not in the schema
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table}")
        else:
            connection.exec_driver_sql("VACUUM")
            (is_busy, *_) = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            if is_busy:
                raise UserError(
                    f"The log of the library {library.address} can't be emptied while another program has it open; "
                    "close that and try again."
                )
    places = library.cache_places
    places.forget()
    if left := places.leftovers(""):
        raise UserError(f"The search files {left[0]} can't be removed; close the program that uses them and try again.")


def _structural_faults(library: Library) -> list[str]:
    if library.database.is_server:
        return []
    with library.database.outside_transactions() as connection:
        found = connection.exec_driver_sql("PRAGMA integrity_check(10)").scalars().all()
    return [] if found == ["ok"] else [f"SQLite finds: {' '.join(str(line).split())}." for line in found]


def _faults_of(library: Library, connection: sa.Connection, pseudonym: str) -> list[str]:
    reader = library.reader(connection)
    try:
        with told_as_sentence(library.address):
            record, sealed, digest = reader.unchecked(pseudonym)
            if digest_of(sealed, record) != digest:
                return [f"Patient {pseudonym} is not as it was written (its checksum is wrong)."]
            if library.has_key:
                read_identity(reader, pseudonym, library.key, library.description.library_id)
    except UserError as error:
        return [f"Patient {pseudonym} can't be read: {error}"]
    return []


def _orphans(connection: sa.Connection) -> list[str]:
    found = []
    for table, owners in _OWNERS.items():
        for owner in owners:
            count = connection.execute(_ownerless(table, owner)).scalar_one()
            if count:
                found.append(f"{count} row(s) of {table.name} belong to no row of {owner.name}.")
    lacking = (
        sa.select(sa.func.count())
        .select_from(schema.patients.outerjoin(schema.series).outerjoin(schema.posteriors))
        .where(schema.posteriors.c.series_id.is_(None))
    )
    if count := connection.execute(lacking).scalar_one():
        found.append(f"{count} patient(s) or series lack their posteriors.")
    return found


def _ownerless(table: sa.Table, owner: sa.Table) -> sa.Select[Any]:
    (reference,) = (column for column in table.c if any(key.column.table is owner for key in column.foreign_keys))
    is_owned = sa.exists().where(owner.c.id == reference)
    return sa.select(sa.func.count()).select_from(table).where(~is_owned)


def _remarks(library: Library, state: str) -> list[str]:
    places = library.cache_places
    remarks = []
    if places.is_damaged(state):
        remarks.append("The search files are damaged; compact the library, and they are made anew.")
    if left := len(places.leftovers(state)):
        remarks.append(f"{left} folder(s) of search files are out of date; the next search removes them.")
    if not library.has_key:
        remarks.append("Without the site's key, what is encrypted was not opened.")
    return remarks
