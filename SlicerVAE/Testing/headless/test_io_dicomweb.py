"""Studies are listed on a real DICOMweb server and fetched from it as they were stored; what goes wrong is told."""

import contextlib
import functools
import http.server
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.io import dicomweb
from SlicerVAELib.io.dicomweb import fetched, list_series, list_studies, local_copy
from SlicerVAELib.io.dicomweb_address import parse_address
from SlicerVAELib.io.discover import discover
from Testing.headless import orthanc
from Testing.headless.dicom_series import STUDY_UID, series_uid, stored_ct, write_series
from Testing.headless.orthanc import free_port, require_orthanc, running

if os.environ.get("CI") != "true":
    pytest.importorskip("dicomweb_client", reason="the PACS needs the package dicomweb-client")

STUDY = f"studies/{STUDY_UID}"


@pytest.fixture(autouse=True)
def no_proxies_or_credentials_of_the_person(monkeypatch, tmp_path):
    for name in (
        "http_proxy",
        "HTTP_PROXY",
        "all_proxy",
        "ALL_PROXY",
        dicomweb.USER,
        dicomweb.PASSWORD,
        dicomweb.TOKEN,
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    """Two phantom patients: CT, structure set, plan and dose."""
    from slicervae.phantom import write_cohort

    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(folder, patients=2, seed=1, size=32, slices=10, lesion_share=0)
    return folder


@pytest.fixture(scope="module")
def pacs(tmp_path_factory, cohort):
    """A server that has the two patients, and a study of two series beside them."""
    with running(tmp_path_factory.mktemp("orthanc")) as server:
        server.store(sorted(cohort.rglob("*.dcm")))
        folder = tmp_path_factory.mktemp("two-series")
        server.store(write_series(folder, stored_ct(), name="a", description="Thorax"))
        server.store(write_series(folder, stored_ct(seed=1), name="b", description="Abdomen", number=4))
        yield server


def refusal(address: str) -> str:
    with pytest.raises(UserError) as caught, fetched(address):
        pass
    sentence = str(caught.value)
    assert sentence.endswith(".") and "\n" not in sentence
    return sentence


# The address


def test_an_address_names_a_server_a_study_or_a_series():
    root = parse_address("dicomweb+https://pacs.example/dicom-web/")
    assert (root.service, root.study, root.series) == ("https://pacs.example/dicom-web", "", "")
    study = parse_address("DICOMWEB+http://pacs.example:8042/a/b/studies/1.2.3")
    assert (study.service, study.study) == ("http://pacs.example:8042/a/b", "1.2.3")
    series = parse_address("dicomweb+http://[::1]:8042/studies/1.2.3/series/1.2.4")
    assert (series.service, series.study, series.series) == ("http://[::1]:8042", "1.2.3", "1.2.4")
    assert parse_address(str(series)) == series


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("dicomweb://pacs.example/studies/1.2", "names no DICOMweb server"),
        ("dicomweb+ftp://pacs.example/studies/1.2", "names no DICOMweb server"),
        ("dicomweb+http:/pacs.example/studies/1.2", "names no DICOMweb server"),
        ("dicomweb+http://pacs.example:x/studies/1.2", "can't be read"),
        ("dicomweb+http://pacs.example/studies/../../etc", "goes on after"),
        ("dicomweb+http://pacs.example/studies/..", "no UID"),
        ("dicomweb+http://pacs.example/studies/1.2%2f3", "no UID"),
        ("dicomweb+http://pacs.example/studies/1.2/series/x", "no UID"),
        ("dicomweb+http://pacs.example/studies/1.2/series/1.3/instances/1.4", "goes on after"),
        ("dicomweb+http://pacs.example/studies/1.2?limit=1", "'?'"),
    ],
)
def test_an_address_that_leads_nowhere_is_refused(address, told):
    assert told in refusal(address)


@pytest.mark.parametrize("port", ["8042", "x"])
def test_credentials_in_an_address_are_refused_and_not_repeated(port):
    told = refusal(f"dicomweb+http://ann:s3cret@pacs.example:{port}/studies/1.2")
    assert "s3cret" not in told and "ann" not in told


def test_a_path_is_no_address_and_stays_where_it_is(tmp_path):
    for given in (tmp_path, str(tmp_path)):
        with local_copy(given) as path:
            assert path == tmp_path
    assert tmp_path.is_dir()


# A real PACS


