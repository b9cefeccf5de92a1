"""Questions that come faster than their answers: one is asked at a time, and of those that wait only the last."""

from collections.abc import Callable
from typing import Any

from ..core.errors import UserError
from .ports import Request
from .runs import Runs

Answered = Callable[[Any], None]


class LatestQuestion:
    """Asks ``runs``; ``failed`` gets the sentence of what came to nothing."""

    def __init__(self, runs: Runs, failed: Callable[[UserError], None]) -> None:
        self._runs, self._failed = runs, failed
        self._waiting: tuple[Request, Answered] | None = None

    def ask(self, request: Request, answered: Answered) -> None:
        """Ask as soon as there is room for it, unless another one comes before; ``answered`` gets the result."""
        self._waiting = (request, answered)
        self.go_on()

    def go_on(self) -> None:
        """Ask what waits, if there is room now. Called after each answer, and whenever the run state changed."""
        question, self._waiting = self._waiting, None
        if question is None:
            return
        request, answered = question
        if not self._runs.ask(request, lambda result: self._end(lambda: answered(result)), self._on_failure):
            self._waiting = question

    def forget(self) -> None:
        """Drop what waits."""
        self._waiting = None

    @property
    def is_waiting(self) -> bool:
        """Whether something newer than what is asked waits."""
        return self._waiting is not None

    def _on_failure(self, error: UserError) -> None:
        self._end(lambda: self._failed(error))

    def _end(self, tell: Callable[[], None]) -> None:
        tell()
        self.go_on()
