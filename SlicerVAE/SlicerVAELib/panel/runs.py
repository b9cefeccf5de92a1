"""The run coordinator: the one place where work for the model begins, goes on, ends and is given up. No Qt.

Everything goes through one RunState: whatever arrives at the wrong time (a second press, an answer to a run that was
given up, the closing of the scene in the middle) finds a state in which it does nothing.
"""

import dataclasses
import inspect
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from ..core.errors import Cancelled, UserError
from ..core.progress import Progress
from .ports import Request, Runner
from .state import Message, RunState
from .translation import tr as _

INTERRUPTED = Message(_("The result could not be written; the application log says more."), is_error=True)


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One request of a task; it fills [start, end] of the progress bar, with ``label`` before what is being done.
    ``cancelled`` is what the person is told when the task is cancelled at this step."""

    request: Request
    label: str = ""
    start: float = 0.0
    end: float = 1.0
    cancelled: str = str(Cancelled())


# Work in the scene around work of the model: a generator that prepares, yields each request as a Step, gets the answer
# back (or the engine's UserError thrown in), writes it into the scene, and returns what the person is told.
Task: TypeAlias = Generator[Step, Any, str]


class Runs:
    """Runs one task at a time, and quick questions in between, on a runner that is made for the first of them.

    ``changed`` is called when the state or the status changed, ``progressed`` when only the progress did.
    """

    def __init__(
        self, make_runner: Callable[[], Runner[Request]], changed: Callable[[], None], progressed: Callable[[], None]
    ) -> None:
        self._make_runner, self._changed, self._progressed = make_runner, changed, progressed
        self._made: Runner[Request] | None = None
        self._state = RunState.IDLE
        self._status = Message()
        self._fraction: float | None = None
        self._task: Task | None = None
        self._cancelled = Message()
        self._step: Step | None = None
        self._question: _Question | None = None

    @property
    def state(self) -> RunState:
        """What the panel is doing."""
        return self._state

    @property
    def status(self) -> Message:
        """What the person is told about it."""
        return self._status

    @property
    def fraction(self) -> float | None:
        """How far the work is, in [0, 1]; None while that is unknown."""
        return self._fraction

    def begin(self, task: Task) -> bool:
        """Begin a task; False, with nothing done, while the panel does something else."""
        if self._state is not RunState.IDLE:
            task.close()
            return False
        self._task, self._state, self._fraction = task, RunState.RUNNING, None
        self._cancelled = Message(str(Cancelled()))
        self.say(Message(_("Starting…")))
        self._go_on(task, lambda: next(task))
        return True

    def ask(self, request: Request, answered: Callable[[Any], None], failed: Callable[[UserError], None]) -> bool:
        """Ask the model something that takes a moment, without progress: one question at a time, beside no task.

        False, with nothing done, while there is no room for it. A task that begins meanwhile waits for the answer.
        """
        if self._state is not RunState.IDLE or self._question is not None:
            return False
        question = self._question = _Question(answered, failed, self._question_ended)
        try:
            self._runner.start(request, question)
        except UserError as error:
            question.failed(error)
        return True

    def cancel(self) -> None:
        """Stop what runs."""
        if self._state is RunState.RUNNING:
            self._give_up(Message(_("Cancelling…")))

    def scene_closes(self) -> None:
        """Give up what runs: it has nowhere to be written any more."""
        if self._question is not None:
            self._question.forget()
        if self._state is RunState.RUNNING:
            self._give_up(Message(_("The scene was closed; cancelling…")))
        elif self._state is RunState.IDLE:
            self.say(Message())

    def install(self, install: Callable[[], None], beginning: str) -> None:
        """Run an installer, which lets the window live on, while nothing else can begin."""
        if self._state is not RunState.IDLE:
            return
        self._state = RunState.INSTALLING
        self.say(Message(beginning))
        outcome = Message(_("The installation was interrupted; the application log says more."), is_error=True)
        try:
            install()
            outcome = Message(_("Installed."))
        except UserError as error:
            outcome = Message(str(error), is_error=True)
        except Cancelled:
            outcome = Message(_("Nothing was installed."))
        finally:
            self._state = RunState.IDLE
            self.say(outcome)

    def say(self, message: Message) -> None:
        """Tell the person something."""
        self._status = message
        self._changed()

    def close(self) -> None:
        """End what runs and the model's process."""
        self._drop_task()
        self._state = RunState.IDLE
        if self._made is not None:
            self._made.close()

    def progressed(self, progress: Progress) -> None:
        """Show how far the task is (RunListener)."""
        step = self._step
        if self._state is not RunState.RUNNING or step is None:
            return
        self._fraction = step.start + progress.fraction * (step.end - step.start)
        stage = f"{step.label}: {progress.stage}" if step.label else progress.stage
        # What is left of a step is not what is left of a task of several.
        left = _time_left(progress.remaining_s if (step.start, step.end) == (0.0, 1.0) else None)
        self._status = Message(f"{stage[:1].upper()}{stage[1:]}{left}")
        self._progressed()

    def finished(self, result: Any) -> None:
        """Give the answer to the task, unless it was given up (RunListener)."""
        task = self._task
        if task is None:
            self._end(self._cancelled)
        else:
            self._go_on(task, lambda: task.send(result))

    def failed(self, error: UserError | Cancelled) -> None:
        """Give the task the reason why there is no answer (RunListener)."""
        task = self._task
        if task is None or isinstance(error, Cancelled):
            self._drop_task()
            self._end(self._cancelled)
        else:
            self._go_on(task, lambda: task.throw(error))

    @property
    def _runner(self) -> Runner[Request]:
        if self._made is None:
            self._made = self._make_runner()
        return self._made

    def _go_on(self, task: Task, resume: Callable[[], Step]) -> None:
        outcome = INTERRUPTED
        step: Step | None = None
        try:
            step = resume()
        except StopIteration as end:
            outcome = Message(end.value)
        except UserError as error:
            outcome = Message(str(error), is_error=True)
        except Cancelled as stopped:
            outcome = Message(str(stopped))
        finally:
            # The task may have let the window live, and somebody gave it up or closed the panel meanwhile.
            if task is not self._task:
                task.close()
                if self._state is RunState.CANCELLING:
                    self._end(self._cancelled if step else outcome)
            elif step is None:
                self._task = None
                self._end(outcome)
            else:
                self._step, self._cancelled = step, Message(step.cancelled)
        if step is not None and task is self._task and self._question is None:
            self._start(step)

    def _start(self, step: Step) -> None:
        try:
            self._runner.start(step.request, self)
        except UserError as error:
            self.failed(error)

    def _question_ended(self) -> None:
        self._question = None
        if self._state is RunState.RUNNING and self._step is not None:
            self._start(self._step)
        elif self._state is RunState.CANCELLING:
            self._end(self._cancelled)

    def _give_up(self, message: Message) -> None:
        self._drop_task()
        self._state, self._fraction = RunState.CANCELLING, None
        self.say(message)
        self._runner.cancel()

    def _drop_task(self) -> None:
        task, self._task, self._step = self._task, None, None
        if task is not None and inspect.getgeneratorstate(task) != inspect.GEN_RUNNING:
            task.close()

    def _end(self, message: Message) -> None:
        self._step = None
        self._state, self._fraction = RunState.IDLE, None
        self.say(message)


class _Question:
    """The RunListener of one quick question."""

    def __init__(
        self, answered: Callable[[Any], None], failed: Callable[[UserError], None], ended: Callable[[], None]
    ) -> None:
        self._answered, self._failed, self._ended = answered, failed, ended
        self._is_wanted = True

    def forget(self) -> None:
        """Nobody wants the answer any more."""
        self._is_wanted = False

    def progressed(self, progress: Progress) -> None:
        """A quick question shows no progress."""

    def finished(self, result: Any) -> None:
        self._ended()
        if self._is_wanted:
            self._answered(result)

    def failed(self, error: UserError | Cancelled) -> None:
        self._ended()
        if self._is_wanted and isinstance(error, UserError):
            self._failed(error)


def _time_left(seconds: float | None) -> str:
    if seconds is None:
        return "…"
    if seconds < 90:
        return _(", about {seconds:.0f} s left").format(seconds=seconds)
    return _(", about {minutes:.0f} min left").format(minutes=seconds / 60)
