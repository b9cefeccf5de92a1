"""The patient library: what is put in, found, and taken out. Each change is one transaction."""

import contextlib
import dataclasses
import secrets
from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from ..core.errors import UserError
from ..core.progress import Cancel, Listener, ignore
from ..core.similarity import Direction
from . import schema
from .address import Address
from .cache_places import CachePlaces
from .connections import Database
from .digests import digest_of
from .disclosure import log_entries, log_reveal, read_identity
from .keys import SiteKey
from .open_text import check_open_text
from .pictures import check_pictures
from .reading import Reader
from .records import BundleIdentity, PatientFacts, PatientIdentity, PatientRecord, Reveal, SeriesIdentity
from .search_matrix import SearchIndex, open_index
from .selection import PatientSummary, Selection, chosen, summaries
from .writing import SealedIdentity, delete_patient, insert_patient, replace_tags, seal_identity


@dataclasses.dataclass(frozen=True)
class LibraryDescription:
    """What a library is: its random identity, the model whose posteriors it holds, whether it keeps pictures of heads,
    and what tells its key from others."""

    library_id: str
    bundle: BundleIdentity
    keeps_head_pictures: bool
    key_check: bytes

    @property
    def digest(self) -> bytes:
        """The checksum of all that."""
        return digest_of(self)


