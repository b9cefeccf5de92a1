"""The panel without its window: real scene, real scene jobs, real engine; only the drawing is recorded."""

import numpy as np
import pytest
import slicer

from SlicerVAELib.core.engine import ReconstructRequest
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.panel.presenter import Presenter
from SlicerVAELib.panel.state import Choices, RunState


class Window:
    """Keeps what was drawn, and does what a person would do while it is drawn."""

    def __init__(self):
        self.drawn, self.shown, self.meanwhile = [], [], lambda state: None

    def draw(self, state):
        self.drawn.append(state)
        self.meanwhile(state)

    def show_maps(self, input_volume, maps):
        self.shown.append((input_volume, maps))

    def show_samples(self, samples):
        self.shown.append(samples)

    @property
    def now(self):
        return self.drawn[-1]

    @property
    def texts(self):
        return [state.status.text for state in self.drawn]


class BlockingRunner:
    """Computes at once; the listener is told before ``start`` returns."""

    def __init__(self, engine):
        self._engine, self._cancel, self.requests, self.closed = engine, Cancel(), [], False

    def start(self, request, listener):
        self.requests.append(request)
        self._cancel = Cancel()
        answer = self._engine.reconstruct if isinstance(request, ReconstructRequest) else self._engine.synthesize
        try:
            result = answer(request, listener.progressed, self._cancel)
        except (UserError, Cancelled) as error:
            listener.failed(error)
        else:
            listener.finished(result)

    def cancel(self):
        self._cancel.request()

    def close(self):
        self.closed = True


class LateRunner(BlockingRunner):
    """Answers when the test says so, and is too far on to be cancelled."""

    def start(self, request, listener):
        self.requests.append(request)
        self._listener = listener

    def answer(self):
        super().start(self.requests[-1], self._listener)

    def cancel(self):
        pass


class Packages:
    def __init__(self, missing=(), outcome=None):
        self._missing, self._outcome, self.installs = tuple(missing), outcome, 0

    def missing(self):
        return self._missing

    def install(self):
        self.installs += 1
        if self._outcome is not None:
            raise self._outcome
        self._missing = ()


