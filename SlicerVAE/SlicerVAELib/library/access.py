"""Opening and creating libraries and keys. Can be imported without the packages that the library needs; what is called
then says which one is missing."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import UserError
from .address import FileAddress, parse_address
from .records import BundleIdentity

if TYPE_CHECKING:
    from .keys import SiteKey
    from .store import Library

_NEEDED = {"sqlalchemy": "SQLAlchemy", "cryptography": "cryptography"}


def open_library(
    where: str | Path, key: "SiteKey | None" = None, bundle: BundleIdentity | None = None, *, wait_s: float = 20.0
) -> "Library":
    """The library at ``where`` (see ``address.parse_address``), brought to this version of the schema.

    Raises UserError for what is no library, damaged, of newer software, made with another ``bundle`` or under another
    ``key``, or can't be opened. While it is open, what another program locks longer than ``wait_s`` is one too.
    """
    with _packages():
        from .opening import open_at
    address = parse_address(where)
    _check_key_is_apart(key, address)
    return open_at(address, key, bundle, wait_s)


def create_library(
    where: str | Path, key: "SiteKey", bundle: BundleIdentity, *, keeps_head_pictures: bool = False
) -> "Library":
    """A new, empty library for the posteriors of ``bundle``, in a new file or an empty database.

    Pictures of heads show faces, and are kept only with ``keeps_head_pictures``. Raises UserError where something is
    there already, and where nothing can be written.
    """
    with _packages():
        from .opening import create_at
    address = parse_address(where)
    _check_key_is_apart(key, address)
    return create_at(address, key, bundle, keeps_head_pictures)


def load_site_key(path: Path | None = None) -> "SiteKey":
    """The site's key; see ``keys.load_key``. Without a path that of ``keys.default_key_file``."""
    with _packages():
        from .keys import default_key_file, load_key
    return load_key(path or default_key_file())


def create_site_key(path: Path | None = None) -> "SiteKey":
    """A new key for the site; see ``keys.create_key``. Without a path that of ``keys.default_key_file``."""
    with _packages():
        from .keys import create_key, default_key_file
    return create_key(path or default_key_file())


@contextlib.contextmanager
def site_key_or_new(path: Path | None = None) -> Iterator["SiteKey"]:
    """The site's key, or a new one where there is none, which goes again when the block does not end well. Raises
    UserError for a key that can't be read or made."""
    try:
        new = create_site_key(path)
    except UserError:  # one is there
        yield load_site_key(path)
        return
    try:
        yield new
    except BaseException:
        assert new.path is not None
        new.path.unlink()
        raise


@contextlib.contextmanager
def _packages() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        package = _NEEDED.get((error.name or "").partition(".")[0])
        if package is None:
            raise
        raise UserError(
            f"The patient library needs the package {package}; install it with: pip install 'slicervae[library]'"
        ) from None


def _check_key_is_apart(key: "SiteKey | None", address: object) -> None:
    if key is None or key.path is None or not isinstance(address, FileAddress):
        return
    if key.path.resolve().parent == address.path.resolve().parent:
        raise UserError(
            f"The key {key.path} lies in the library's own folder, where one copy takes both; keep it somewhere else."
        )
