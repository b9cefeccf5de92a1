"""Studies and series of a DICOMweb server (QIDO-RS and WADO-RS), listed, or fetched into a temporary folder."""

import contextlib
import dataclasses
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pydicom

from ..core.errors import UserError
from ..core.progress import Cancel, Listener, Meter, ignore
from .dicom_headers import DAMAGE
from .dicomweb_address import Address, is_address, is_uid, parse_address
from .quiet import quiet

if TYPE_CHECKING:
    from requests import PreparedRequest

USER, PASSWORD, TOKEN = "SLICERVAE_DICOMWEB_USER", "SLICERVAE_DICOMWEB_PASSWORD", "SLICERVAE_DICOMWEB_TOKEN"

_TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces of an answer, which an archive may first get from tape
_PAGE = 1000  # results asked for at once
_MOST_NAMED = 20
_LATER = "try again, or ask who runs the server"

_T = TypeVar("_T")


@dataclasses.dataclass(frozen=True)
class StudyEntry:
    """A study that a server has; ``date`` as YYYYMMDD, everything empty where the server does not tell."""

    address: Address
    patient: str
    date: str
    description: str
    modalities: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class SeriesEntry:
    """A series of a study; ``instances`` is None where the server does not tell."""

    address: Address
    modality: str
    description: str
    instances: int | None


@contextlib.contextmanager
def local_copy(
    path_or_address: str | os.PathLike[str], *, progress: Listener = ignore, cancel: Cancel | None = None
) -> Iterator[Path]:
    """Yield a path on this machine: the very path that was given, or the folder of what was ``fetched`` from the
    ``dicomweb+http(s)`` address, which is gone when the block ends.

    Give the words of the command line as text: a ``Path`` merges the two slashes of an address.
    """
    text = os.fspath(path_or_address)
    if is_address(text):
        with fetched(text, progress=progress, cancel=cancel) as folder:
            yield folder
    else:
        yield Path(text)


@contextlib.contextmanager
def fetched(address: str | Address, *, progress: Listener = ignore, cancel: Cancel | None = None) -> Iterator[Path]:
    """Yield a temporary folder with the DICOM files of a study or series, one folder a series; it is removed when the
    block ends.

    Instances come one by one, as the server stores them; no more than one is in memory. Raises UserError when the
    address names no study, the server can't be reached, refuses, or does not have it; Cancelled.
    """
    wanted = parse_address(address) if isinstance(address, str) else address
    if not wanted.study:
        raise UserError(_names_no_study(wanted))
    with tempfile.TemporaryDirectory(prefix="slicervae-dicomweb-") as folder:
        _fetch(wanted, Path(folder), progress, cancel or Cancel())
        yield Path(folder)


def list_studies(address: str | Address) -> list[StudyEntry]:
    """The studies of the server that ``address`` names. Raises UserError as ``fetched`` does."""
    server = _Server(parse_address(address) if isinstance(address, str) else address)
    fields = ["StudyDescription", "ModalitiesInStudy"]
    return [
        StudyEntry(
            Address(server.service, _uid(item, "StudyInstanceUID", server.service)),
            _text(item, "PatientID"),
            _text(item, "StudyDate"),
            _text(item, "StudyDescription"),
            tuple(sorted(_texts(item, "ModalitiesInStudy"))),
        )
        for item in server.search("studies", "StudyInstanceUID", fields=fields)
    ]


def list_series(address: str | Address) -> list[SeriesEntry]:
    """The series of the study that ``address`` names, or the one series. Raises UserError as ``fetched`` does."""
    wanted = parse_address(address) if isinstance(address, str) else address
    if not wanted.study:
        raise UserError(_names_no_study(wanted))
    return _series_of(_Server(wanted), wanted)


def _series_of(server: "_Server", wanted: Address) -> list[SeriesEntry]:
    filters = {"SeriesInstanceUID": wanted.series} if wanted.series else None
    fields = ["SeriesDescription", "NumberOfSeriesRelatedInstances"]
    items = server.search("series", "SeriesInstanceUID", wanted.study, search_filters=filters, fields=fields)
    entries = [
        SeriesEntry(
            Address(server.service, wanted.study, _uid(item, "SeriesInstanceUID", server.service)),
            _text(item, "Modality"),
            _text(item, "SeriesDescription"),
            int(count) if (count := _text(item, "NumberOfSeriesRelatedInstances")).isdigit() else None,
        )
        for item in items
    ]
    # A server may disregard what it was asked to filter by.
    entries = [entry for entry in entries if wanted.series in ("", entry.address.series)]
    if not entries:
        kind, uid = ("series", wanted.series) if wanted.series else ("study", wanted.study)
        raise UserError(f"{server.service} has no {kind} {uid}; check the UID, or list the studies of the server.")
    return entries


def _fetch(wanted: Address, folder: Path, progress: Listener, cancel: Cancel) -> None:
    server = _Server(wanted)
    instances = []
    for number, entry in enumerate(_series_of(server, wanted), start=1):
        cancel.check()
        place = folder / f"series-{number}"
        items = server.search("instances", "SOPInstanceUID", wanted.study, entry.address.series)
        uids = [_uid(item, "SOPInstanceUID", server.service) for item in items]
        # The server's UIDs are no file names: they are not this machine's to trust.
        instances += [(entry.address.series, uid, place / f"{n:06d}.dcm") for n, uid in enumerate(uids, start=1)]
    meter = Meter(progress, f"fetching from {server.service}", len(instances))
    for series, uid, path in instances:
        cancel.check()
        path.parent.mkdir(exist_ok=True)
        server.save(wanted.study, series, uid, path)
        meter.advance(1)


