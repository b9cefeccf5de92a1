"""What a database complains of, as a sentence for the person."""

import contextlib
import sqlite3
import sys
from collections.abc import Iterator

import sqlalchemy
import sqlalchemy.exc

from ..core.errors import UserError
from .address import Address, FileAddress

_TRY_LATER = "close the other program or try again later"


@contextlib.contextmanager
def told_as_sentence(address: Address) -> Iterator[None]:
    """Raise UserError in place of whatever the database or its driver raises inside of the block."""
    try:
        yield
    except sqlalchemy.exc.DBAPIError as error:
        raise _sentence(address, error.orig) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise _sentence(address, error) from error
    except _driver_errors() as error:
        raise _sentence(address, error) from error
    except UnicodeDecodeError as error:  # of text, or of SQLite's own words about a damaged name
        raise damaged(address, "it holds text that is none") from error


def _driver_errors() -> tuple[type[BaseException], ...]:
    """What the drivers raise where SQLAlchemy does not stand in between."""
    server = sys.modules.get("psycopg")  # which is not imported for a library that is a file
    return (sqlite3.Error,) if server is None else (sqlite3.Error, server.Error)


def damaged(address: Address, what: str) -> UserError:
    """The sentence for content that can't be what was written."""
    return UserError(f"The library {address} is damaged ({what}); restore it from a backup.")


def _sentence(address: Address, error: BaseException | None) -> UserError:
    if isinstance(address, FileAddress):
        return _of_file(address, error)
    return _of_server(address, error)


def _of_file(address: FileAddress, error: BaseException | None) -> UserError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return UserError(f"The library {address} is in use by another program; {_TRY_LATER}.")
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_TOOBIG):
        return UserError(f"The disk of the library {address} is full; free some space and try again.")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return UserError(f"The library {address} can't be changed, because you may not write there; ask who keeps it.")
    if code == sqlite3.SQLITE_CANTOPEN:
        return UserError(f"The library {address} can't be opened; check its path and that you may read it.")
    if code == sqlite3.SQLITE_NOTADB:
        return UserError(f"{address} is no patient library, or is damaged at its beginning; choose another file.")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS):
        return UserError(
            f"The disk of the library {address} fails or takes no more data; check the disk and try again."
        )
    return damaged(address, str(error).splitlines()[0] if str(error) else type(error).__name__)


def _of_server(address: Address, error: BaseException | None) -> UserError:
    state = getattr(error, "sqlstate", None) or ""
    if not state:  # there is no connection, so the server's code for the reason is not known
        told = [line for line in str(error).splitlines() if line.strip() and not line[0].isspace()]  # those are hints
        reason = told[-1].rpartition("failed: ")[2].removeprefix("FATAL:").strip() if told else type(error).__name__
        return UserError(
            f"The server of the library {address} can't be reached ({reason}); check address, user and network."
        )
    if state in ("55P03", "57014", "40P01", "40001"):
        return UserError(f"The library {address} is in use by another program; {_TRY_LATER}.")
    if state.startswith("53"):
        return UserError(
            f"The server of the library {address} has no space, memory or connection left; ask who runs it."
        )
    if state in ("42501", "25006"):
        return UserError(f"The library {address} can't be changed by this user of the server; ask who runs it.")
    if state in ("42P01", "42703"):
        return UserError(f"{address} is no patient library, or a part of it is missing; choose another database.")
    return damaged(address, str(error).splitlines()[0])
