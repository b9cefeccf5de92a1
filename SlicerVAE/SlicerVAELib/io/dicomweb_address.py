"""Addresses of studies and series on a DICOMweb server, as a person writes them."""

import dataclasses
import re
from urllib.parse import urlsplit

from ..core.errors import UserError

_SCHEMES = ("dicomweb+http", "dicomweb+https")
_EXAMPLE = "dicomweb+https://HOST:PORT/PATH/studies/UID"
# Servers with UIDs of a leading zero exist; what matters is that a UID can't lead to another place of the server.
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_LONGEST_UID = 64


@dataclasses.dataclass(frozen=True)
class Address:
    """``service`` is the root of the server's DICOMweb (http or https); ``study`` and ``series`` are UIDs, empty where
    the address stands for all of them."""

    service: str
    study: str = ""
    series: str = ""

    def __str__(self) -> str:
        study = f"/studies/{self.study}" if self.study else ""
        return f"dicomweb+{self.service}{study}" + (f"/series/{self.series}" if self.series else "")


def is_address(text: str) -> bool:
    """Whether it is meant as the address of a DICOMweb server rather than as a path."""
    return re.match(r"dicomweb(\+[a-z]*)?:", text, re.IGNORECASE) is not None


def parse_address(text: str) -> Address:
    """The address of a server, a study or a series. Raises UserError when it is none, or holds credentials."""
    try:
        parts = urlsplit(text.strip())
        host, _ = parts.hostname, parts.port  # a port that is no number shows when it is asked for
    except ValueError as error:
        raise UserError(
            f"The address {_without_credentials(text)} can't be read ({error}); write {_EXAMPLE}."
        ) from None
    if parts.username is not None or parts.password is not None:
        raise UserError(
            f"The address of {host or 'the server'} holds credentials, which would end up in histories and logs; put "
            "them into ~/.netrc, or into SLICERVAE_DICOMWEB_USER and SLICERVAE_DICOMWEB_PASSWORD."
        )
    if parts.scheme.lower() not in _SCHEMES or not host:
        raise UserError(f"The address {_without_credentials(text)} names no DICOMweb server; write {_EXAMPLE}.")
    if parts.query or parts.fragment:
        raise UserError(f"The address of {host} has a '?' or '#' in it, which can't be followed; write {_EXAMPLE}.")
    root, study, series = _split(parts.path.rstrip("/"), host)
    return Address(f"{parts.scheme.lower().removeprefix('dicomweb+')}://{parts.netloc}{root}", study, series)


def _split(path: str, host: str) -> tuple[str, str, str]:
    match = re.fullmatch(r"(?P<root>.*?)(/studies(/(?P<study>[^/]+)(/series(/(?P<series>[^/]+))?)?)?)?", path)
    assert match is not None  # everything after the root is optional
    root, study, series = match["root"], match["study"] or "", match["series"] or ""
    if "/studies/" in f"{root}/" or "/series/" in f"{root}/":
        raise UserError(
            f"The address of {host} goes on after the study or series ({path}); write {_EXAMPLE}/series/UID."
        )
    for uid in filter(None, (study, series)):
        if not is_uid(uid):
            raise UserError(f"'{uid}' in the address of {host} is no UID of digits and dots; write {_EXAMPLE}.")
    return root, study, series


def is_uid(text: str) -> bool:
    """Whether it is digits and dots as a UID is."""
    return len(text) <= _LONGEST_UID and _UID.fullmatch(text) is not None


def _without_credentials(text: str) -> str:
    return re.sub(r"//[^/@]*@", "//…@", text)
