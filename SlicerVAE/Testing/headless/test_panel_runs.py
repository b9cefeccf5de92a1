"""The run coordinator, with tasks and runners that do what a test asks of them."""

import pytest

from SlicerVAELib.core.engine import SynthesizeRequest
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Progress
from SlicerVAELib.panel.ports import InfoRequest
from SlicerVAELib.panel.runs import Runs, Step
from SlicerVAELib.panel.state import RunState

REQUEST, OTHER, QUESTION = SynthesizeRequest("one"), SynthesizeRequest("two"), InfoRequest()


class Runner:
    """Keeps what it is asked until the test answers."""

    def __init__(self):
        self.asked, self.listeners, self.cancelled, self.closed = [], [], 0, False

    def start(self, request, listener):
        self.asked.append(request)
        self.listeners.append(listener)

    @property
    def listener(self):
        return self.listeners[-1]

    def cancel(self):
        self.cancelled += 1

    def close(self):
        self.closed = True


@pytest.fixture
def runner():
    return Runner()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def runs(runner, seen):
    runs = Runs(lambda: runner, lambda: seen.append(runs.status.text), lambda: seen.append(runs.status.text))
    return runs


def task(log, requests=(REQUEST,)):
    """Writes down its answers, and how it was ended."""
    try:
        for number, request in enumerate(requests):
            log.append(
                (yield Step(request, f"part {number + 1}", number / len(requests), (number + 1) / len(requests)))
            )
    except GeneratorExit:
        log.append("closed")
        raise
    return "Done."


def test_a_task_gets_its_answers_one_after_the_other(runs, runner):
    log = []
    assert runs.begin(task(log, [REQUEST, OTHER]))
    assert runner.asked == [REQUEST] and runs.state is RunState.RUNNING
    runner.listener.finished("first")
    assert runner.asked == [REQUEST, OTHER] and runs.state is RunState.RUNNING
    runner.listener.finished("second")
    assert log == ["first", "second"] and runs.state is RunState.IDLE
    assert runs.status.text == "Done." and not runs.status.is_error


def test_progress_fills_the_part_of_each_step(runs, runner, seen):
    runs.begin(task([], [REQUEST, OTHER]))
    runner.listener.progressed(Progress(0.5, "reconstructing", 3.0))
    assert runs.fraction == 0.25 and seen[-1] == "Part 1: reconstructing…"
    runner.listener.finished(None)
    runner.listener.progressed(Progress(0.5, "reconstructing"))
    assert runs.fraction == 0.75


def test_a_second_task_is_refused_and_closed(runs, runner):
    log = []
    runs.begin(task([]))
    assert not runs.begin(task(log))
    assert len(runner.asked) == 1


def test_a_task_that_can_not_begin_says_why(runs, runner):
    def hopeless():
        raise UserError("The input is empty; choose another.")
        yield

    runs.begin(hopeless())
    assert runs.state is RunState.IDLE and runs.status.is_error and runner.asked == []
    assert runs.status.text == "The input is empty; choose another."


def test_a_task_may_catch_what_the_engine_refuses_and_go_on(runs, runner):
    def stubborn():
        try:
            yield Step(REQUEST)
        except UserError as error:
            failure = str(error)
        yield Step(OTHER)
        return f"1 of 2; {failure}"

    runs.begin(stubborn())
    runner.listener.failed(UserError("No."))
    runner.listener.finished(None)
    assert runs.status.text == "1 of 2; No."


def test_what_is_not_caught_ends_the_task(runs, runner):
    log = []
    runs.begin(task(log))
    runner.listener.failed(UserError("No."))
    assert (runs.status.text, runs.status.is_error, runs.state) == ("No.", True, RunState.IDLE)


def test_cancel(runs, runner):
    log = []
    runs.begin(task(log))
    runs.cancel()
    runs.cancel()
    assert runs.state is RunState.CANCELLING and log == ["closed"] and runner.cancelled == 1
    assert not runs.begin(task([]))
    runner.listener.failed(Cancelled())
    assert runs.state is RunState.IDLE and runs.status.text.startswith("Cancelled")
    assert runs.begin(task([]))


