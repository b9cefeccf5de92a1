"""From an older schema to this one, a version at a time, all in the transaction that the caller holds.

A step is SQL of its own and stays as it was released: what ``schema`` says is the last version alone.
"""

from collections.abc import Callable, Mapping

import sqlalchemy as sa

from ..core.errors import UserError
from .address import Address
from .schema import SCHEMA_VERSION, library

Step = Callable[[sa.Connection], None]


def version_of(connection: sa.Connection, address: Address) -> int:
    """The version of the library's schema. Raises UserError for a database that is no library, or of newer software."""
    if not sa.inspect(connection).has_table(library.name):
        raise UserError(f"{address} is no patient library; check the address, or create a library elsewhere.")
    version = connection.execute(sa.select(library.c.schema_version)).scalar_one_or_none()
    if not isinstance(version, int) or version < 1:
        raise UserError(f"The library {address} does not tell its version; restore it from a backup.")
    if version > SCHEMA_VERSION:
        raise UserError(
            f"The library {address} is of version {version}, newer than this software knows ({SCHEMA_VERSION}); "
            "update SlicerVAE."
        )
    return version


def migrate(connection: sa.Connection, address: Address) -> None:
    """Bring the library to this version, in a transaction that may write."""
    connection.execute(sa.update(library).values(schema_version=library.c.schema_version))  # the write lock of a server
    for version in range(version_of(connection, address), SCHEMA_VERSION):
        STEPS[version](connection)
        connection.execute(sa.update(library).values(schema_version=version + 1))


def _add_patient_position_and_tags(connection: sa.Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE series ADD COLUMN patient_position TEXT NOT NULL DEFAULT ''")
    connection.exec_driver_sql(
        "CREATE TABLE tags (patient_id INTEGER NOT NULL REFERENCES patients (id) ON DELETE CASCADE, tag TEXT NOT NULL,"
        " UNIQUE (patient_id, tag))"
    )
    connection.exec_driver_sql("CREATE INDEX ix_tags_patient_id ON tags (patient_id)")


STEPS: Mapping[int, Step] = {1: _add_patient_position_and_tags}
"""What leads from each version to the next."""
