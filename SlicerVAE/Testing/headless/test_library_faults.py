"""Damaged, newer, foreign, read-only libraries and full disks: one sentence each, and nothing changed."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library import network_share
from SlicerVAELib.library.access import create_library, open_library
from SlicerVAELib.library.digests import digest_of
from SlicerVAELib.library.maintenance import compact, verify
from SlicerVAELib.library.network_share import Placement
from SlicerVAELib.library.store import Library
from Testing.headless.library_processes import add_with_little_room, forking
from Testing.headless.library_samples import BUNDLE, KEY, identity, new_library, record, stack
from Testing.headless.ordinary_person import ordinary_person, reachable_folder

FLIPS = 50


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A library file of three patients and a reveal, closed."""
    path = tmp_path_factory.mktemp("whole") / "library.sqlite"
    with new_library(path, 3) as library:
        library.reveal(library.pseudonyms()[1], "to compare plans")
    return path


@pytest.fixture
def copy(whole, tmp_path) -> Path:
    return shutil.copy(whole, tmp_path / "library.sqlite")


def contents(library: Library) -> bytes:
    """A digest of all that a person can read in a library."""
    records = tuple(library.record(name) for name in library.pseudonyms())
    return digest_of(records, library.list(), library.reveals(), library.description.bundle)


def is_one_sentence(error: UserError) -> bool:
    text = str(error)
    return text.endswith((".", "]'")) and "\n" not in text and "Traceback" not in text


def test_flipped_bits_are_noticed_or_harmless(whole, tmp_path):
    original = whole.read_bytes()
    path = tmp_path / "library.sqlite"
    rng = np.random.default_rng(3)
    path.write_bytes(original)
    with open_library(path, KEY) as library:
        expected = contents(library)
    noticed = 0
    written = np.flatnonzero(np.frombuffer(original, np.uint8))  # most of so small a library is empty
    for place in rng.choice(written, FLIPS, replace=False):
        damaged = bytearray(original)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            with open_library(path, KEY) as library:
                if verify(library).is_whole:
                    assert contents(library) == expected, f"bit of byte {place} went unnoticed"
                    continue
        except UserError as error:
            assert is_one_sentence(error), error
        noticed += 1
    assert noticed > FLIPS / 2


@pytest.mark.parametrize("keep", [0, 10, 3000, 20_000])
def test_a_truncated_library_is_a_sentence(copy, keep):
    copy.write_bytes(copy.read_bytes()[:keep])
    with pytest.raises(UserError) as raised, open_library(copy, KEY) as library:
        assert not verify(library).is_whole
        contents(library)
    assert is_one_sentence(raised.value)


def test_damaged_posteriors_are_never_searched(copy, monkeypatch, tmp_path):
    monkeypatch.setenv("SLICERVAE_CACHE", str(tmp_path / "cache"))
    content = copy.read_bytes()
    place = content.index(stack(1).mean.tobytes())
    copy.write_bytes(content[: place + 2] + b"\x7f" + content[place + 3 :])
    with open_library(copy, KEY) as library:
        with pytest.raises(UserError, match=r"damaged \(posteriors: their checksum is wrong\)"):
            library.search_index()
        (fault,) = verify(library).faults
        assert KEY.pseudonym("HOSPITAL-000001") in fault
        assert library.record(KEY.pseudonym("HOSPITAL-000002"))


@pytest.mark.parametrize("what", ["text", "picture", "database"])
def test_a_file_that_is_no_library_is_left_alone(tmp_path, what):
    path = tmp_path / "file"
    if what == "database":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE recipes (name)")
        connection.close()
    else:
        path.write_bytes(b"notes of a meeting\n" * 100 if what == "text" else b"\x89PNG\r\n\x1a\n" + bytes(5000))
    before = path.read_bytes()
    with pytest.raises(UserError, match="no patient library") as raised:
        open_library(path, KEY)
    assert is_one_sentence(raised.value)
    with pytest.raises(UserError, match="exists already"):
        create_library(path, KEY, BUNDLE)
    if what != "database":
        assert path.read_bytes() == before


def test_a_missing_library_is_not_made(tmp_path):
    with pytest.raises(UserError, match="no library at"):
        open_library(tmp_path / "library.sqlite", KEY)
    assert list(tmp_path.iterdir()) == []


def test_a_library_of_newer_software_is_refused(copy):
    with sqlite3.connect(copy) as connection:
        connection.execute("UPDATE library SET schema_version = 99")
    connection.close()
    with pytest.raises(UserError, match=r"version 99, newer .* update SlicerVAE"):
        open_library(copy, KEY)


def test_a_read_only_library_is_read_and_not_changed(whole):
    with reachable_folder() as folder:
        path = folder / "library.sqlite"
        shutil.copy(whole, path)
        path.chmod(0o444)
        folder.chmod(0o555)
        before = path.read_bytes()
        with ordinary_person(), open_library(path, KEY) as library:
            assert len(library.list()) == 3
            assert library.record(library.pseudonyms()[0]).tags == ("trial", "year 0")
            assert verify(library).is_whole
            for change in (
                lambda: library.add(identity(5), record(5)),
                lambda: library.remove(library.pseudonyms()[0]),
                lambda: library.reveal(library.pseudonyms()[0], "to compare plans"),
                lambda: compact(library),
            ):
                with pytest.raises(UserError, match="read-only"):
                    change()
        assert path.read_bytes() == before
        assert [file.name for file in folder.iterdir()] == ["library.sqlite"]