def test_an_answer_after_cancel_goes_nowhere(runs, runner):
    log = []
    runs.begin(task(log))
    runs.cancel()
    runner.listener.finished("too late")
    assert log == ["closed"] and runs.state is RunState.IDLE


def test_cancel_while_the_task_writes_into_the_scene(runs, runner):
    """Slicer may let the window live while nodes are written."""

    def writing():
        yield Step(REQUEST)
        runs.cancel()
        return "Written."

    runs.begin(writing())
    runner.listener.finished(None)
    assert runs.state is RunState.IDLE and runs.status.text == "Written."


def test_a_fault_of_the_program_leaves_the_panel_usable(runs, runner):
    def broken():
        yield Step(REQUEST)
        raise RuntimeError("boom")

    runs.begin(broken())
    with pytest.raises(RuntimeError, match="boom"):
        runner.listener.finished(None)
    assert runs.state is RunState.IDLE and runs.status.is_error
    assert runs.begin(task([]))


def test_the_closing_of_the_scene_gives_the_task_up(runs, runner):
    log = []
    runs.begin(task(log))
    runs.scene_closes()
    assert log == ["closed"] and runner.cancelled == 1 and "scene was closed" in runs.status.text
    runner.listener.failed(Cancelled())
    assert runs.state is RunState.IDLE


class TestQuestions:
    def test_one_at_a_time_and_none_beside_a_task(self, runs, runner):
        told = []
        assert runs.ask(QUESTION, told.append, told.append)
        assert not runs.ask(QUESTION, told.append, told.append)
        assert runs.state is RunState.IDLE
        runner.listener.finished("answer")
        assert told == ["answer"]
        runs.begin(task([]))
        assert not runs.ask(QUESTION, told.append, told.append)

    def test_a_task_waits_for_the_answer(self, runs, runner):
        told, log = [], []
        runs.ask(QUESTION, told.append, told.append)
        assert runs.begin(task(log))
        assert runner.asked == [QUESTION]
        runner.listener.finished("answer")
        assert told == ["answer"] and runner.asked == [QUESTION, REQUEST]
        runner.listener.finished("result")
        assert log == ["result"] and runs.status.text == "Done."

    def test_a_task_that_waits_can_be_cancelled(self, runs, runner):
        runs.ask(QUESTION, lambda answer: None, lambda error: None)
        runs.begin(task([]))
        runs.cancel()
        runner.listener.failed(Cancelled())
        assert runs.state is RunState.IDLE and runner.asked == [QUESTION]

    def test_nobody_is_told_after_the_scene_was_closed(self, runs, runner):
        told = []
        runs.ask(QUESTION, told.append, told.append)
        runs.scene_closes()
        runner.listener.finished("answer")
        assert told == []
        assert runs.ask(QUESTION, told.append, told.append)

    def test_failures_are_told(self, runs, runner):
        told = []
        runs.ask(QUESTION, lambda answer: None, told.append)
        runner.listener.failed(UserError("No."))
        assert [str(error) for error in told] == ["No."]


class TestInstallation:
    @pytest.mark.parametrize(
        ("outcome", "text", "is_error"),
        [
            (None, "Installed.", False),
            (UserError("The server did not answer; try again."), "The server did not answer; try again.", True),
            (Cancelled(), "Nothing was installed.", False),
        ],
    )
    def test_ends(self, runs, seen, outcome, text, is_error):
        def install():
            assert runs.state is RunState.INSTALLING and not runs.begin(task([]))
            runs.install(lambda: pytest.fail("pressed twice"), "Again…")
            if outcome is not None:
                raise outcome

        runs.install(install, "Installing…")
        assert "Installing…" in seen
        assert (runs.status.text, runs.status.is_error, runs.state) == (text, is_error, RunState.IDLE)


def test_close_ends_the_runner_and_the_task(runs, runner):
    log = []
    runs.begin(task(log))
    runs.close()
    assert runner.closed and log == ["closed"]
