"""Transactions on a library's database, the same for SQLite and PostgreSQL.

A reader works on one snapshot; a writer holds the library's only write lock from its first statement, so that what it
reads can't change before it writes.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import event
from sqlalchemy.pool import QueuePool

from ..core.errors import UserError
from .address import Address, FileAddress, ServerAddress
from .complaints import told_as_sentence
from .network_share import Placement, placement_of

_CONNECT_S = 10


class Database:
    """Connections to the database at ``address``, which wait ``wait_s`` for another program's lock; to be closed."""

    def __init__(self, address: Address, wait_s: float = 20.0) -> None:
        self.address = address
        self.is_writable = True
        if isinstance(address, FileAddress):
            self._engine = self._file_engine(address, wait_s)
        else:
            self._engine = _server_engine(address, wait_s)

    @property
    def is_server(self) -> bool:
        """Whether it is PostgreSQL rather than a file."""
        return isinstance(self.address, ServerAddress)

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A transaction that sees one state of the library from beginning to end."""
        level = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.is_server else {}
        with self._begin(level) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A transaction that is kept whole when the block ends well, and undone otherwise. Raises UserError when the
        library can't be written."""
        if not self.is_writable:
            raise UserError(f"The library {self.address} is read-only; ask who keeps it, or use a copy.")
        level = {"isolation_level": "READ COMMITTED"} if self.is_server else {"takes_write_lock": True}
        with self._begin(level) as connection:
            yield connection

    @contextlib.contextmanager
    def outside_transactions(self) -> Iterator[sa.Connection]:
        """A connection for statements that no transaction may hold, such as VACUUM."""
        level = {"isolation_level": "AUTOCOMMIT"} if self.is_server else {"begins_nothing": True}
        with told_as_sentence(self.address), self._engine.connect() as plain:
            yield plain.execution_options(**level)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextlib.contextmanager
    def _begin(self, options: dict[str, Any]) -> Iterator[sa.Connection]:
        with told_as_sentence(self.address), self._engine.connect() as plain:
            connection = plain.execution_options(**options)
            with connection.begin():
                yield connection

    def _file_engine(self, address: FileAddress, wait_s: float) -> sa.Engine:
        path = address.path
        if not path.is_file():
            raise UserError(f"There is no library at {address}; check the path, or create it.")
        placement = placement_of(path)
        if placement is Placement.WITHOUT_LOCKS:
            raise UserError(
                f"The library {address} lies where files can't be locked, so programs would destroy each other's work; "
                "use a local disk or a PostgreSQL server."
            )
        self.is_writable = _may_write(path) and _may_write(path.parent)
        journal = "WAL" if placement is Placement.LOCAL else "DELETE"
        is_writable = self.is_writable

        def connect() -> sqlite3.Connection:
            connection = sqlite3.connect(
                f"file:{quote(str(path))}?{_mode(path, is_writable)}",
                uri=True,
                timeout=wait_s,
                isolation_level=None,
                check_same_thread=False,
            )
            settings = ["foreign_keys=ON", "secure_delete=ON", "synchronous=FULL"]
            for setting in [*settings, f"journal_mode={journal}"] if is_writable else settings:
                connection.execute(f"PRAGMA {setting}")
            return connection

        engine = sa.create_engine("sqlite://", creator=connect, poolclass=QueuePool)
        event.listen(engine, "begin", _begin_file_transaction)
        return engine


def _begin_file_transaction(connection: sa.Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("begins_nothing"):
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("takes_write_lock") else "BEGIN")


def _mode(path: os.PathLike[str], is_writable: bool) -> str:
    """How SQLite opens the file. Where nothing may be written, not even the log's index can be made beside the file,
    which SQLite accepts only of a file that it is told never changes."""
    if is_writable:
        return "mode=rw"
    log = f"{os.fspath(path)}-wal"
    has_log = os.path.exists(log) and os.path.getsize(log) > 0  # noqa: PTH110, PTH202
    return "mode=ro" if has_log else "mode=ro&immutable=1"


def _may_write(path: os.PathLike[str]) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _server_engine(address: ServerAddress, wait_s: float) -> sa.Engine:
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise UserError(
            "A library on a server needs the package psycopg; install it with: pip install 'slicervae[library-server]'"
        ) from None
    try:
        url = sa.make_url(address.url).set(drivername="postgresql+psycopg")
    except sqlalchemy.exc.ArgumentError:
        raise UserError(f"{address} is no address of a database; write postgresql://user@host/database.") from None
    settings = f"-c lock_timeout={int(wait_s * 1000)}"
    return sa.create_engine(url, connect_args={"connect_timeout": _CONNECT_S, "options": settings}, pool_pre_ping=True)
