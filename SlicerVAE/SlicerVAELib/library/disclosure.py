"""Who a pseudonym stands for, told to holders of the key, and the log of that."""

import datetime
import getpass

import sqlalchemy as sa

from ..core.errors import UserError
from ..core.records import from_data
from .complaints import damaged
from .digests import digest_of
from .keys import SiteKey
from .open_text import check_text
from .reading import Reader
from .records import PatientIdentity, Reveal
from .schema import reveals
from .writing import binding


def read_identity(reader: Reader, pseudonym: str, key: SiteKey, library_id: str) -> PatientIdentity:
    """The patient's identity, decrypted. Raises UserError for one who is not there, and for a changed ciphertext."""
    sealed = reader.sealed(pseudonym)
    try:
        return from_data(PatientIdentity, key.unseal(sealed, binding(library_id, pseudonym)), pseudonym)
    except ValueError as error:
        raise damaged(reader.address, f"the identity of {pseudonym}: {error}") from error


def log_reveal(connection: sa.Connection, identity: PatientIdentity, pseudonym: str, reason: str) -> None:
    """Note who looks up the patient now, and why. Raises UserError for no reason, or one that names the patient."""
    if not reason.strip():
        raise UserError(f"A reason belongs to looking up {pseudonym}; say why you need to know who it is.")
    check_text("reason", reason, identity)
    moment = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    entry = Reveal(moment, _person(), pseudonym, reason.strip())
    connection.execute(
        sa.insert(reveals).values(
            moment=entry.when, person=entry.who, pseudonym=pseudonym, reason=entry.why, digest=digest_of(entry)
        )
    )


def log_entries(connection: sa.Connection) -> tuple[Reveal, ...]:
    """The log, the oldest first."""
    rows = connection.execute(sa.select(reveals).order_by(reveals.c.id))
    return tuple(Reveal(row.moment, row.person, row.pseudonym, row.reason) for row in rows)


def changed_entries(connection: sa.Connection) -> int:
    """How many entries of the log are not as they were written."""
    digests = connection.execute(sa.select(reveals.c.digest).order_by(reveals.c.id)).scalars()
    pairs = zip(log_entries(connection), digests, strict=True)
    return sum(digest_of(entry) != bytes(digest) for entry, digest in pairs)


def _person() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        return "unknown"
