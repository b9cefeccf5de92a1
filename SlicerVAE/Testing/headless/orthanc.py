"""A real PACS for the tests: Orthanc with its DICOMweb plug-in, as Debian packages them."""

import base64
import contextlib
import dataclasses
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

_PROGRAM = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
_SETPRIV = shutil.which("setpriv")
_START_S = 20.0
_TRIES = 5


@dataclasses.dataclass(frozen=True)
class Orthanc:
    """A running server: ``address`` is the root of its DICOMweb for ``slicervae``, ``port`` where it listens."""

    process: subprocess.Popen
    port: int
    user: tuple[str, str] | None

    @property
    def address(self) -> str:
        return f"dicomweb+http://127.0.0.1:{self.port}/dicom-web"

    def store(self, files: Iterable[Path]) -> None:
        """Send DICOM files to it by STOW-RS."""
        import pydicom
        import requests
        from dicomweb_client.api import DICOMwebClient

        session = requests.Session()
        session.auth = self.user
        client = DICOMwebClient(f"http://127.0.0.1:{self.port}/dicom-web", session=session)
        answer = client.store_instances([pydicom.dcmread(path) for path in files])
        assert not answer.get("FailedSOPSequence"), answer


def require_orthanc() -> None:
    """Skip the test where Orthanc is not installed; fail in CI."""
    missing = [str(name) for name, there in (("Orthanc", _PROGRAM), (_PLUGIN, _PLUGIN.exists())) if not there]
    if not missing and not _SETPRIV:
        missing = ["setpriv, without which Orthanc could outlive the tests"]
    if missing:
        reason = f"there is no {' and no '.join(missing)}; install the Debian packages orthanc and orthanc-dicomweb"
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have a real PACS: {reason}")
        pytest.skip(reason)


@contextlib.contextmanager
def running(folder: Path, *, user: tuple[str, str] | None = None) -> Iterator[Orthanc]:
    """Run Orthanc with its storage in ``folder``. It answers this machine only, anybody there unless ``user`` (name and
    password) is given, and dies with the process that runs the tests, however that ends."""
    require_orthanc()
    folder.mkdir(parents=True, exist_ok=True)
    server = _start(folder, user)
    try:
        yield server
    finally:
        server.process.kill()  # it takes seconds to stop in good order, and nothing of it is kept
        server.process.wait()


def _start(folder: Path, user: tuple[str, str] | None) -> Orthanc:
    for _ in range(_TRIES):
        port = free_port()
        configuration = folder / "orthanc.json"
        configuration.write_text(json.dumps(_configuration(folder, port, user)))
        with (folder / "log.txt").open("wb") as log:
            # The kernel ends it when the tests' process ends, by a kill too.
            process = subprocess.Popen(
                [str(_SETPRIV), "--pdeathsig", "KILL", str(_PROGRAM), str(configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        server = Orthanc(process, port, user)
        if _answers(server, str(folder)):
            return server
        process.kill()
        process.wait()
    raise AssertionError(f"Orthanc does not start:\n{(folder / 'log.txt').read_text(errors='replace')[-2000:]}")


def _configuration(folder: Path, port: int, user: tuple[str, str] | None) -> dict[str, object]:
    return {
        "Name": str(folder),
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": port,
        "RemoteAccessAllowed": False,
        "DicomServerEnabled": False,
        "AuthenticationEnabled": user is not None,
        "RegisteredUsers": dict([user] if user else []),
        "Plugins": [str(_PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "HttpThreadsCount": 4,
    }


def _answers(server: Orthanc, name: str) -> bool:
    """Whether the server of that name answers before long; False when it gave up, or somebody was quicker to take the
    port."""
    deadline = time.monotonic() + _START_S
    while server.process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError, http.client.HTTPException, ValueError),
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=1)) as connection,
        ):
            connection.request("GET", "/system", headers=_authorization(server.user))
            return json.loads(connection.getresponse().read())["Name"] == name
        time.sleep(0.05)
    return False


def _authorization(user: tuple[str, str] | None) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(':'.join(user).encode()).decode()}"} if user else {}


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
