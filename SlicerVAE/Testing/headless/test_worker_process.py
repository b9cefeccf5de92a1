"""The worker as a process: what it gives, how it dies, and that it leaves neither processes nor files."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.core.engine import SynthesizeRequest
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.worker import protocol
from SlicerVAELib.worker.arrays import Scratch
from SlicerVAELib.worker.client import WorkerEngine, worker_command, worker_environment
from Testing.headless.worker_helper import COMMAND, STEPS, SmallEngine, request

posix_only = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture
def worker(tmp_path):
    with WorkerEngine(COMMAND, tmp_path) as engine:
        yield engine
    assert files_below(tmp_path) == {"lock"}


def files_below(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*") if not path.is_dir()}


def lives(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    # A killed process stays in the table until its parent asks for it.
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(process_id)], capture_output=True, text=True, check=False)
    return state.stdout.strip()[:1] not in ("", "Z")


def wait_until(condition, timeout_s=5.0):
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


class Interruption:
    """Does something at the first progress, in a thread, as a person or the system would."""

    def __init__(self, action):
        self._action, self.began = action, None

    def __call__(self, _):
        if self.began is None:
            self.began = time.monotonic()
            threading.Thread(target=self._action).start()


def test_the_worker_is_ready_soon_and_says_which_process_it_is(worker):
    assert worker.process_id is None
    began = time.monotonic()
    worker.start()
    assert time.monotonic() - began < 5
    assert lives(worker.process_id) and worker.process_id != os.getpid()
    assert worker.info().process_id == worker.process_id


def test_a_result_is_the_same_as_in_this_process(worker, tmp_path):
    image = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(">f4").transpose(2, 0, 1)
    asked = request("echo", image[:, ::2], masks={"Lung_L": image[:, ::2] > 0, "$array": image[:, ::2] < 0})
    there, here = worker.reconstruct(asked), SmallEngine().reconstruct(asked)
    assert list(there.arrays) == list(here.arrays)
    for name, array in here.arrays.items():
        assert there.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(there.arrays[name], array)
    for name in ("anomaly_unit", "window", "slice_scores", "slice_positions_mm", "timings", "provenance"):
        assert getattr(there, name) == getattr(here, name)
    assert there.notices == (str(asked.volume.source), str(asked.bundle.absolute()))
    drawing = SynthesizeRequest(Path("m"), count=3, seed=2**62)
    np.testing.assert_array_equal(worker.synthesize(drawing).images, SmallEngine().synthesize(drawing).images)
    assert files_below(tmp_path) == {"lock", f"{worker_folder(tmp_path).name}.lock"}


def worker_folder(base: Path) -> Path:
    (folder,) = (path for path in base.glob("slicervae-*/*") if path.is_dir())
    return folder


def test_the_input_is_never_changed(worker):
    asked = request("changes_its_input")
    assert (worker.reconstruct(asked).arrays["image"] == 99).all()
    np.testing.assert_array_equal(asked.volume.array, request().volume.array)


def test_the_worker_stays_warm_between_requests(worker):
    worker.reconstruct(request())
    first = worker.process_id
    worker.reconstruct(request())
    assert worker.process_id == first


def test_progress_comes_at_most_twenty_times_a_second_in_this_thread_and_ends_with_the_last(worker):
    seen = []
    worker.reconstruct(request("steps"), lambda update: seen.append((update, time.monotonic(), threading.get_ident())))
    assert 4 <= len(seen) < STEPS / 5
    fractions = [progress.fraction for progress, _, _ in seen]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    elapsed = seen[-1][1] - seen[0][1]
    assert len(seen) <= 2 + elapsed / 0.045
    assert {thread for _, _, thread in seen} == {threading.get_ident()}


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("complains", "^The bundle is damaged; export it again.$"),
        ("runs_out_of_memory", "Memory ran out; close other programs"),
        ("has_a_bug", r"internal error \(KeyError: 'weights'\)"),
        ("returns_no_number", "can't be sent"),
    ],
)
def test_a_failing_request_is_one_sentence_leaves_no_file_and_the_worker_goes_on(worker, tmp_path, method, sentence):
    worker.start()
    first = worker.process_id
    with pytest.raises(UserError, match=sentence):
        worker.reconstruct(request(method))
    assert list(worker_folder(tmp_path).iterdir()) == []
    worker.reconstruct(request())
    assert worker.process_id == first


def test_what_a_library_prints_and_reads_does_not_disturb_the_messages(worker):
    result = worker.reconstruct(request("prints"))
    np.testing.assert_array_equal(result.arrays["image"], request().volume.array)
    assert worker.info().software == "test"


@posix_only
@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("crashes", "crashed .bad memory."),
        ("exits", "ended with exit code 3: the licence server is away; try again"),
    ],
)
def test_a_crash_is_one_sentence_and_the_next_request_starts_a_new_worker(worker, tmp_path, method, sentence):
    worker.start()
    first = worker.process_id
    with pytest.raises(UserError, match=sentence):
        worker.reconstruct(request(method))
    assert worker.process_id is None
    assert list(worker_folder(tmp_path).iterdir()) == []
    worker.reconstruct(request())
    assert worker.process_id not in (None, first)


@posix_only
def test_kill_9_at_work_is_one_sentence_and_the_next_request_starts_a_new_worker(worker, tmp_path):
    worker.start()
    first = worker.process_id
    with pytest.raises(UserError, match="ended by the system, most often because memory ran out"):
        worker.reconstruct(request("polls"), Interruption(lambda: os.kill(first, signal.SIGKILL)))
    assert list(worker_folder(tmp_path).iterdir()) == []
    np.testing.assert_array_equal(worker.reconstruct(request()).arrays["image"], request().volume.array)
    assert worker.process_id not in (None, first)


@posix_only
def test_kill_9_while_nothing_is_asked_is_not_even_noticed(worker):
    worker.start()
    first = worker.process_id
    os.kill(first, signal.SIGKILL)
    assert wait_until(lambda: not lives(first))
    worker.reconstruct(request())
    assert worker.process_id not in (None, first)


@posix_only
@pytest.mark.parametrize(("method", "survives"), [("polls", True), ("sticks", False), ("sticks_in_c", False)])
def test_cancel_answers_within_a_second_and_kills_what_does_not_listen(worker, tmp_path, method, survives):
    worker.start()
    first, cancel = worker.process_id, Cancel()
    interruption = Interruption(cancel.request)
    with pytest.raises(Cancelled):
        worker.reconstruct(request(method), interruption, cancel)
    assert time.monotonic() - interruption.began < 1
    assert lives(first) == survives or wait_until(lambda: lives(first) == survives)
    assert list(worker_folder(tmp_path).iterdir()) == []
    worker.reconstruct(request())
    assert (worker.process_id == first) == survives


def test_cancel_before_the_worker_is_ready_does_not_wait_for_it(worker):
    cancel = Cancel()
    cancel.request()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        worker.reconstruct(request(), cancel=cancel)
    assert time.monotonic() - began < 1
    worker.reconstruct(request(), cancel=Cancel())


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_listener_that_raises_stops_the_work(worker, tmp_path, error):
    worker.start()
    first = worker.process_id

    def listener(_):
        raise error

    with pytest.raises(error):
        worker.reconstruct(request("polls"), listener)
    assert list(worker_folder(tmp_path).iterdir()) == []
    worker.reconstruct(request())
    assert worker.process_id == first


def test_only_one_request_at_a_time(worker):
    worker.start()
    refusals = []

    def second():
        with pytest.raises(UserError, match="still at work") as refusal:
            worker.info()
        refusals.append(refusal)

    worker.reconstruct(request("steps"), Interruption(second))
    assert len(refusals) == 1


def test_close_ends_the_worker_at_once_even_at_work(tmp_path):
    engine = WorkerEngine(COMMAND, tmp_path)
    engine.start()
    first = engine.process_id
    interruption = Interruption(engine.close)
    with pytest.raises(Cancelled):
        engine.reconstruct(request("sticks"), interruption)
    assert time.monotonic() - interruption.began < 1
    assert wait_until(lambda: not lives(first))
    assert files_below(tmp_path) == {"lock"}
    with pytest.raises(RuntimeError, match="closed"):
        engine.info()


@posix_only
def test_close_ends_a_worker_that_does_not_listen(tmp_path):
    engine = WorkerEngine(COMMAND, tmp_path)
    engine.start()
    first = engine.process_id
    with pytest.raises(Cancelled):
        engine.reconstruct(request("sticks_in_c"), Interruption(engine.close))
    assert wait_until(lambda: not lives(first))


def test_an_engine_that_is_forgotten_ends_its_worker(tmp_path):
    engine = WorkerEngine(COMMAND, tmp_path)
    engine.start()
    first = engine.process_id
    del engine
    assert wait_until(lambda: not lives(first))
    assert files_below(tmp_path) == {"lock"}


def test_results_outlive_the_engine(tmp_path):
    with WorkerEngine(COMMAND, tmp_path) as engine:
        result = engine.reconstruct(request())
    np.testing.assert_array_equal(result.arrays["image"], request().volume.array)


def test_two_engines_at_once_do_not_meet(tmp_path):
    with WorkerEngine(COMMAND, tmp_path) as first, WorkerEngine(COMMAND, tmp_path) as second:
        inside = []
        array = np.full((2, 2, 2), 7)

        def nested(_):
            if not inside:
                inside.append(second.reconstruct(request(array=array)).arrays["image"])

        result = first.reconstruct(request("steps"), nested)
        assert first.process_id != second.process_id
        assert (inside[0] == 7).all() and result.arrays == {}


PROGRAM = """
import sys
from pathlib import Path
from SlicerVAELib.worker.client import WorkerEngine
from Testing.headless.worker_helper import COMMAND, request
engine = WorkerEngine(COMMAND, Path(sys.argv[1]))
engine.start()
print(engine.process_id, flush=True)
if sys.argv[2] == "works":
    engine.reconstruct(request("sticks"), lambda progress: print("at work", flush=True))
