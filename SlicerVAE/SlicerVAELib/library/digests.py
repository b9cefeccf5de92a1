"""Checksums of what the library holds, so that a changed bit is noticed wherever it stands."""

import dataclasses
import hashlib
import numbers
from typing import Any

import numpy as np

from ..core.volume import Geometry


def digest_of(*contents: Any) -> bytes:
    """SHA-256 of nested dataclasses, tuples, arrays and scalars, in which no two different contents read alike.

    Fields that have their default are left out: a field that a later version adds, with a default, leaves the checksum
    of what was written before as it is.
    """
    digest = hashlib.sha256()
    _feed(digest, contents)
    return digest.digest()


def _feed(digest: "hashlib._Hash", content: Any) -> None:
    if isinstance(content, Geometry):
        content = (content.shape, content.ijk_to_ras)
    if dataclasses.is_dataclass(content):
        given = [(field, getattr(content, field.name)) for field in dataclasses.fields(content)]
        content = tuple(
            (field.name, value)
            for field, value in given
            if field.default is dataclasses.MISSING or value != field.default
        )
    if isinstance(content, tuple):
        digest.update(b"(%d" % len(content))
        for item in content:
            _feed(digest, item)
        return
    if isinstance(content, np.ndarray):
        digest.update(f"{content.dtype.str}{content.shape}".encode())
        digest.update(content.tobytes())
        return
    kind, raw = _as_bytes(content)
    digest.update(b"%s%d:" % (kind, len(raw)))
    digest.update(raw)


def _as_bytes(scalar: Any) -> tuple[bytes, bytes]:
    """A letter for the kind, and the value. Numbers are taken as float64, in which whole ones come back too."""
    if scalar is None:
        return b"0", b""
    if isinstance(scalar, bytes):
        return b"b", scalar
    if isinstance(scalar, str):
        return b"s", scalar.encode("utf-8")
    if isinstance(scalar, numbers.Real):
        return b"n", repr(float(scalar)).encode()
    raise TypeError(f"no digest of {type(scalar).__name__}")