def test_the_phantom_cohort_comes_back_bit_for_bit(pacs, cohort):
    stored = {item.patient: item for item in discover(cohort)}
    entries = {entry.patient: entry for entry in list_studies(pacs.address)}
    assert len(stored) == 2 and set(stored) <= set(entries)
    for patient, item in stored.items():
        entry = entries[patient]
        assert entry.modalities == ("CT", "RTDOSE", "RTPLAN", "RTSTRUCT")
        assert entry.address.study == item.study and entry.date == "20000101"
        told = []
        with fetched(entry.address, progress=told.append) as folder:
            assert len(list(folder.rglob("*.dcm"))) == 13
            (back,) = discover(folder)
            ours, theirs = item.read(), back.read()
            for path in folder.rglob("*.dcm"):
                received = pydicom.dcmread(path)
                (sent,) = [
                    dataset
                    for dataset in map(pydicom.dcmread, (cohort / patient).rglob("*.dcm"))
                    if dataset.SOPInstanceUID == received.SOPInstanceUID
                ]
                assert received == sent
        assert not folder.exists()
        assert theirs.array.dtype == ours.array.dtype and np.array_equal(theirs.array, ours.array)
        assert theirs.geometry.shape == ours.geometry.shape
        assert np.array_equal(theirs.geometry.ijk_to_ras, ours.geometry.ijk_to_ras)
        assert (theirs.source.patient, theirs.source.series_uid) == (patient, ours.source.series_uid)
        assert len(back.mask_files) == 1
        assert told[-1].fraction == 1 and "127.0.0.1" in told[-1].stage


def test_a_study_of_several_series_is_listed_and_one_of_them_fetched(pacs):
    entries = list_series(f"{pacs.address}/{STUDY}")
    assert {(entry.description, entry.modality, entry.instances) for entry in entries} == {
        ("Thorax", "CT", 5),
        ("Abdomen", "CT", 5),
    }
    with local_copy(f"{pacs.address}/{STUDY}/series/{series_uid('b')}") as folder:
        (found,) = discover(folder)
        assert found.description == "Abdomen"
        assert np.array_equal(found.read().array, stored_ct(seed=1).astype(np.int16) - 1024)


def test_compressed_pixels_come_as_they_are_stored(pacs):
    original = pydicom.dcmread(get_testdata_file("MR_small_RLE.dcm"))
    pacs.store([Path(get_testdata_file("MR_small_RLE.dcm"))])
    with fetched(f"{pacs.address}/studies/{original.StudyInstanceUID}") as folder:
        (path,) = folder.rglob("*.dcm")
        received = pydicom.dcmread(path)
        assert received.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID
        assert np.array_equal(received.pixel_array, original.pixel_array)


def test_an_address_without_a_study_lists_those_of_the_server(pacs):
    with pytest.raises(UserError) as caught, fetched(pacs.address):
        pass
    assert str(caught.value).count(f"  {pacs.address}/studies/") >= 3
    assert f"  {pacs.address}/{STUDY}, P1, CT" in str(caught.value)