class _Server:
    """One DICOMweb service, whose troubles become sentences."""

    def __init__(self, address: Address) -> None:
        try:
            import requests
            from dicomweb_client.api import DICOMwebClient
        except ImportError as error:
            raise UserError(
                f"{address} can't be read without the Python package dicomweb-client; install slicervae[pacs]."
            ) from error
        self.service = address.service
        self._errors = requests.exceptions
        session = requests.Session()
        if (found := credentials()) is not None:
            session.auth = found  # what ~/.netrc says of the host, otherwise, by requests itself
        self._client = DICOMwebClient(address.service, session=session, permissive_uid=True, timeout=_TIMEOUT_S)
        self._client.set_http_retry_params(retry=False)  # it repeats answers of the server, not dropped connections

    def search(self, level: str, key: str, *within: str, **criteria: Any) -> Iterator[pydicom.Dataset]:
        """All entries of a level ("studies", "series", "instances") within some UIDs, each UID ``key`` once, a page at
        a time; a server that disregards pages gives everything again, and that ends it."""
        find = getattr(self._client, f"search_for_{level}")
        seen: set[str] = set()
        while True:
            page = self._ask(lambda: find(*within, limit=_PAGE, offset=len(seen), **criteria))
            new = []
            for item in (self._dataset(entry) for entry in page):
                uid = _text(item, key)
                if uid not in seen:
                    seen.add(uid)
                    new.append(item)
            yield from new
            if not new:
                return

    def save(self, study: str, series: str, instance: str, path: Path) -> None:
        """Write one instance to ``path`` in the transfer syntax that it is stored in."""

        def retrieve() -> pydicom.Dataset:
            # Not quiet(): what a person is told of Ctrl-C meanwhile is to be seen.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self._client.retrieve_instance(study, series, instance)

        try:
            dataset = self._ask(retrieve)
            if (found := _text(dataset, "SOPInstanceUID")) != instance:
                raise ValueError(f"instance {found or 'without UID'} came instead")
            dataset.save_as(path)
        except DAMAGE as error:
            raise UserError(
                f"{self.service} gave a damaged answer for the instance {instance} of the series {series}; try again, "
                "or export the study to a folder."
            ) from error
        except OSError as error:
            raise UserError(f"{path.parent} can't be written ({error.strerror or error}); free some space.") from error

    def _dataset(self, entry: dict[str, Any]) -> pydicom.Dataset:
        try:
            with quiet():
                return pydicom.Dataset.from_json(entry)
        except DAMAGE as error:
            raise self._is_no_dicomweb() from error

    def _ask(self, question: Callable[[], _T]) -> _T:
        """What the server answers, asked once more when the connection drops."""
        try:
            try:
                return question()
            except (self._errors.ChunkedEncodingError, self._errors.ConnectionError) as error:
                if isinstance(error, (self._errors.SSLError, self._errors.ConnectTimeout)):
                    raise
                return question()
        except self._errors.HTTPError as error:
            raise UserError(self._refusal(error.response.status_code, error.response.reason)) from error
        except self._errors.SSLError as error:
            raise UserError(
                f"{self.service} has a certificate that this machine does not trust; name your site's certificate file "
                "in the environment variable REQUESTS_CA_BUNDLE."
            ) from error
        except self._errors.Timeout as error:
            raise UserError(f"{self.service} does not answer in time; {_LATER}.") from error
        except (self._errors.JSONDecodeError, json.JSONDecodeError, KeyError) as error:
            raise self._is_no_dicomweb() from error
        except self._errors.RequestException as error:
            raise UserError(
                f"{self.service} can't be reached or drops the connection; check host and port, and that the server "
                "runs."
            ) from error

    def _refusal(self, status: int, reason: str) -> str:
        if status in (401, 407):
            return (
                f"{self.service} wants credentials, or does not accept them; put user and password into ~/.netrc, or "
                f"into {USER} and {PASSWORD}, or a token into {TOKEN}."
            )
        if status == 403:
            return f"{self.service} does not allow this user or machine to read it; ask who runs the server."
        if status in (400, 404):
            return f"{self.service} has nothing there; check the path of the DICOMweb service, and the UID."
        return f"{self.service} answers with an error ({status} {reason}); {_LATER}."

    def _is_no_dicomweb(self) -> UserError:
        return UserError(f"{self.service} does not answer as a DICOMweb service does; check the path after the port.")


def credentials() -> Any:
    """Those of the environment in the form that requests takes, None without."""
    token, user = os.environ.get(TOKEN), os.environ.get(USER)
    if token:

        def with_token(request: "PreparedRequest") -> "PreparedRequest":
            request.headers["Authorization"] = f"Bearer {token}"
            return request

        return with_token
    return (user, os.environ.get(PASSWORD, "")) if user else None


def _names_no_study(address: Address) -> str:
    entries = list_studies(address)
    rows = [
        "  " + ", ".join(filter(None, (str(e.address), e.patient, e.date, e.description, "/".join(e.modalities))))
        for e in entries[:_MOST_NAMED]
    ]
    if len(entries) > _MOST_NAMED:
        rows.append(f"  and {len(entries) - _MOST_NAMED} more")
    if not rows:
        return f"{address.service} has no studies; send some to the server first."
    return f"{address} names no study; give one of\n" + "\n".join(rows)


def _uid(item: pydicom.Dataset, name: str, service: str) -> str:
    uid = _text(item, name)
    if not is_uid(uid):
        raise UserError(f"{service} lists an entry without a usable {name} ({uid!r}); ask who runs the server.")
    return uid


def _text(item: pydicom.Dataset, name: str) -> str:
    return str(item.get(name) or "").strip()


def _texts(item: pydicom.Dataset, name: str) -> list[str]:
    value = item.get(name) or ()
    return [value] if isinstance(value, str) else [str(part) for part in value]