"""


@posix_only
@pytest.mark.parametrize("ending", ["exits", "works"])
def test_no_worker_and_no_file_survives_the_program_that_started_it(tmp_path, ending):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path), ending],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=worker_environment(),
    )
    worker_id = int(program.stdout.readline())
    if ending == "works":
        assert program.stdout.readline() == "at work\n"
        program.kill()
    _, complaints = program.communicate(timeout=20)
    assert wait_until(lambda: not lives(worker_id))
    assert wait_until(lambda: files_below(tmp_path) == {"lock"})
    assert complaints == ""


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (["no-such-python"], r"can't be started with 'no-such-python' \(No such file or directory\); choose a Python"),
        (
            [sys.executable, "-c", "import no_such_library"],
            "no_such_library is not installed in its Python",
        ),
        ([sys.executable, "-c", "raise SystemExit('no licence')"], "could not start: no licence; check the Python"),
        ([sys.executable, "-c", "print('hello')"], "could not start; check the Python"),
        (
            [sys.executable, "-c", 'print(\'{"kind": "ready", "protocol": 9}\', flush=True); input()'],
            "version 9 of the protocol and this program version 5; install the same",
        ),
    ],
)
def test_a_worker_that_does_not_start_is_one_sentence(tmp_path, command, sentence):
    with WorkerEngine(command, tmp_path) as engine:
        for _ in range(2):
            with pytest.raises(UserError, match=sentence):
                engine.reconstruct(request())
        assert list(worker_folder(tmp_path).iterdir()) == []


def test_a_worker_that_never_gets_ready_is_one_sentence_and_ended(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        WorkerEngine(command, tmp_path, start_timeout_s=0.3) as engine,
        pytest.raises(UserError, match=r"not ready 0.3 s after its start"),
    ):
        engine.start()


def test_a_python_without_torch_is_told_by_name(tmp_path):
    here = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (here / name).exists():
            (tmp_path / name).symlink_to(here / name)
    python = [sys.executable, "-S", "-c"]
    command = f"import sys, runpy; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = sys.argv[-2:]; "
    command += "runpy.run_module('SlicerVAELib.worker', run_name='__main__')"
    with (
        WorkerEngine([*python, command], tmp_path) as engine,
        pytest.raises(UserError, match=r"torch is not installed in .*python.*; install it there"),
    ):
        engine.start()


@posix_only
def test_the_process_behind_a_launcher_is_the_one_that_is_killed(tmp_path):
    launcher = [sys.executable, "-c", "import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:]))", *COMMAND]
    with WorkerEngine(launcher, tmp_path) as engine:
        engine.start()
        first, cancel = engine.process_id, Cancel()
        with pytest.raises(Cancelled):
            engine.reconstruct(request("sticks_in_c"), Interruption(cancel.request), cancel)
        assert wait_until(lambda: not lives(first))
        engine.reconstruct(request())


def test_a_launcher_that_leaves_a_line_unfinished_does_not_spoil_the_first_message(tmp_path):
    launcher = "import os, sys; os.write(1, b'Loading...'); os.execv(sys.argv[1], sys.argv[1:])"
    with WorkerEngine([sys.executable, "-c", launcher, *COMMAND], tmp_path, start_timeout_s=5) as engine:
        assert engine.info().software == "test"


class RawWorker:
    """The worker with nothing between the test and its pipes."""

    def __init__(self, scratch):
        self.process = subprocess.Popen(
            [*COMMAND, "--scratch", str(scratch.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=worker_environment(),
        )

    def send(self, *lines: bytes) -> None:
        self.process.stdin.write(b"".join(lines))
        self.process.stdin.flush()

    def answer(self) -> protocol.Answer:
        line = b"\n"
        while line == b"\n":
            line = self.process.stdout.readline()
        return protocol.decode(line.rstrip(b"\n"), protocol.ANSWERS)


@pytest.fixture
def raw_worker(tmp_path):
    scratch = Scratch.create(tmp_path)
    raw = RawWorker(scratch)
    yield raw
    raw.process.stdin.close()
    assert raw.process.wait(timeout=5) == 0
    raw.process.stdout.close()
    scratch.close()


def test_garbage_is_answered_and_the_next_request_too(raw_worker):
    assert isinstance(raw_worker.answer(), protocol.Ready)
    too_long = b"x" * (protocol.MAX_LINE + 5)
    garbage = [b"", b"\xff\xfe", b"{", b"[[[[[", b'{"kind": "dance", "id": 7}', too_long, b"[" * 50_000]
    raw_worker.send(*(line + b"\n" for line in garbage))
    failures = [raw_worker.answer() for _ in garbage[1:]]
    assert {failure.error for failure in failures} == {"protocol"}
    assert [failure.id for failure in failures] == [None, None, None, 7, None, None]
    raw_worker.send(b'{"kind": "reconstruct", "id": 8, "request": {"volume": {"$array": {"file": "../x"}}}}\n')
    assert (raw_worker.answer().error, raw_worker.process.poll()) == ("user", None)
    raw_worker.send(protocol.encode(protocol.Info(9)))
    assert isinstance(raw_worker.answer(), protocol.Result)


def test_a_second_request_at_work_is_refused_and_a_cancel_finds_the_right_one(raw_worker, tmp_path):
    assert isinstance(raw_worker.answer(), protocol.Ready)
    guest = Scratch(worker_folder(tmp_path))
    raw_worker.send(
        protocol.encode(protocol.Cancel(1)),
        protocol.encode(protocol.Reconstruct(1, protocol.pack(request("polls"), guest.write))),
        protocol.encode(protocol.Info(2)),
        protocol.encode(protocol.Cancel(2)),
    )
    answers = [raw_worker.answer()]
    while not isinstance(answers[-1], protocol.Failed):
        answers.append(raw_worker.answer())
    assert (answers[-1].id, answers[-1].error) == (2, "busy")
    assert isinstance(raw_worker.answer(), protocol.ProgressReport)
    raw_worker.send(protocol.encode(protocol.Cancel(1)))
    while isinstance(last := raw_worker.answer(), protocol.ProgressReport):
        pass
    assert (last.id, last.error) == (1, "cancelled")


def test_the_input_closing_ends_the_worker_at_once(tmp_path):
    scratch = Scratch.create(tmp_path)
    raw = RawWorker(scratch)
    assert isinstance(raw.answer(), protocol.Ready)
    guest = Scratch(worker_folder(tmp_path))
    raw.send(protocol.encode(protocol.Reconstruct(1, protocol.pack(request("sticks"), guest.write))))
    assert isinstance(raw.answer(), protocol.ProgressReport)
    scratch.close()
    began = time.monotonic()
    raw.process.stdin.close()
    assert raw.process.wait(timeout=5) == 0
    assert time.monotonic() - began < 1
    raw.process.stdout.close()


def test_this_process_stays_free_of_torch():
    code = "import sys, SlicerVAELib.worker.client; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=worker_environment(), check=False).returncode == 0


@pytest.mark.parametrize("python_path", [None, "/elsewhere"])
def test_the_worker_finds_this_library_first(monkeypatch, python_path):
    with contextlib.suppress(KeyError):
        monkeypatch.delenv("PYTHONPATH")
    if python_path:
        monkeypatch.setenv("PYTHONPATH", python_path)
    paths = worker_environment()["PYTHONPATH"].split(os.pathsep)
    assert (Path(paths[0]) / "SlicerVAELib" / "worker" / "client.py").exists()
    assert paths[1:] == ([python_path] if python_path else [])
    assert worker_command("python")[-2:] == ["-m", "SlicerVAELib.worker"]
