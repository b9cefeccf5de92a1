"""Storing exported files in an archive over DICOMweb. Nothing else of this software sends anything."""

import json
from collections.abc import Sequence
from pathlib import Path

import pydicom

from ...core.errors import UserError
from ..dicomweb import credentials
from ..dicomweb_address import parse_address


def service_of(destination: str) -> str:
    """The address of the DICOMweb service that ``dicomweb+http://HOST/PATH`` names. Raises UserError for anything else,
    and where the package dicomweb-client is missing."""
    address = parse_address(destination)
    if address.study:
        raise UserError(f"{address} names a study, but files are sent to a server; write dicomweb+{address.service}.")
    try:
        import dicomweb_client  # noqa: F401
    except ImportError as error:
        raise UserError(
            "Sending needs the Python package dicomweb-client; install it with 'pip install dicomweb-client'."
        ) from error
    return address.service


def store(files: Sequence[Path], service: str) -> None:
    """Store ``files`` one after the other in the DICOMweb ``service`` (STOW-RS).

    Credentials come from ~/.netrc or the environment, as ``io.dicomweb`` tells. Raises UserError where it can't be
    reached or refuses one; those before it are stored then.
    """
    from dicomweb_client.api import DICOMwebClient
    from requests import Session
    from requests.exceptions import RequestException

    session = Session()
    if (found := credentials()) is not None:
        session.auth = found
    client = DICOMwebClient(service, session=session)
    client.set_http_retry_params(retry=False)
    for number, path in enumerate(files):
        try:
            answer = client.store_instances([pydicom.dcmread(path)])
        except (RequestException, json.JSONDecodeError) as error:
            raise _not_stored(path, service, number, str(error)) from error
        if answer.get("FailedSOPSequence"):
            reason = answer.FailedSOPSequence[0].get("FailureReason")
            raise _not_stored(path, service, number, "it refused" if reason is None else f"failure code {reason:04X}H")


def _not_stored(path: Path, service: str, stored: int, reason: str) -> UserError:
    told = " ".join(reason.split())[:200]
    return UserError(
        f"{service} did not store {path} ({told}), after {stored} other file{'' if stored == 1 else 's'}; look at the "
        "archive and send again."
    )
