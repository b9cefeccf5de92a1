"""Several processes at one library, and processes that die."""

import contextlib
import os
import random
import signal
import time

import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library.access import open_library
from SlicerVAELib.library.maintenance import verify
from Testing.headless.library_processes import forking, read_until, write_all, write_until_killed
from Testing.headless.library_samples import KEY, bare_record, identity, new_library
from Testing.headless.postgres import new_database

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX'")
KILLS, LIBRARIES, PATIENTS = 50, 10, 8
SERVER_KILLS = 5


@pytest.mark.parametrize("seed", range(LIBRARIES))
def test_a_killed_writer_leaves_whole_patients_and_a_whole_library(tmp_path, seed):
    check_killed_writers(str(tmp_path / "library.sqlite"), KILLS // LIBRARIES, seed)


def test_a_killed_writer_leaves_a_whole_library_on_a_server(postgres_server):
    check_killed_writers(new_database(postgres_server, "killed"), SERVER_KILLS, LIBRARIES)


def check_killed_writers(address: str, kills: int, seed: int) -> None:
    """Kill a writer at so many random moments; what it told of stays, and nothing half."""
    new_library(address).close()
    context, moments = forking(), random.Random(seed)
    survived = 0
    for _ in range(kills):
        ours, theirs = context.Pipe()
        writer = context.Process(target=write_until_killed, args=(address, survived, theirs))
        writer.start()
        theirs.close()
        assert ours.poll(60), "the writer writes nothing"
        time.sleep(moments.uniform(0, 0.03))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(60)
        told = survived
        with contextlib.suppress(EOFError):
            while ours.poll(60):
                told = ours.recv() + 1
        with open_library(address, KEY) as library:
            with library.writing():  # a server may still have the last words of who was killed to carry out
                pass
            report = verify(library)
            assert report.faults == ()
            assert report.slices == 3 * report.patients == 3 * report.series
            # All that the writer told of is there, and at most the one that it was about to tell of.
            assert report.patients in (told, told + 1)
            assert library.add(identity(told), bare_record(told)) is (report.patients == told)
        survived = told + 1
    with open_library(address, KEY) as library:
        report = verify(library)
        assert (report.patients, report.faults) == (survived, ())


def test_writers_and_readers_at_once(library_address, tmp_path):
    new_library(library_address).close()
    context = forking()
    pipes = [context.Pipe() for _ in range(6)]
    work = [(write_all, (library_address, PATIENTS, seed)) for seed in (1, 2)]
    work += [(read_until, (library_address, PATIENTS, str(tmp_path / "cache"))) for _ in range(4)]
    processes = [
        context.Process(target=target, args=(*words, theirs))
        for (target, words), (_, theirs) in zip(work, pipes, strict=True)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 6
    told = [ours.recv() for ours, _ in pipes]
    assert sum(told[:2]) == PATIENTS
    assert told[2:] == [[], [], [], []]
    with open_library(library_address, KEY) as library:
        report = verify(library)
        assert (report.patients, report.faults) == (PATIENTS, ())


def test_a_library_in_use_is_a_sentence(library_address):
    new_library(library_address).close()
    with open_library(library_address, KEY) as busy, open_library(library_address, KEY, wait_s=0.2) as waiting:
        with busy.writing(), pytest.raises(UserError, match="in use by another program"):
            waiting.add(identity(1), bare_record(1))
        assert waiting.add(identity(1), bare_record(1))
