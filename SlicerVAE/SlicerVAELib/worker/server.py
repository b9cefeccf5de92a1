"""The worker's half of the protocol: an engine behind two pipes.

The main thread computes. A second thread reads the messages meanwhile: it sets the Cancel of the request being worked
on, refuses further ones, and ends the process the moment its input closes, so that no orphan keeps the GPU's memory.
"""

import logging
import os
import queue
import threading
import time
import traceback
from collections.abc import Callable
from io import RawIOBase
from typing import Any, Literal

from .. import __version__
from ..core.engine import Engine
from ..core.errors import Cancelled, UserError
from ..core.progress import Cancel, Progress
from . import protocol
from .arrays import Scratch
from .questions import question_of

SOFTWARE = f"SlicerVAE {__version__}"
PROGRESS_PERIOD_S = 0.05
_LONGEST_TEXT = 16_384

_logger = logging.getLogger(__name__)

_Work = protocol.Info | protocol.Work


def serve(make_engine: Callable[[], Engine], stdin: RawIOBase, stdout: RawIOBase, scratch: Scratch) -> None:
    """Answer requests from ``stdin`` on ``stdout``, two unbuffered pipes, with the engine that ``make_engine`` returns.

    The process ends in here when ``stdin`` closes. Returns only when ``make_engine`` raised UserError, which the client
    is told.
    """
    outbox = _Outbox(stdout)
    inbox = _Inbox(stdin, outbox, scratch)
    threading.Thread(target=inbox.read, name="messages", daemon=True).start()
    try:
        engine = make_engine()
    except UserError as error:
        outbox.send(_failed(None, "user", str(error)))
        return
    outbox.send(protocol.encode(protocol.Ready(protocol.PROTOCOL_VERSION, os.getpid(), SOFTWARE)))
    while True:
        message, cancel = inbox.take()
        listener = _RateLimit(message.id, outbox)
        line = _answer(engine, message, scratch, listener, cancel)
        inbox.done()
        outbox.send(line)


def _answer(engine: Engine, message: _Work, scratch: Scratch, listener: "_RateLimit", cancel: Cancel) -> bytes:
    try:
        cancel.check()
        result = protocol.pack(_compute(engine, message, scratch, listener, cancel), scratch.write)
        listener.flush()
        return protocol.encode(protocol.Result(message.id, result))
    except UserError as error:
        return _failed(message.id, "user", str(error))
    except Cancelled as stop:
        return _failed(message.id, "cancelled", str(stop))
    except MemoryError:
        return _failed(message.id, "user", "Memory ran out; close other programs or crop the volume, then try again.")
    except Exception as error:
        _logger.exception("request %d failed", message.id)
        sentence = f"The engine failed with an internal error ({type(error).__name__}: {error}); the log has details."
        return _failed(message.id, "internal", sentence, traceback.format_exc())


def _compute(engine: Engine, message: _Work, scratch: Scratch, listener: "_RateLimit", cancel: Cancel) -> Any:
    if isinstance(message, protocol.Info):
        return engine.info()
    question = question_of(message)
    request = protocol.unpack(question.request, message.request, scratch.read, "The request")
    return question.answered_by(engine)(request, listener, cancel)


def _failed(
    message_id: int | None,
    error: Literal["user", "cancelled", "busy", "protocol", "internal"],
    sentence: str,
    detail: str = "",
) -> bytes:
    return protocol.encode(protocol.Failed(message_id, error, sentence[:_LONGEST_TEXT], detail[-_LONGEST_TEXT:]))


class _Outbox:
    """Writes whole lines, from either thread; ends the process when nobody reads them any more."""

    def __init__(self, pipe: RawIOBase) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.send(b"\n")  # ends whatever a launcher may have printed without a line feed

    def send(self, line: bytes) -> None:
        rest = memoryview(line)
        try:
            with self._lock:
                while rest:
                    rest = rest[self._pipe.write(rest) :]
        except OSError:
            os._exit(1)


class _Inbox:
    """Reads messages in a thread of its own and hands one request at a time to the main thread."""

    def __init__(self, pipe: RawIOBase, outbox: _Outbox, scratch: Scratch) -> None:
        self._pipe, self._outbox, self._scratch = pipe, outbox, scratch
        self._work: queue.SimpleQueue[tuple[_Work, Cancel]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._current: tuple[int, Cancel] | None = None

    def take(self) -> tuple[_Work, Cancel]:
        """Wait for a request."""
        return self._work.get()

    def done(self) -> None:
        """The request is worked on no more: the next one may come."""
        with self._lock:
            self._current = None

    def read(self) -> None:
        """Read until the pipe closes, then end the process at once, whatever it is doing."""
        lines = protocol.Lines()
        try:
            while data := self._pipe.read(65_536):
                for line in lines.feed(data):
                    self._handle(line)
            self._scratch.remove_if_orphan()
        finally:
            os._exit(0)

    def _handle(self, line: bytes | None) -> None:
        try:
            message = protocol.decode(line, protocol.REQUESTS)
        except protocol.BadMessage as error:
            self._outbox.send(_failed(error.id, "protocol", str(error)))
            return
        if isinstance(message, protocol.Cancel):
            self._cancel(message.id)
        elif not self._accept(message):
            sentence = "The worker is at work on another request; wait for it or cancel it first."
            self._outbox.send(_failed(message.id, "busy", sentence))

    def _cancel(self, message_id: int) -> None:
        with self._lock:
            if self._current is not None and self._current[0] == message_id:
                self._current[1].request()

    def _accept(self, message: _Work) -> bool:
        with self._lock:
            if self._current is not None:
                return False
            cancel = Cancel()
            self._current = (message.id, cancel)
            self._work.put((message, cancel))
            return True


class _RateLimit:
    """Passes on at most one Progress of a stage in every ``PROGRESS_PERIOD_S``, and by ``flush`` the last one."""

    def __init__(self, message_id: int, outbox: _Outbox) -> None:
        self._id, self._outbox = message_id, outbox
        self._sent: tuple[str, float] | None = None
        self._held: Progress | None = None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._sent is not None and self._sent[0] == progress.stage and now - self._sent[1] < PROGRESS_PERIOD_S:
            self._held = progress
            return
        self._sent, self._held = (progress.stage, now), None
        self._outbox.send(protocol.encode(protocol.ProgressReport(self._id, progress)))

    def flush(self) -> None:
        if self._held is not None:
            self._outbox.send(protocol.encode(protocol.ProgressReport(self._id, self._held)))
