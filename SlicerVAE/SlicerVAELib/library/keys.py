"""The site's key: pseudonyms, encryption, and the file that it is kept in."""

import base64
import contextlib
import hashlib
import hmac
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from ..core.errors import UserError
from .records import SeriesIdentity
from .user_folders import settings_folder

_HEADER = "slicervae-site-key-1"
_KEY_BYTES, _NONCE_BYTES, _CHECK_BYTES = 32, 12, 16
_PSEUDONYM_DIGITS = 16  # of 5 bits: among a million patients, two share one with a chance of 4e-13
_PADDED_BYTES = 256  # so that the length of what is encrypted says nothing about it
_LARGEST_FILE = 4096


class SiteKey:
    """A site's secret of 32 bytes, of which a key of its own is derived (HKDF-SHA256) for each use."""

    def __init__(self, secret: bytes, path: Path | None = None) -> None:
        if len(secret) != _KEY_BYTES:
            raise ValueError(f"a site key has {_KEY_BYTES} bytes, not {len(secret)}")
        self.path = path
        self._naming = _derived(secret, "pseudonyms")
        self._cipher = AESGCM(_derived(secret, "encryption"))
        self.check = _derived(secret, "check")[:_CHECK_BYTES]

    def pseudonym(self, patient_id: str) -> str:
        """The patient's pseudonym: HMAC-SHA256 of the ID without surrounding spaces, as "P-" and 16 letters or digits.
        The same at every library of the site."""
        digest = self._digest("patient", patient_id.strip())
        return "P-" + base64.b32encode(digest)[:_PSEUDONYM_DIGITS].decode("ascii")

    def fingerprint(self, identity: SeriesIdentity) -> bytes:
        """What tells the series from others without naming it: HMAC-SHA256 of its UID, or of its place without one."""
        if identity.series_uid:
            return self._digest("series", identity.series_uid)
        return self._digest("place", identity.place)

    def seal(self, content: Any, bound_to: str) -> bytes:
        """``content`` (JSON data) encrypted with AES-256-GCM. It opens only with the same ``bound_to``, so that nobody
        can give it to another row."""
        text = json.dumps(content, ensure_ascii=False).encode("utf-8")
        text += b" " * (-len(text) % _PADDED_BYTES)
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, bound_to.encode("utf-8"))

    def unseal(self, sealed: bytes, bound_to: str) -> Any:
        """What was sealed. Raises ValueError when it was sealed with another key, for another row, or is damaged."""
        try:
            text = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode("utf-8"))
        except (InvalidTag, ValueError):
            raise ValueError("what is encrypted does not open with the key") from None
        return json.loads(text)

    def _digest(self, kind: str, text: str) -> bytes:
        return hmac.new(self._naming, f"{kind}\0{text}".encode(), hashlib.sha256).digest()


def default_key_file() -> Path:
    """Where a site's key is kept: $SLICERVAE_SITE_KEY, otherwise in this user's folder for settings."""
    named = os.environ.get("SLICERVAE_SITE_KEY")
    return Path(named) if named else settings_folder() / "site.key"


def create_key(path: Path) -> SiteKey:
    """A new key in the new file ``path``, which only this user may read. Raises UserError when it can't be written or
    is there already, because what was encrypted under a lost key is lost."""
    secret = secrets.token_bytes(_KEY_BYTES)
    text = f"{_HEADER}\n{base64.b64encode(secret).decode('ascii')}\n"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
    except FileExistsError:
        raise UserError(f"{path} exists already; use that key, or name another file.") from None
    except OSError as error:
        raise UserError(f"The key {path} can't be written ({error.strerror}); choose another place.") from error
    return SiteKey(secret, path)


def load_key(path: Path) -> SiteKey:
    """The key in the file ``path``. Raises UserError when it is not there, no key, or others than its owner may read
    it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_LARGEST_FILE)
    except OSError as error:
        raise UserError(f"The key {path} can't be read ({error.strerror}); name the file of the site's key.") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise UserError(f"Others may read the key {path}; make it yours alone with: chmod 600 {path}")
    try:
        header, secret = content.decode("ascii").split()
        if header != _HEADER:
            raise ValueError(header)
        return SiteKey(base64.b64decode(secret, validate=True), path)
    except ValueError:
        raise UserError(f"{path} holds no site key, or a damaged one; name the right file or restore it.") from None


def _derived(secret: bytes, use: str) -> bytes:
    return HKDFExpand(SHA256(), _KEY_BYTES, f"slicervae library 1: {use}".encode()).derive(secret)
