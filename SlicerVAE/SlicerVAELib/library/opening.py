"""A library's database made, or taken for what it is."""

import contextlib
import hmac
import secrets
import uuid
from pathlib import Path

import sqlalchemy as sa

from ..core.errors import UserError
from . import schema
from .address import Address, FileAddress
from .complaints import damaged
from .connections import Database
from .keys import SiteKey
from .migrations import migrate, version_of
from .network_share import Placement, placement_of
from .records import BundleIdentity
from .store import Library, LibraryDescription


def create_at(address: Address, key: SiteKey, bundle: BundleIdentity, keeps_head_pictures: bool) -> Library:
    """See ``access.create_library``."""
    if bundle.latent_kind != "gaussian":
        raise UserError(
            f"{bundle.title} gives no Gaussian posteriors, which the library compares; choose a model that does."
        )
    description = LibraryDescription(uuid.uuid4().hex, bundle, keeps_head_pictures, key.check)
    if not isinstance(address, FileAddress):
        return _filled(address, description, key)
    _make_file(address.path)
    try:
        return _filled(address, description, key)
    except BaseException:
        for ending in ("", "-wal", "-shm", "-journal"):
            address.path.with_name(address.path.name + ending).unlink(missing_ok=True)
        raise


def open_at(address: Address, key: SiteKey | None, bundle: BundleIdentity | None, wait_s: float) -> Library:
    """See ``access.open_library``."""
    database = Database(address, wait_s)
    try:
        with database.reading() as connection:
            version = version_of(connection, address)
        if version < schema.SCHEMA_VERSION:
            with database.writing() as connection:
                migrate(connection, address)
        with database.reading() as connection:
            description = _description(connection, address)
        if key is not None and not hmac.compare_digest(key.check, description.key_check):
            raise UserError(f"The library {address} was made under another key; name the file of its key.")
        library = Library(database, description, key)
        if bundle is not None:
            library.check_bundle(bundle)
    except BaseException:
        database.close()
        raise
    return library


def _make_file(path: Path) -> None:
    if placement_of(path.parent) is Placement.WITHOUT_LOCKS:
        raise UserError(f"Files can't be locked at {path}; put the library on a local disk or a PostgreSQL server.")
    try:
        with path.open("xb"):
            pass
    except FileExistsError:
        raise UserError(f"{path} exists already; choose another name, or open it as a library.") from None
    except OSError as error:
        raise UserError(f"The library {path} can't be made ({error.strerror}); choose another place.") from error


def _filled(address: Address, description: LibraryDescription, key: SiteKey) -> Library:
    database = Database(address)
    try:
        with database.writing() as connection:
            if sa.inspect(connection).has_table(schema.library.name):
                raise UserError(f"There is a library at {address} already; open it, or use another database.")
            schema.metadata.create_all(connection)
            bundle = description.bundle
            connection.execute(
                sa.insert(schema.library).values(
                    id=1,
                    schema_version=schema.SCHEMA_VERSION,
                    library_id=description.library_id,
                    state=secrets.token_hex(8),
                    key_check=description.key_check,
                    keeps_head_pictures=description.keeps_head_pictures,
                    bundle_name=bundle.name,
                    bundle_version=bundle.version,
                    bundle_sha256=bundle.sha256,
                    latent_size=bundle.latent_size,
                    latent_kind=bundle.latent_kind,
                    preprocessing=bundle.preprocessing,
                    digest=description.digest,
                )
            )
    except BaseException:
        database.close()
        raise
    return Library(database, description, key)


def _description(connection: sa.Connection, address: Address) -> LibraryDescription:
    with contextlib.suppress(TypeError, ValueError, LookupError, sa.exc.MultipleResultsFound, sa.exc.NoResultFound):
        row = connection.execute(sa.select(schema.library)).one()
        bundle = BundleIdentity(
            name=row.bundle_name,
            version=row.bundle_version,
            sha256=row.bundle_sha256,
            latent_size=row.latent_size,
            latent_kind=row.latent_kind,
            preprocessing=row.preprocessing,
        )
        description = LibraryDescription(row.library_id, bundle, row.keeps_head_pictures, bytes(row.key_check))
        if description.digest == bytes(row.digest):
            return description
    raise damaged(address, "its description of itself was changed")