def test_the_search_of_a_read_only_library_lies_in_the_users_cache(whole, monkeypatch):
    with reachable_folder() as folder:
        (folder / "library").mkdir()
        path = Path(shutil.copy(whole, folder / "library" / "library.sqlite"))
        path.chmod(0o444)
        path.parent.chmod(0o555)
        cache = folder / "cache"
        cache.mkdir(mode=0o777)
        cache.chmod(0o777)
        monkeypatch.setenv("SLICERVAE_CACHE", str(cache))
        with ordinary_person(), open_library(path) as library:
            assert len(library.search_index().matrix) == 15
        assert next(cache.rglob("mean.npy")).stat().st_size > 0
        path.parent.chmod(0o755)


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX'")
@pytest.mark.parametrize("room", [1 << 14, 1 << 17])
def test_a_disk_that_takes_no_more_leaves_the_library_as_it_was(copy, room):
    with open_library(copy, KEY) as library:
        before = digest_of(library.list())
    context = forking()
    ours, theirs = context.Pipe()
    process = context.Process(target=add_with_little_room, args=(str(copy), room, theirs))
    process.start()
    theirs.close()
    process.join(60)
    assert process.exitcode == 0
    sentence = ours.recv()
    assert "disk" in sentence
    assert sentence.endswith("try again.")
    with open_library(copy, KEY) as library:
        assert verify(library).is_whole
        assert digest_of(library.list()) == before
        assert library.add(identity(9), record(9))


def test_a_library_that_can_not_be_made_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="can't be made"):
        create_library(tmp_path / "missing" / "library.sqlite", KEY, BUNDLE)
    assert list(tmp_path.iterdir()) == []


def test_on_a_share_there_is_no_write_ahead_log(tmp_path, monkeypatch):
    path = tmp_path / "library.sqlite"
    with new_library(path, 1) as library, library.database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
    share = network_share.Mount(str(tmp_path), "nfs4")
    monkeypatch.setattr("SlicerVAELib.library.network_share.mounts_in", lambda _: [share])
    with open_library(path, KEY) as library:
        assert library.add(identity(5), record(5))
        with library.database.reading() as connection:
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "delete"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["library.sqlite"]


def test_where_nothing_can_be_locked_no_library_is_opened_or_made(copy, monkeypatch):
    monkeypatch.setattr("SlicerVAELib.library.connections.placement_of", lambda _: Placement.WITHOUT_LOCKS)
    monkeypatch.setattr("SlicerVAELib.library.opening.placement_of", lambda _: Placement.WITHOUT_LOCKS)
    with pytest.raises(UserError, match="can't be locked"):
        open_library(copy, KEY)
    with pytest.raises(UserError, match="can't be locked"):
        create_library(copy.parent / "other.sqlite", KEY, BUNDLE)


def test_a_server_that_is_not_there_is_a_sentence_without_the_password(tmp_path):
    with pytest.raises(UserError, match="can't be reached") as raised:
        open_library(f"postgresql://anna:secret@/plans?host={tmp_path}", KEY)
    assert is_one_sentence(raised.value)
    assert "secret" not in str(raised.value)
    with pytest.raises(UserError, match=r"localhost:1/plans can't be reached \(Connection refused\);"):
        open_library("postgresql://anna@localhost:1/plans", KEY)


def test_a_database_that_is_none_or_no_library_is_a_sentence(postgres_server):
    with pytest.raises(UserError, match=r"postgres@/missing can't be reached .*does not exist"):
        open_library(postgres_server.format("missing"), KEY)
    with pytest.raises(UserError, match="is no patient library"):
        open_library(postgres_server.format("postgres"), KEY)


def test_the_search_files_are_as_private_as_the_library(copy):
    copy.chmod(0o640)
    with open_library(copy) as library:
        library.search_index()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in copy.parent.rglob("*.search/**/*") if path.is_file()}
    assert modes == {0o640}


@pytest.mark.parametrize("package", ["sqlalchemy", "cryptography"])
def test_without_its_packages_the_library_says_which_one_it_needs(tmp_path, package):
    script = f"""
import sys
sys.modules[{package!r}] = None
sys.path[:0] = {sys.path!r}
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library import address, network_share, records
from SlicerVAELib.library.access import create_library, create_site_key, load_site_key, open_library
try:
    open_library("library.sqlite")
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert package in done.stdout.lower()
    assert "pip install 'slicervae[library]'" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_server_without_its_packages_is_a_sentence(monkeypatch, postgres_server):
    with monkeypatch.context() as patch, pytest.raises(UserError, match=r"needs the package psycopg.*library-server"):
        patch.setitem(sys.modules, "psycopg", None)
        open_library(postgres_server.format("postgres"))