def test_cancelling_stops_between_instances_and_leaves_nothing(pacs, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    cancel = Cancel()

    def stop(progress):
        if progress.fraction > 0.2:
            cancel.request()

    with pytest.raises(Cancelled), fetched(f"{pacs.address}/{STUDY}", progress=stop, cancel=cancel):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_the_server_does_not_have_is_told(pacs):
    assert "has no study 1.2.3" in refusal(f"{pacs.address}/studies/1.2.3")
    assert "has no series 1.2.3" in refusal(f"{pacs.address}/{STUDY}/series/1.2.3")
    assert "path of the DICOMweb service" in refusal(f"{pacs.address}-not/{STUDY}")
    # Orthanc's own interface, where the path of its DICOMweb is forgotten.
    assert "path of the DICOMweb service" in refusal(f"dicomweb+http://127.0.0.1:{pacs.port}")
    assert "path of the DICOMweb service" in refusal(f"dicomweb+http://127.0.0.1:{pacs.port}/{STUDY}")


@pytest.mark.parametrize("answer", ["<html>Welcome</html>", '["one"]', '{"message": "no"}', '[{"0020000E": 7}]'])
def test_a_web_server_that_is_no_dicomweb_is_told(tmp_path, answer):
    place = tmp_path / STUDY / "series"
    place.parent.mkdir(parents=True)
    place.write_text(answer)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told = refusal(f"dicomweb+http://127.0.0.1:{server.server_port}/{STUDY}")
        server.shutdown()
    assert "does not answer as a DICOMweb service does" in told or "without a usable SeriesInstanceUID" in told


def test_a_server_that_is_not_there_is_told():
    assert "can't be reached" in refusal(f"dicomweb+http://127.0.0.1:{free_port()}/{STUDY}")


def test_a_silent_server_is_told(monkeypatch):
    monkeypatch.setattr(dicomweb, "_TIMEOUT_S", (0.3, 0.3))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert "does not answer in time" in refusal(f"dicomweb+http://127.0.0.1:{silent.getsockname()[1]}/{STUDY}")


class Cable:
    """A relay to a port of this machine, whose n-th connections (from 1) break in the midst of the answer."""

    def __init__(self, port: int, broken: set[int]) -> None:
        self._target, self._broken, self.connections = port, broken, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                caller, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(
                    target=self._relay, args=(caller, self.connections in self._broken), daemon=True
                ).start()

    def _relay(self, caller: socket.socket, breaks: bool) -> None:
        with caller, socket.create_connection(("127.0.0.1", self._target)) as server, contextlib.suppress(OSError):
            # One request a connection, so that the connections can be counted. The answer has to say so, or the caller
            # keeps the connection and may ask on it just before it learns that it is closed.
            server.sendall(caller.recv(65536).replace(b"keep-alive", b"close"))
            head, body = self._head(server)
            caller.sendall(head.replace(b"Connection: keep-alive", b"Connection: close"))
            caller.sendall(body or server.recv(300))
            while not breaks and (piece := server.recv(300)):
                caller.sendall(piece)

    @staticmethod
    def _head(server: socket.socket) -> tuple[bytes, bytes]:
        """The answer's head with its empty line, and what came with it of the body."""
        received = b""
        while b"\r\n\r\n" not in received and (piece := server.recv(300)):
            received += piece
        head, end, beginning = received.partition(b"\r\n\r\n")
        return head + end, beginning


@contextlib.contextmanager
def cable(port: int, broken: set[int]):
    made = Cable(port, broken)
    try:
        yield made
    finally:
        made.close()


def test_a_dropped_connection_is_tried_once_more(pacs):
    address = f"{STUDY}/series/{series_uid('a')}"
    with cable(pacs.port, set()) as whole, fetched(f"dicomweb+http://127.0.0.1:{whole.port}/dicom-web/{address}"):
        needed = whole.connections
    with cable(pacs.port, {needed - 1}) as broken:
        with fetched(f"dicomweb+http://127.0.0.1:{broken.port}/dicom-web/{address}") as folder:
            (found,) = discover(folder)
            assert np.array_equal(found.read().array, stored_ct().astype(np.int16) - 1024)
        assert broken.connections == needed + 1
    with cable(pacs.port, {needed - 1, needed}) as broken:
        told = refusal(f"dicomweb+http://127.0.0.1:{broken.port}/dicom-web/{address}")
        assert "drops the connection" in told


def test_credentials_come_from_the_environment_or_netrc(tmp_path, monkeypatch):
    with running(tmp_path / "orthanc", user=("ann", "s3cret")) as server:
        server.store(write_series(tmp_path / "a", stored_ct()))
        address = f"{server.address}/{STUDY}"
        assert "wants credentials" in refusal(address)
        monkeypatch.setenv(dicomweb.USER, "ann")
        monkeypatch.setenv(dicomweb.PASSWORD, "wrong")
        assert "wrong" not in refusal(address)
        monkeypatch.setenv(dicomweb.PASSWORD, "s3cret")
        assert len(list_series(address)) == 1
        monkeypatch.delenv(dicomweb.USER)
        Path(os.environ["NETRC"]).write_text("machine 127.0.0.1 login ann password s3cret\n")
        assert len(list_series(address)) == 1
        monkeypatch.setenv(dicomweb.TOKEN, "no-such-token")
        assert "wants credentials" in refusal(address)


def test_without_orthanc_a_person_skips_and_ci_fails(monkeypatch):
    monkeypatch.setattr(orthanc, "_PROGRAM", None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="orthanc-dicomweb"):
        require_orthanc()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="CI must have a real PACS"):
        require_orthanc()


def test_the_server_does_not_outlive_a_killed_test_run(tmp_path):
    require_orthanc()
    script = f"""
        import time
        from pathlib import Path
        from Testing.headless.orthanc import running
        with running(Path({str(tmp_path)!r})) as server:
            print(server.process.pid, flush=True)
            time.sleep(60)
    """
    words = [sys.executable, "-c", textwrap.dedent(script)]
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(root)}) as run:
        server = int(run.stdout.readline())
        os.kill(server, 0)
        run.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _runs(server):
        time.sleep(0.05)
    assert not _runs(server)


def _runs(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
