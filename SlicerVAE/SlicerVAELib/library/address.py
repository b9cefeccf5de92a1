"""Where a library is: a file, or a database on a server."""

import dataclasses
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from ..core.errors import UserError

_SQLITE, _SERVERS = "sqlite", ("postgresql", "postgres")
_SCHEME = re.compile(r"[a-z][a-z0-9+.\-]+:/", re.IGNORECASE)  # two letters at least: C:/ is a drive


@dataclasses.dataclass(frozen=True)
class FileAddress:
    """A library in one SQLite file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def without_password(self) -> str:
        """The address as it may be kept and shown."""
        return str(self)


@dataclasses.dataclass(frozen=True)
class ServerAddress:
    """A library in a database of a PostgreSQL server. ``url`` may hold a password, so it is never shown as it is."""

    url: str = dataclasses.field(repr=False)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        user = f"{unquote(parts.username)}@" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
        return f"postgresql://{user}{parts.hostname or ''}{port}{parts.path}"

    @property
    def without_password(self) -> str:
        """The address as it may be kept and shown, with the server's options but for those that are passwords."""
        parts = urlsplit(self.url)
        user, at, host = parts.netloc.rpartition("@")
        options = [(name, value) for name, value in parse_qsl(parts.query) if "password" not in name.lower()]
        query = f"?{urlencode(options)}" if options else ""
        return f"postgresql://{user.partition(':')[0]}{at}{host}{parts.path}{query}"

    @property
    def database(self) -> str:
        """Name of the database."""
        return unquote(urlsplit(self.url).path.lstrip("/"))


Address = FileAddress | ServerAddress


def parse_address(text: str | Path) -> Address:
    """The address that ``text`` is: a path, ``sqlite:///path`` or ``postgresql://[user@]host[:port]/database``.

    Raises UserError for another scheme, and a server's address without a database.
    """
    given = str(text)
    if not given.strip():
        raise UserError("A library has an address; give a file, or postgresql://host/database.")
    if isinstance(text, Path) or not _SCHEME.match(given):
        return FileAddress(Path(given).expanduser().absolute())
    scheme, _, rest = given.partition(":")
    base = scheme.lower().partition("+")[0]
    if base == _SQLITE:
        path = rest.removeprefix("///")
        if path == rest or not path:
            raise UserError(f"{given} names no file; write sqlite:///path/of/the/library.sqlite, or the path alone.")
        return FileAddress(Path(path).expanduser().absolute())
    if base in _SERVERS:
        return _server(f"postgresql:{rest}")
    raise UserError(f"A library can't be at a '{scheme}' address; give a file, or postgresql://host/database.")


def _server(url: str) -> ServerAddress:
    try:
        address = ServerAddress(url)
        shown = str(address)
    except ValueError:
        raise UserError(
            "The library's address has a port that is no number; write postgresql://host:5432/database."
        ) from None
    if not address.database:
        raise UserError(f"{shown} names no database; write postgresql://host/database.")
    return address
