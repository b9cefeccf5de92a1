"""The client's half of the protocol without any pipe or process: bytes in, events out; requests in, bytes out.

It never waits and holds no thread, so that a window can drive it from its event loop and ``client`` from a blocking
call. A driver sends what ``ask`` returns, gives what the worker writes to ``feed``, and says
``closed`` once the worker has ended; then the same conversation goes on with the next worker.
"""

import dataclasses
import logging
import re
from typing import Any

from ..core.engine import EngineInfo
from ..core.errors import Cancelled, UserError
from ..core.progress import Progress
from . import protocol
from .arrays import Scratch
from .protocol import Ready
from .questions import Request, Result, question_of

_logger = logging.getLogger(__name__)

Answer = Result | EngineInfo


@dataclasses.dataclass(frozen=True)
class ProgressEvent:
    """The pending request went on."""

    progress: Progress


@dataclasses.dataclass(frozen=True, eq=False)
class ResultEvent:
    """The pending request is answered. Its arrays are mapped files that only the arrays themselves keep."""

    result: Answer


@dataclasses.dataclass(frozen=True, eq=False)
class FailedEvent:
    """The pending request, or the start of the worker, came to nothing: a UserError or Cancelled."""

    error: UserError | Cancelled


Event = Ready | ProgressEvent | ResultEvent | FailedEvent


@dataclasses.dataclass
class _Pending:
    id: int
    kind: type[Answer]
    cancelled: bool = False


class Conversation:
    """One client's side of the talk with one worker at a time; arrays go through ``scratch``."""

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch
        self._lines = protocol.Lines()
        self._ready: Ready | None = None
        self._start_failed = False
        self._pending: _Pending | None = None
        self._last_id = 0

    @property
    def ready(self) -> bool:
        """Whether the worker said that it can work."""
        return self._ready is not None

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._pending is not None

    @property
    def process_id(self) -> int | None:
        """The worker's own process id, by which to end it; None before it is ready."""
        return None if self._ready is None else self._ready.process_id

    def info(self) -> bytes:
        """Return the bytes that ask for EngineInfo. Raises UserError while another request waits."""
        return self._asked(protocol.Info(self._next_id()), EngineInfo)

    def ask(self, request: Request) -> bytes:
        """Write the request's arrays and return the bytes that ask for its result.

        Raises UserError while another request waits, for what can't be sent, and when the disk is full.
        """
        question = question_of(request)
        return self._asked(question.message(self._next_id(), self._pack(request)), question.result)

    def cancel(self) -> bytes:
        """Return the bytes that stop the pending request, none without one.

        Whatever the worker answers then, and if it has to be killed, the event is FailedEvent(Cancelled).
        """
        if self._pending is None:
            return b""
        self._pending.cancelled = True
        return protocol.encode(protocol.Cancel(self._pending.id))

    def feed(self, data: bytes) -> list[Event]:
        """Take in what the worker wrote, cut anyhow, and return what happened. Never raises for any bytes."""
        events: list[Event] = []
        for line in self._lines.feed(data):
            try:
                message = protocol.decode(line, protocol.ANSWERS)
            except protocol.WrongVersion as error:
                if self._ready is None and not self._start_failed:
                    events.append(self._failed_to_start(str(error)))
            except protocol.BadMessage:
                _logger.info("the worker wrote, beside its messages: %r", line and line[:500])
            else:
                events += self._take(message)
        return events

    def closed(self, exit_code: int | None, stderr_tail: str = "") -> FailedEvent | None:
        """The worker ended. Return what that means for the pending request, or for the start; None for neither.

        ``exit_code`` is as ``subprocess`` gives it, negative for a signal, None when unknown; ``stderr_tail`` the last
        lines that the worker wrote to its standard error.
        """
        pending, was_ready, start_failed = self._pending, self.ready, self._start_failed
        self._pending, self._ready, self._start_failed = None, None, False
        self._lines = protocol.Lines()
        self.scratch.clear()
        if pending is not None and pending.cancelled:
            return FailedEvent(Cancelled())
        if pending is None and (was_ready or start_failed):
            return None
        return FailedEvent(UserError(_cause_of_death(exit_code, stderr_tail, was_ready)))

    def _next_id(self) -> int:
        if self._pending is not None:
            raise UserError("The model is still at work; wait for it or cancel first.")
        self._last_id += 1
        return self._last_id

    def _pack(self, request: Request) -> dict[str, Any]:
        try:
            return protocol.pack(request, self.scratch.write)
        except UserError:
            self.scratch.clear()
            raise

    def _asked(self, message: protocol.Request, kind: type[Answer]) -> bytes:
        try:
            line = protocol.encode(message)
        except UserError:
            self.scratch.clear()
            raise
        self._pending = _Pending(message.id, kind)
        return line

    def _take(self, message: protocol.Answer) -> list[Event]:
        if isinstance(message, Ready):
            return self._take_ready(message)
        if isinstance(message, protocol.Failed) and message.id is None:
            return self._take_general_failure(message)
        pending = self._pending
        if pending is None or message.id != pending.id:
            return []  # of a request that was given up
        if isinstance(message, protocol.ProgressReport):
            return [] if pending.cancelled else [ProgressEvent(message.progress)]
        event: Event
        if pending.cancelled:
            event = FailedEvent(Cancelled())
        elif isinstance(message, protocol.Result):
            event = self._result(pending, message)
        else:
            _log_detail(message)
            event = FailedEvent(Cancelled() if message.error == "cancelled" else UserError(message.message))
        self._pending = None
        self.scratch.clear()
        return [event]

    def _take_ready(self, message: Ready) -> list[Event]:
        if self._ready is not None or self._start_failed:
            return []
        self._ready = message
        return [message]

    def _take_general_failure(self, message: protocol.Failed) -> list[Event]:
        _log_detail(message)
        if self._ready is None and not self._start_failed and message.error != "protocol":
            return [self._failed_to_start(message.message)]
        return []

    def _failed_to_start(self, sentence: str) -> FailedEvent:
        cancelled = self._pending is not None and self._pending.cancelled
        self._start_failed, self._pending = True, None
        self.scratch.clear()
        return FailedEvent(Cancelled() if cancelled else UserError(sentence))

    def _result(self, pending: _Pending, message: protocol.Result) -> Event:
        try:
            return ResultEvent(
                protocol.unpack(pending.kind, message.result, self.scratch.read, "The answer of the worker")
            )
        except UserError as error:
            return FailedEvent(error)


