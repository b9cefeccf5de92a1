"""Work beside the window, in real threads: what is told, and when; cancelling; what does not heed it."""

import threading
import time
from collections import deque

import pytest

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Progress
from SlicerVAELib.panel import aside
from SlicerVAELib.panel.aside import WithAside
from SlicerVAELib.panel.ports import Aside, InfoRequest


class Loop:
    """An event loop: what is to be done later is done in turn."""

    def __init__(self) -> None:
        self.waiting, self.turns = deque(), 0

    def later(self, function) -> None:
        self.waiting.append(function)

    def run(self, until=lambda: False, limit_s: float = 10.0) -> None:
        end = time.monotonic() + limit_s
        while self.waiting and not until() and time.monotonic() < end:
            self.turns += 1
            self.waiting.popleft()()


class Listener:
    """Notes what it is told, and that it is told so in the main thread."""

    def __init__(self) -> None:
        self.told = []

    def progressed(self, progress) -> None:
        self._note(progress)

    def finished(self, result) -> None:
        self._note(("finished", result))

    def failed(self, error) -> None:
        self._note(error)

    def _note(self, what) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.told.append(what)


class Inner:
    def __init__(self) -> None:
        self.asked, self.cancelled, self.closed = [], 0, False

    def start(self, request, listener) -> None:
        self.asked.append(request)

    def cancel(self) -> None:
        self.cancelled += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def inner():
    return Inner()


@pytest.fixture
def runner(inner, loop):
    made = WithAside(inner, loop.later)
    yield made
    made.close()


def test_the_result_is_told_in_the_main_thread_while_the_loop_lives(runner, loop):
    listener, threads = Listener(), []

    def work(progress, cancel):
        threads.append(threading.current_thread())
        for n in range(5):
            time.sleep(0.03)
            progress(Progress(n / 5, "counting"))
        return 42

    runner.start(Aside(work), listener)
    assert listener.told == []
    loop.run()
    assert listener.told[-1] == ("finished", 42) and threads[0] is not threading.main_thread()
    assert loop.turns > 4 and 1 <= len(listener.told[:-1]) <= 5
    assert all(told.stage == "counting" for told in listener.told[:-1])


def test_a_sentence_and_an_accident(runner, loop, caplog):
    listener = Listener()

    def refuse():
        raise UserError("The disk is full.")

    runner.start(Aside.of(refuse), listener)
    loop.run()
    assert str(listener.told[-1]) == "The disk is full."
    runner.start(Aside.of(lambda: 1 / 0), listener)
    loop.run()
    assert isinstance(listener.told[-1], UserError) and "application log" in str(listener.told[-1])
    assert "ZeroDivisionError" in caplog.text


def test_cancelling_reaches_the_work(runner, loop, inner):
    listener = Listener()

    def work(progress, cancel):
        while True:
            cancel.check()
            time.sleep(0.005)

    runner.start(Aside(work), listener)
    loop.run(until=lambda: loop.turns > 2)
    began = time.monotonic()
    runner.cancel()
    loop.run()
    assert [type(told) for told in listener.told] == [Cancelled] and time.monotonic() - began < 0.5
    assert inner.cancelled == 0


def test_what_does_not_heed_it_is_given_up(runner, loop, monkeypatch):
    monkeypatch.setattr(aside, "CANCEL_GRACE_S", 0.1)
    listener, end = Listener(), threading.Event()
    runner.start(Aside.of(end.wait, 20), listener)
    runner.cancel()
    began = time.monotonic()
    loop.run()
    assert [type(told) for told in listener.told] == [Cancelled] and 0.1 <= time.monotonic() - began < 1
    end.set()
    runner.start(Aside.of(lambda: "next"), listener)
    loop.run()
    assert listener.told[1:] == [("finished", "next")]


def test_everything_else_goes_to_the_model(runner, inner, loop):
    request = InfoRequest()
    runner.start(request, Listener())
    runner.cancel()
    assert inner.asked == [request] and inner.cancelled == 1 and not loop.waiting


def test_after_closing_nobody_is_told(runner, inner, loop):
    listener = Listener()
    runner.start(Aside(lambda progress, cancel: cancel._event.wait(10)), listener)
    runner.close()
    loop.run()
    assert listener.told == [] and inner.closed
