"""The panel's runner: the real worker process on the real Qt event loop."""

import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.core.engine import Hardware, ReconstructRequest, SynthesizeRequest
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume
from SlicerVAELib.panel.offers import Device
from SlicerVAELib.panel.presenters.reconstruct import ReconstructPresenter
from SlicerVAELib.panel.readiness import override

pytest.importorskip("PySide6", reason="the event loop needs the package PySide6-Essentials")

from PySide6.QtCore import QEventLoop, QTimer

from Testing.headless import qt_stand_in
from Testing.headless.panel_helper import Parameters, Window, make_panel

CPU = Hardware("cpu")


class Listener:
    """Keeps what it is told and ends the wait when it is over."""

    def __init__(self):
        self.progress, self.outcomes, self._loop = [], [], QEventLoop()
        self.on_progress = lambda: None

    def progressed(self, progress):
        self.progress.append(progress)
        self.on_progress()

    def finished(self, result):
        self.outcomes.append(result)
        self._loop.quit()

    def failed(self, error):
        self.outcomes.append(error)
        self._loop.quit()

    def wait(self, limit_s: float = 60.0):
        if not self.outcomes:
            QTimer.singleShot(int(limit_s * 1000), self._loop.quit)
            self._loop.exec()
        assert len(self.outcomes) == 1, "the worker did not answer, or twice"
        return self.outcomes[0]


@pytest.fixture(scope="module")
def runner_class():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "qt", qt_stand_in.pythonqt())
        patch.delitem(sys.modules, "SlicerVAELib.panel.worker_process", raising=False)
        from SlicerVAELib.panel.worker_process import WorkerProcess

        yield WorkerProcess
        del sys.modules["SlicerVAELib.panel.worker_process"]


@pytest.fixture
def make_runner(runner_class):
    made = []

    def make(python=lambda: sys.executable):
        made.append(runner_class(python))
        return made[-1]

    yield make
    for runner in made:
        runner.close()


@pytest.fixture(scope="module")
def runner(runner_class):
    """One runner for all tests that leave it as good as they found it, or show that it recovers."""
    runner = runner_class(lambda: sys.executable)
    yield runner
    runner.close()


def thorax(slices: int = 8, seed: int = 0) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 600, (slices, 48, 48), dtype=np.int16)
    return Volume(array, Geometry(array.shape, np.diag([-8.0, -8.0, 5.0, 1.0])), Modality.CT, source=Source("thorax"))


def ask(runner, request):
    listener = Listener()
    runner.start(request, listener)
    return listener.wait()