def _log_detail(message: protocol.Failed) -> None:
    if message.detail:
        _logger.error("the worker failed: %s\n%s", message.message, message.detail)


# POSIX signals and Windows status codes; a launcher reports its child's signal n as 128 + n.
_KILLED = 9
_CRASHES = {4: "illegal instruction", 6: "abort", 7: "bus error", 8: "arithmetic", 10: "bus error", 11: "bad memory"}
_WINDOWS_FAULTS = 0xC0000000
_WINDOWS_NO_MEMORY = {0xC0000017, 0xC000012D}


def _cause_of_death(exit_code: int | None, stderr_tail: str, was_ready: bool) -> str:
    lines = [line.strip() for line in stderr_tail.splitlines() if line.strip()]
    last_words = f": {lines[-1][:300].rstrip('.')}" if lines else ""
    missing = re.search(r"No module named '?([\w.]+)", stderr_tail)
    if missing and not was_ready:
        return (
            f"The worker could not start, because {missing[1]} is not installed in its Python; install it there, "
            f"or choose another Python."
        )
    code = 0 if exit_code is None else exit_code
    number = -code if code < 0 else code - 128
    status = code & 0xFFFFFFFF
    if number == _KILLED or status in _WINDOWS_NO_MEMORY:
        return (
            "The worker was ended by the system, most often because memory ran out; close other programs or crop "
            "the volume, then try again."
        )
    if number in _CRASHES or (code > 0xFF and status >= _WINDOWS_FAULTS) or code < -0xFF:
        fault = _CRASHES.get(number, f"code {status:#x}")
        return f"The worker crashed ({fault}); try again, and compute on the CPU if it happens again."
    if not was_ready:
        return f"The worker could not start{last_words}; check the Python that runs it, and try again."
    ended = "unexpectedly" if exit_code is None else f"with exit code {exit_code}"
    return f"The worker ended {ended}{last_words}; try again."