class Library:
    """An open library; ``library.access`` opens and creates them. Close it, or use it as a context manager.

    Without ``key`` it can be searched, listed and cleared, but takes no patient and reveals none.
    """

    def __init__(self, database: Database, description: LibraryDescription, key: SiteKey | None) -> None:
        self.database, self.description, self._key = database, description, key

    @property
    def address(self) -> Address:
        """Where it is."""
        return self.database.address

    @property
    def key(self) -> SiteKey:
        """The site's key; UserError where the library was opened without it."""
        if self._key is None:
            raise UserError(f"The library {self.address} was opened without the site's key; name the key's file.")
        return self._key

    @property
    def has_key(self) -> bool:
        """Whether it was opened with the site's key."""
        return self._key is not None

    def check_bundle(self, bundle: BundleIdentity) -> None:
        """Raise UserError where the library holds posteriors of another model than this one."""
        held = self.description.bundle
        if bundle.sha256 != held.sha256:
            raise UserError(
                f"The library {self.address} was made with {held.title}, and posteriors of {bundle.title} can't be "
                "compared with its; use that model, or create another library."
            )

    def add(self, identity: PatientIdentity, record: PatientRecord) -> bool:
        """Add a patient, or leave the library as it is where the patient is in it; whether one was added.

        Raises UserError for posteriors of another dimension, texts that name the patient, and refused pictures.
        """
        sealed = self._checked(identity, record)
        with self.writing() as connection:
            if _is_there(connection, sealed.pseudonym):
                return False
            insert_patient(connection, sealed, record)
            _change_state(connection)
        return True

    def replace(self, identity: PatientIdentity, record: PatientRecord) -> None:
        """Put the record in the place of the patient's former one, if there is one. Raises UserError as ``add``."""
        sealed = self._checked(identity, record)
        with self.writing() as connection:
            delete_patient(connection, sealed.pseudonym)
            insert_patient(connection, sealed, record)
            _change_state(connection)

    def remove(self, pseudonym: str) -> None:
        """Take a patient out, with all search files. Raises UserError for one who is not there.

        A SQLite file's deleted rows are overwritten; ``maintenance.compact`` clears what is left of them elsewhere.
        """
        with self.writing() as connection:
            if not delete_patient(connection, pseudonym):
                raise UserError(f"The library {self.address} has no patient {pseudonym}; check the pseudonym.")
            _change_state(connection)
        self.cache_places.forget()

    def tag(self, pseudonym: str, tags: Sequence[str]) -> None:
        """Give the patient these tags in the place of the former ones. Raises UserError without the key, which is
        needed to see whether a tag names the patient."""
        with self.writing() as connection:
            reader = self.reader(connection)
            identity = read_identity(reader, pseudonym, self.key, self.description.library_id)
            changed = dataclasses.replace(reader.record(pseudonym), tags=tuple(tags))
            check_open_text(changed, identity)
            replace_tags(connection, reader.unchecked(pseudonym)[1], changed)

    def holds(self, patient_id: str) -> bool:
        """Whether this patient is in the library."""
        with self.database.reading() as connection:
            return _is_there(connection, self.key.pseudonym(patient_id))

    def holds_series(self, patient_id: str, series: SeriesIdentity) -> bool:
        """Whether this series of the patient is in the library."""
        query = (
            sa.select(schema.series.c.id)
            .join(schema.patients)
            .where(schema.patients.c.pseudonym == self.key.pseudonym(patient_id))
            .where(schema.series.c.fingerprint == self.key.fingerprint(series))
        )
        with self.database.reading() as connection:
            return connection.execute(query).first() is not None

    def pseudonyms(self, selection: Selection | None = None) -> tuple[str, ...]:
        """The chosen patients, in the order in which they came."""
        with self.database.reading() as connection:
            return tuple(row.pseudonym for row in connection.execute(chosen(selection or Selection())))

    def list(self, selection: Selection | None = None) -> tuple[PatientSummary, ...]:
        """The chosen patients with what a list shows of them."""
        with self.database.reading() as connection:
            return summaries(connection, selection or Selection())

    def facts(self, pseudonyms: Sequence[str]) -> tuple[PatientFacts, ...]:
        """All facts of these patients, without posteriors and pictures, in this order."""
        with self.database.reading() as connection:
            return self.reader(connection).facts(pseudonyms)

    def record(self, pseudonym: str) -> PatientRecord:
        """All that is kept of a patient, compared with its checksum."""
        with self.database.reading() as connection:
            return self.reader(connection).record(pseudonym)

    def search_index(
        self, direction: Direction = "symmetric-kl", progress: Listener = ignore, cancel: Cancel | None = None
    ) -> SearchIndex:
        """All posteriors, ready to be searched by that divergence; see ``search_matrix.open_index``."""
        with self.database.reading() as connection:
            return open_index(connection, self.address, direction, progress, cancel)

    def reveal(self, pseudonym: str, reason: str) -> PatientIdentity:
        """Who the patient is. That somebody asked, and why, is in the log before the answer is given.

        Raises UserError without the key, without a reason, and for a library that can't be written.
        """
        with self.writing() as connection:
            identity = read_identity(self.reader(connection), pseudonym, self.key, self.description.library_id)
            log_reveal(connection, identity, pseudonym, reason)
        return identity

    def reveals(self) -> tuple[Reveal, ...]:
        """The log of reveals, the oldest first."""
        with self.database.reading() as connection:
            return log_entries(connection)

    def reader(self, connection: sa.Connection) -> Reader:
        """What reads patients over a connection to this library."""
        return Reader(connection, self.address, self.description.bundle.latent_size)

    @property
    def cache_places(self) -> CachePlaces:
        """Where its search files are kept."""
        return CachePlaces.of(self.address, self.description.library_id)

    def close(self) -> None:
        """Close its connections."""
        self.database.close()

    def __enter__(self) -> "Library":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """The transaction of the library's only writer; see ``connections.Database.writing``."""
        with self.database.writing() as connection:
            # A server's writers queue here, so that what they look up before they write stays true; a file is locked.
            connection.execute(sa.select(schema.library.c.id).with_for_update())
            yield connection

    def _checked(self, identity: PatientIdentity, record: PatientRecord) -> SealedIdentity:
        if len(identity.series) != len(record.series):
            raise ValueError(f"{len(identity.series)} identities for {len(record.series)} series")
        for series in record.series:
            size = series.posteriors.mean.shape[1]
            if size != self.description.bundle.latent_size:
                raise UserError(
                    f"The posteriors have {size} latents, but the library {self.address} holds those of "
                    f"{self.description.bundle.latent_size}; encode with {self.description.bundle.title}."
                )
            check_pictures(series, self.description.keeps_head_pictures)
        check_open_text(record, identity)
        return seal_identity(identity, self.key, self.description.library_id)


def _is_there(connection: sa.Connection, pseudonym: str) -> bool:
    query = sa.select(schema.patients.c.id).where(schema.patients.c.pseudonym == pseudonym)
    return connection.execute(query).first() is not None


def _change_state(connection: sa.Connection) -> None:
    connection.execute(sa.update(schema.library).values(state=secrets.token_hex(8)))