def lives(process_id: int) -> bool:
    status = Path(f"/proc/{process_id}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def wait_for(condition, limit_s: float = 5.0) -> bool:
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        loop = QEventLoop()
        QTimer.singleShot(20, loop.quit)
        loop.exec()
    return condition()


def test_same_arrays_as_in_process_and_warm_for_the_next(runner, engine, ct_bundle):
    request = ReconstructRequest(ct_bundle, thorax(), hardware=CPU)
    listener = Listener()
    runner.start(request, listener)
    result, expected = listener.wait(), engine.reconstruct(request)
    for name, array in expected.arrays.items():
        assert np.array_equal(result.arrays[name], array), name
    assert listener.progress and listener.progress[-1].fraction <= 1.0
    first = runner.process_id
    samples = ask(runner, SynthesizeRequest(ct_bundle, 3, 1, hardware=CPU))
    assert samples.images.shape == (3, 64, 64)
    assert runner.process_id == first != os.getpid()


def test_a_refusal_arrives_as_the_engine_said_it(runner, make_bundle):
    answer = ask(runner, ReconstructRequest(make_bundle("brain", modality="MR"), thorax()))
    assert isinstance(answer, UserError) and "was made for MR" in str(answer)


def test_cancel_while_computing(runner, ct_bundle):
    listener = Listener()
    runner.start(ReconstructRequest(ct_bundle, thorax(600), hardware=CPU), listener)
    began = []

    def stop():
        if not began and listener.progress[-1].fraction > 0.2:
            began.append(time.monotonic())
            runner.cancel()

    listener.on_progress = stop
    assert isinstance(listener.wait(), Cancelled)
    assert time.monotonic() - began[0] < 1.0
    assert ask(runner, SynthesizeRequest(ct_bundle, 1, hardware=CPU)).images.shape == (1, 64, 64)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a process that can be frozen")
def test_a_worker_that_does_not_hear_is_ended(runner, ct_bundle):
    ask(runner, SynthesizeRequest(ct_bundle, 1, hardware=CPU))
    frozen = runner.process_id
    os.kill(frozen, signal.SIGSTOP)
    listener = Listener()
    runner.start(SynthesizeRequest(ct_bundle, 1, hardware=CPU), listener)
    began = time.monotonic()
    runner.cancel()
    assert isinstance(listener.wait(), Cancelled)
    assert time.monotonic() - began < 1.2
    assert wait_for(lambda: not lives(frozen))
    assert ask(runner, SynthesizeRequest(ct_bundle, 1, hardware=CPU)).images.shape == (1, 64, 64)


def test_cancel_before_the_worker_is_ready(make_runner, ct_bundle):
    runner = make_runner()
    listener = Listener()
    runner.start(SynthesizeRequest(ct_bundle, 1, hardware=CPU), listener)
    runner.cancel()
    assert isinstance(listener.wait(), Cancelled)


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
def test_death_is_one_sentence_and_the_next_request_starts_a_new_one(runner, ct_bundle):
    listener = Listener()
    runner.start(ReconstructRequest(ct_bundle, thorax(600), hardware=CPU), listener)
    listener.on_progress = lambda: os.kill(runner.process_id, signal.SIGKILL)
    answer = listener.wait()
    assert isinstance(answer, UserError) and "memory ran out" in str(answer)
    assert ask(runner, SynthesizeRequest(ct_bundle, 1, hardware=CPU)).images.shape == (1, 64, 64)


class TestThroughThePanel:
    """A press on Reconstruct, the real worker behind it, and what the person sees of its end."""

    @pytest.fixture
    def pressed(self, runner, scene, add_volume, ct_bundle):
        """A long run that has begun to compute, and the names of the scene's nodes before it."""
        node = add_volume(thorax(900).array, np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")
        panel = make_panel(runner, Parameters(modelPath=ct_bundle, inputVolume=node, device=Device.CPU))
        override(panel, True)
        presenter = ReconstructPresenter(Window(), panel)
        panel.open(presenter)
        before = names_in(scene)
        presenter.reconstruct()
        assert wait_for(lambda: (panel.runs.fraction or 0.0) > 0.15, 30)
        return panel, presenter, before

    def test_cancel_is_over_within_a_second(self, pressed, scene):
        panel, _, before = pressed
        began = time.monotonic()
        panel.runs.cancel()
        assert wait_for(lambda: panel.is_idle)
        assert time.monotonic() - began < 1.0
        assert panel.runs.status.text == "Cancelled; nothing was changed." and names_in(scene) == before

    @pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
    def test_death_leaves_one_sentence_and_the_scene_as_it_was(self, pressed, runner, scene):
        panel, presenter, before = pressed
        os.kill(runner.process_id, signal.SIGKILL)
        assert wait_for(lambda: panel.is_idle)
        assert panel.runs.status.is_error and panel.runs.status.text.count(". ") == 0
        assert names_in(scene) == before
        panel.parameters.lastSlice = 4
        presenter.reconstruct()
        assert wait_for(lambda: panel.is_idle, 30) and panel.runs.status.text.startswith("Done in")


def names_in(scene) -> list[str]:
    return [scene.GetNthNode(number).GetName() for number in range(scene.GetNumberOfNodes())]


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for PythonSlicer")
def test_behind_a_launcher(make_runner, ct_bundle, tmp_path):
    """PythonSlicer starts Python as its child: it is that child that has to end."""
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\n')
    launcher.chmod(0o755)
    runner = make_runner(lambda: str(launcher))
    ask(runner, SynthesizeRequest(ct_bundle, 1, hardware=CPU))
    worker = runner.process_id
    os.kill(worker, signal.SIGSTOP)
    listener = Listener()
    runner.start(SynthesizeRequest(ct_bundle, 1, hardware=CPU), listener)
    runner.cancel()
    assert isinstance(listener.wait(), Cancelled)
    assert wait_for(lambda: not lives(worker))


def test_close_leaves_no_process_and_no_data(make_runner, ct_bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    runner = make_runner()
    ask(runner, ReconstructRequest(ct_bundle, thorax(), hardware=CPU))
    worker = runner.process_id
    listener = Listener()
    runner.start(ReconstructRequest(ct_bundle, thorax(600), hardware=CPU), listener)
    runner.close()
    assert wait_for(lambda: not lives(worker))
    assert listener.outcomes == []  # whoever closed is not told any more
    assert list(tmp_path.rglob("*.npy")) == []


def test_no_python_to_start(make_runner, ct_bundle, tmp_path):
    answer = ask(make_runner(lambda: str(tmp_path / "no python")), SynthesizeRequest(ct_bundle, 1))
    assert isinstance(answer, UserError) and "could not be started" in str(answer)


def test_python_without_torch(make_runner, ct_bundle, tmp_path):
    """A Python in which the library can't work says what is missing, and is not left running."""
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    runner = make_runner(lambda: str(bare))
    for _ in range(2):
        answer = ask(runner, SynthesizeRequest(ct_bundle, 1))
        assert isinstance(answer, UserError) and "is not installed" in str(answer)


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the other installation")
def test_a_worker_of_another_version_is_not_kept(make_runner, ct_bundle, tmp_path):
    other = tmp_path / "other"
    ready = '{"kind": "ready", "protocol": 99, "process_id": 99999, "software": "SlicerVAE 9"}'
    other.write_text(f"#!/bin/sh\necho '{ready}'\nread line\nread line\n")
    other.chmod(0o755)
    runner = make_runner(lambda: str(other))
    for _ in range(2):
        answer = ask(runner, SynthesizeRequest(ct_bundle, 1))
        assert isinstance(answer, UserError) and "same version" in str(answer)


def test_a_settings_problem_is_raised_at_once(make_runner, ct_bundle):
    def nowhere():
        raise UserError("name a Python")

    with pytest.raises(UserError, match="name a Python"):
        make_runner(nowhere).start(SynthesizeRequest(ct_bundle, 1), Listener())
