"""The worker over Qt's event loop: the window lives on while it starts, computes, is cancelled or dies."""

import contextlib
import logging
import os
import signal
from collections.abc import Callable

import qt

from ..core.errors import UserError
from ..worker.arrays import Scratch
from ..worker.client import worker_arguments, worker_command, worker_environment
from ..worker.conversation import Conversation, Event, FailedEvent, ProgressEvent, ResultEvent
from .connections import Connections
from .ports import InfoRequest, ModelRequest, RunListener
from .translation import tr as _

CANCEL_GRACE_MS = 700
EXIT_GRACE_MS = 1000
_TAIL_CHARACTERS = 4000
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows knows one way to end a process

_logger = logging.getLogger(__name__)


class WorkerProcess:
    """The Runner of what the model is asked: one worker process, started by the first request and kept warm.

    ``python`` is asked for the interpreter at each start; it may raise UserError.
    """

    def __init__(self, python: Callable[[], str]) -> None:
        self._python = python
        self._conversation: Conversation | None = None
        self._process: qt.QProcess | None = None
        self._connections = Connections()
        self._listener: RunListener | None = None
        self._run = 0
        self._last_words = ""

    @property
    def process_id(self) -> int | None:
        """The worker's own process id; None while none is ready."""
        return self._conversation.process_id if self._conversation else None

    def start(self, request: ModelRequest, listener: RunListener) -> None:
        """Send the request, starting the worker if there is none."""
        conversation = self._conversation = self._conversation or Conversation(Scratch.create())
        process = self._process or self._launch(conversation)
        message = conversation.info() if isinstance(request, InfoRequest) else conversation.ask(request)
        self._listener, self._run = listener, self._run + 1
        process.write(message)

    def cancel(self) -> None:
        """Ask the worker to stop; one that does not answer in time is ended."""
        if self._process is None or self._conversation is None:
            return
        self._process.write(self._conversation.cancel())
        run = self._run
        qt.QTimer.singleShot(CANCEL_GRACE_MS, lambda: self._kill() if run == self._run and self._listener else None)

    def close(self) -> None:
        """End the worker and delete what lies in its scratch folder."""
        self._listener = None
        self._connections.disconnect_all()
        conversation, self._conversation = self._conversation, None
        if conversation is not None:
            conversation.scratch.close()
        if self._process is not None:
            self._process.closeWriteChannel()
            if not self._process.waitForFinished(EXIT_GRACE_MS):
                _end_by_force(self._process, conversation.process_id if conversation else None)
                self._process.waitForFinished(EXIT_GRACE_MS)
        self._process = None

    def _launch(self, conversation: Conversation) -> "qt.QProcess":
        program, *arguments = [*worker_command(self._python()), *worker_arguments(conversation.scratch)]
        process = qt.QProcess()
        process.setEnvironment([f"{name}={value}" for name, value in worker_environment().items()])
        self._connections.connect(process, "readyReadStandardOutput()", self._read_messages)
        self._connections.connect(process, "readyReadStandardError()", self._read_log)
        self._connections.connect(process, "finished(int,QProcess::ExitStatus)", self._on_finished)
        self._connections.connect(process, "errorOccurred(QProcess::ProcessError)", self._on_error)
        self._process, self._last_words = process, ""
        process.start(program, arguments)
        return process

    def _read_messages(self) -> None:
        if self._process is None or self._conversation is None:
            return
        for event in self._conversation.feed(self._process.readAllStandardOutput().data()):
            self._take(event)

    def _read_log(self) -> None:
        if self._process is not None:
            text = self._process.readAllStandardError().data().decode("utf-8", "replace")
            self._last_words = (self._last_words + text)[-_TAIL_CHARACTERS:]
            _logger.info("worker: %s", text.rstrip())

    def _on_finished(self, code: int, status: object) -> None:
        self._read_messages()
        self._read_log()
        self._forget_process()
        if self._conversation is not None:
            failure = self._conversation.closed(code if status == qt.QProcess.NormalExit else -code, self._last_words)
            if failure is not None:
                self._take(failure)

    def _on_error(self, error: object) -> None:
        # Every other error is followed by finished().
        if error == qt.QProcess.FailedToStart and self._process is not None and self._conversation is not None:
            program = self._process.program()
            self._forget_process()
            self._conversation.closed(None)
            sentence = _("'{program}' could not be started; choose a Python that has PyTorch.")
            self._take(FailedEvent(UserError(sentence.format(program=program))))

    def _take(self, event: Event) -> None:
        listener = self._listener
        if listener is None:
            return
        if isinstance(event, ProgressEvent):
            listener.progressed(event.progress)
        elif isinstance(event, ResultEvent):
            self._listener = None
            listener.finished(event.result)
        elif isinstance(event, FailedEvent):
            self._listener = None
            if self._process is not None and self.process_id is None:
                self._drop_unfit()
            listener.failed(event.error)

    def _drop_unfit(self) -> None:
        # A worker that can't work, or of another version, ends in a moment; the next request must not go to it.
        self._kill()
        self._forget_process()
        if self._conversation is not None:
            self._conversation.closed(None)

    def _forget_process(self) -> None:
        self._connections.disconnect_all()
        if self._process is not None:
            self._process.deleteLater()
        self._process = None

    def _kill(self) -> None:
        if self._process is not None:
            _end_by_force(self._process, self.process_id)


def _end_by_force(process: qt.QProcess, worker_id: int | None) -> None:
    # The process that Qt knows may be a launcher. While it runs, the worker's number is still the worker's.
    is_running = process.state() != qt.QProcess.NotRunning
    if worker_id is not None and worker_id != os.getpid() and is_running:
        with contextlib.suppress(OSError):
            os.kill(worker_id, _KILL)
    process.kill()