@pytest.fixture
def ct(add_volume):
    array = np.random.default_rng(0).integers(-1000, 600, (24, 30, 40), dtype=np.int16)
    return add_volume(array, np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")


@pytest.fixture
def window():
    return Window()


@pytest.fixture
def runner(engine):
    return BlockingRunner(engine)


@pytest.fixture
def presenter(window, runner, ct, ct_bundle):
    presenter = Presenter(window, runner, Packages())
    presenter.choose(Choices(input=ct, bundle=ct_bundle, device="cpu"))
    return presenter


def volumes(scene) -> list[str]:
    return [node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode", scene)]


def test_buttons_say_what_is_missing(scene, window, runner, ct, ct_bundle, tmp_path):
    presenter = Presenter(window, runner, Packages())
    assert (window.now.can_apply, window.now.apply_hint) == (False, "Choose a model.")
    presenter.choose(Choices(bundle=ct_bundle))
    assert window.now.apply_hint == "Choose an input volume." and window.now.can_create
    presenter.choose(Choices(bundle=ct_bundle, input=ct))
    assert window.now.can_apply and not window.now.can_cancel
    presenter.choose(Choices(bundle=tmp_path, input=ct))
    assert not window.now.can_apply and not window.now.can_create
    assert window.now.model.is_error and str(tmp_path) in window.now.model.text


def test_a_chosen_model_introduces_itself(presenter, window):
    text = window.now.model.text
    assert text.startswith("tiny 1.0: CT chest, field of view 384 × 384 mm")
    assert "A demonstration, not for clinical use." in text


def test_apply(scene, presenter, window, runner, ct):
    presenter.apply()
    assert volumes(scene) == ["thorax", "thorax reconstruction", "thorax residual", "thorax anomaly"]
    assert runner.requests[0].hardware.device == "cpu"
    ((shown_input, maps),) = window.shown
    assert shown_input is ct and maps.anomaly.GetName() == "thorax anomaly"
    assert window.now.run is RunState.IDLE and window.now.can_apply and not window.now.status.is_error
    assert "Done in" in window.now.status.text and "'thorax anomaly'" in window.now.status.text
    assert "does not say what it is" in window.now.status.text  # the engine's doubts reach the person


def test_progress_is_shown_with_the_time_left(presenter, window):
    presenter.apply()
    fractions = [state.fraction for state in window.drawn if state.fraction is not None]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(fractions) > 3
    assert any("Reconstructing, about" in text and "s left" in text for text in window.texts)
    assert all(state.can_cancel and not state.can_apply for state in window.drawn if state.fraction is not None)


def test_chosen_outputs_are_written(scene, presenter, window, ct, ct_bundle, add_volume):
    mine = add_volume(np.zeros((1, 1, 1), np.float32), name="mine")
    presenter.choose(Choices(input=ct, bundle=ct_bundle, anomaly=mine))
    presenter.apply()
    assert mine.GetImageData().GetDimensions() == (40, 30, 24)
    assert "thorax anomaly" not in volumes(scene)


def test_samples(scene, presenter, window, ct_bundle):
    presenter.choose(Choices(bundle=ct_bundle, sample_count=3, sample_seed=9))
    presenter.create_samples()
    assert "tiny synthetic slices" in volumes(scene)
    assert window.shown[0].GetImageData().GetDimensions() == (64, 64, 3)
    assert "synthetic" in window.now.status.text


def test_apply_pressed_again_while_running(scene, presenter, window, runner):
    window.meanwhile = lambda state: presenter.apply() if state.run is RunState.RUNNING else None
    presenter.apply()
    assert len(runner.requests) == 1
    assert volumes(scene).count("thorax reconstruction") == 1


def test_cancel(scene, presenter, window, runner):
    window.meanwhile = lambda state: presenter.cancel() if state.fraction else None
    before = volumes(scene)
    presenter.apply()
    assert volumes(scene) == before
    assert window.now.status.text == "Cancelled; nothing was changed." and not window.now.status.is_error
    assert RunState.CANCELLING in [state.run for state in window.drawn]
    window.meanwhile = lambda state: None
    presenter.apply()  # and again, to the end
    assert "thorax residual" in volumes(scene)


def test_an_answer_that_comes_after_cancel_is_not_written(scene, window, engine, ct, ct_bundle):
    late = LateRunner(engine)
    presenter = Presenter(window, late, Packages())
    presenter.choose(Choices(input=ct, bundle=ct_bundle))
    presenter.apply()
    presenter.cancel()
    assert window.now.run is RunState.CANCELLING and not window.now.can_apply
    before = volumes(scene)
    late.answer()
    assert volumes(scene) == before
    assert window.now.can_apply and window.now.status.text.startswith("Cancelled")


def test_scene_closed_during_a_run(scene, window, engine, ct, ct_bundle):
    late = LateRunner(engine)
    presenter = Presenter(window, late, Packages())
    presenter.choose(Choices(input=ct, bundle=ct_bundle))
    presenter.apply()
    presenter.scene_closes()
    scene.Clear(0)
    late.answer()
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 0
    assert window.now.run is RunState.IDLE
    assert window.now.apply_hint == "Choose an input volume."


def test_input_deleted_during_a_run(scene, window, engine, ct, ct_bundle):
    late = LateRunner(engine)
    presenter = Presenter(window, late, Packages())
    presenter.choose(Choices(input=ct, bundle=ct_bundle))
    presenter.apply()
    scene.RemoveNode(ct)
    late.answer()
    assert window.now.status.is_error and "'thorax' was removed" in window.now.status.text
    assert volumes(scene) == []


def test_the_engines_refusal_is_shown_as_it_is(scene, presenter, window, ct, make_bundle):
    presenter.choose(Choices(input=ct, bundle=make_bundle("brain", modality="MR")))
    presenter.apply()
    assert window.now.status.is_error and "was made for MR" in window.now.status.text
    assert volumes(scene) == ["thorax"] and window.now.can_apply


def test_an_input_that_no_model_takes(presenter, window, runner, scene, ct_bundle):
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    presenter.choose(Choices(input=empty, bundle=ct_bundle))
    presenter.apply()
    assert "'empty' holds no image" in window.now.status.text and not runner.requests


def test_a_fault_of_the_program_leaves_the_panel_usable(presenter, window, monkeypatch):
    def break_down(*arguments):
        raise RuntimeError("boom")

    monkeypatch.setattr("SlicerVAELib.scene.jobs.write", break_down)
    with pytest.raises(RuntimeError, match="boom"):
        presenter.apply()
    assert window.now.status.is_error and window.now.can_apply


class TestInstallation:
    def test_is_asked_for_where_something_is_missing(self, scene, window, runner, ct, ct_bundle):
        packages = Packages(["PyTorch", "safetensors"])
        presenter = Presenter(window, runner, packages)
        presenter.choose(Choices(input=ct, bundle=ct_bundle))
        assert window.now.can_install and not window.now.can_apply
        assert window.now.apply_hint == "Install PyTorch and safetensors first."
        presenter.apply()
        assert not runner.requests and packages.installs == 0  # only a press of Install installs
        presenter.install()
        assert window.now.can_apply and not window.now.needs_install
        assert RunState.INSTALLING in [state.run for state in window.drawn]

    @pytest.mark.parametrize(
        ("outcome", "text", "is_error"),
        [
            (UserError("The server did not answer; try again."), "The server did not answer; try again.", True),
            (Cancelled(), "Nothing was installed.", False),
        ],
    )
    def test_may_come_to_nothing(self, scene, window, runner, outcome, text, is_error):
        presenter = Presenter(window, runner, Packages(["PyTorch"], outcome))
        presenter.install()
        assert (window.now.status.text, window.now.status.is_error) == (text, is_error)
        assert window.now.can_install

    def test_pressed_twice(self, scene, window, runner):
        """The installer lets the window live on; a second press in the middle does nothing."""
        packages = Packages(["PyTorch"])
        presenter = Presenter(window, runner, packages)
        window.meanwhile = lambda state: presenter.install() if state.run is RunState.INSTALLING else None
        presenter.install()
        assert packages.installs == 1


def test_what_others_installed_or_exported_meanwhile_is_seen(scene, window, runner, ct, tmp_path, make_bundle):
    packages = Packages(["PyTorch"])
    presenter = Presenter(window, runner, packages)
    later = tmp_path / "later"
    presenter.choose(Choices(input=ct, bundle=later))
    assert window.now.model.is_error
    make_bundle("exported").rename(later)
    packages.install()
    presenter.refresh()
    assert window.now.can_apply


def test_close_ends_the_runner(presenter, runner):
    presenter.close()
    assert runner.closed
