"""The Engine as a separate process, for callers that may wait for it."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from io import RawIOBase
from pathlib import Path
from typing import Self, cast

from ..core.engine import (
    DecodeRequest,
    EncodedVolume,
    EncodeRequest,
    EngineInfo,
    LatentsRequest,
    Reconstruction,
    ReconstructRequest,
    SliceLatents,
    Synthesis,
    SynthesizeRequest,
)
from ..core.errors import Cancelled, UserError
from ..core.progress import Cancel, Listener, ignore
from .arrays import Scratch
from .conversation import Answer, Conversation, Event, FailedEvent, ProgressEvent, ResultEvent

POLL_S = 0.05
CANCEL_GRACE_S = 0.7  # with the rest, Cancel is answered within a second
_EXIT_S = 2.0
_TAIL_BYTES = 16_384
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows knows one way to end a process


def worker_command(python: str = sys.executable) -> list[str]:
    """The command that starts the worker, but for ``worker_arguments``.

    ``-P`` keeps Python from importing what lies in the current folder, which may be a folder of images.
    """
    return [python, "-P", "-m", "SlicerVAELib.worker"]


def worker_arguments(scratch: Scratch) -> list[str]:
    """What follows the command."""
    return ["--scratch", str(scratch.folder)]


def worker_environment() -> dict[str, str]:
    """This process's environment, with this very library where Python looks for modules first."""
    library = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([library, inherited] if inherited else [library])}


class WorkerEngine:
    """Computes in a worker process. Keeps the protocol of ``core.engine.Engine``.

    The worker starts with the first request or by ``start``, stays warm, and is started afresh by the request after
    its death; the death itself is a UserError. Arrays of results are mapped files, private to this process.
    ``command`` starts a worker, which gets ``worker_arguments`` behind it; ``scratch_base`` is the folder for arrays
    (the system's temporary folder when None). One request at a time; ``close`` may be called from any thread.
    """

    def __init__(
        self,
        command: Sequence[str] | None = None,
        scratch_base: Path | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        self._command = worker_command() if command is None else list(command)
        self._scratch = Scratch.create(scratch_base)
        self._conversation = Conversation(self._scratch)
        self._start_timeout_s = start_timeout_s
        self._process: _Process | None = None
        self._at_work = threading.Lock()
        self._closed = False

    @property
    def process_id(self) -> int | None:
        """The worker's own process id; None while none is ready."""
        return self._conversation.process_id

    def start(self, cancel: Cancel | None = None) -> None:
        """Start the worker unless it runs, and wait until it is ready."""
        with self._one_at_a_time():
            self._start(cancel)

    def info(self) -> EngineInfo:
        """Return what the engine runs on."""
        return cast(EngineInfo, self._ask(self._conversation.info, ignore, None))

    def reconstruct(
        self, request: ReconstructRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Reconstruction:
        """Reconstruct a volume; see ReconstructRequest."""
        return cast(Reconstruction, self._ask(lambda: self._conversation.ask(request), progress, cancel))

    def synthesize(
        self, request: SynthesizeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> Synthesis:
        """Draw synthetic slices; see SynthesizeRequest."""
        return cast(Synthesis, self._ask(lambda: self._conversation.ask(request), progress, cancel))

    def encode(
        self, request: EncodeRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> EncodedVolume:
        """Encode a volume's slices; see EncodeRequest."""
        return cast(EncodedVolume, self._ask(lambda: self._conversation.ask(request), progress, cancel))

    def decode(self, request: DecodeRequest, progress: Listener = ignore, cancel: Cancel | None = None) -> Synthesis:
        """Decode given latents; see DecodeRequest."""
        return cast(Synthesis, self._ask(lambda: self._conversation.ask(request), progress, cancel))

    def latents(
        self, request: LatentsRequest, progress: Listener = ignore, cancel: Cancel | None = None
    ) -> SliceLatents:
        """The latents of some of a volume's slices; see LatentsRequest."""
        return cast(SliceLatents, self._ask(lambda: self._conversation.ask(request), progress, cancel))

    def close(self) -> None:
        """End the worker and delete what lies in the scratch folder; a request in another thread is cancelled."""
        self._closed = True
        process, self._process = self._process, None
        _finish(self._scratch, process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _one_at_a_time(self) -> Iterator[None]:
        if not self._at_work.acquire(blocking=False):
            raise UserError("The model is still at work; wait for it or cancel first.")
        try:
            yield
        finally:
            self._at_work.release()

    def _ask(self, question: Callable[[], bytes], progress: Listener, cancel: Cancel | None) -> Answer:
        with self._one_at_a_time():
            process = self._start(cancel)
            try:
                process.send(question())
                return self._answer(progress, cancel)
            except BaseException:
                self._stop()
                raise

    def _start(self, cancel: Cancel | None) -> "_Process":
        if self._closed:
            raise RuntimeError("the engine is closed")
        self._look_for_death()
        if self._process is None:
            self._process = _Process([*self._command, *worker_arguments(self._scratch)])
            weakref.finalize(self, _finish, self._scratch, self._process)
        process = self._process
        while not self._conversation.ready:
            if cancel is not None:
                cancel.check()
            if process.age_s > self._start_timeout_s:
                self._kill()
                raise UserError(
                    f"The worker was not ready {self._start_timeout_s:g} s after its start; try again, and check "
                    f"'{self._command[0]}' if it happens again."
                )
            for event in self._next(POLL_S):
                if isinstance(event, FailedEvent):
                    self._kill()
                    raise event.error
        return process

    def _look_for_death(self) -> None:
        """Take in what came since the last request: most of all, whether the worker died meanwhile."""
        process = self._process
        while process is not None and process is self._process:
            if not self._next(_EXIT_S if process.has_exited else 0.0):
                return

    def _answer(self, progress: Listener, cancel: Cancel | None) -> Answer:
        while True:
            if cancel is not None:
                cancel.check()
            for event in self._next(POLL_S):
                if isinstance(event, ProgressEvent):
                    progress(event.progress)
                elif isinstance(event, ResultEvent):
                    return event.result
                elif isinstance(event, FailedEvent):
                    raise event.error

    def _stop(self) -> None:
        """Cancel the pending request, if there is one: by a message, and by force when that is not heard."""
        deadline = time.monotonic() + CANCEL_GRACE_S
        try:
            if self._process is not None:
                self._process.send(self._conversation.cancel())
            while self._conversation.busy and self._process is not None and time.monotonic() < deadline:
                self._next(POLL_S)
        finally:
            if self._conversation.busy:
                self._kill()

    def _next(self, timeout_s: float) -> list[Event]:
        """What happens within ``timeout_s``; the worker's death is among it."""
        process = self._process
        if process is None:
            raise Cancelled  # closed by another thread
        data = process.receive(timeout_s)
        if data is None:
            return []
        if data:
            events = self._conversation.feed(data)
            process.own_id = self._conversation.process_id
            return events
        self._process = None
        failure = self._conversation.closed(process.end(), process.last_words())
        if self._closed:
            raise Cancelled
        return [] if failure is None else [failure]

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        self._conversation.closed(None)


def _finish(scratch: Scratch, process: "_Process | None") -> None:
    scratch.close()  # first, because a worker that finds it there looks whether it has to do this for a dead client
    if process is not None:
        process.end()


class _Process:
    """A running worker and its pipes, each emptied by a thread so that neither side ever waits for the other."""

    def __init__(self, command: Sequence[str]) -> None:
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=worker_environment(),
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError as error:
            raise UserError(
                f"The worker can't be started with '{command[0]}' ({error.strerror}); choose a Python that has torch."
            ) from error
        self.own_id: int | None = None  # as the worker reports it: a launcher's is another
        self._owner, self._began = os.getpid(), time.monotonic()
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._tail = bytearray()
        self._threads = [
            threading.Thread(target=_pass_on, args=(self._popen.stdout, self._chunks), daemon=True),
            threading.Thread(target=_keep_tail, args=(self._popen.stderr, self._tail), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def age_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    @property
    def has_exited(self) -> bool:
        """Whether what was started has ended."""
        return self._popen.poll() is not None

    def send(self, data: bytes) -> None:
        """Write all of ``data``; a worker that died shows itself by what ``receive`` returns."""
        rest = memoryview(data)
        with contextlib.suppress(OSError):
            while rest:
                rest = rest[cast(RawIOBase, self._popen.stdin).write(rest) :]

    def receive(self, timeout_s: float) -> bytes | None:
        """What the worker wrote, b"" once it writes no more, None when nothing comes within ``timeout_s``."""
        try:
            return self._chunks.get(timeout=timeout_s) if timeout_s > 0 else self._chunks.get_nowait()
        except queue.Empty:
            return None

    def last_words(self) -> str:
        """The end of what the worker wrote to standard error."""
        self._threads[1].join(timeout=_EXIT_S)
        return self._tail.decode("utf-8", "replace")

    def end(self) -> int | None:
        """Close the worker's input, by which it ends, or kill it; return its exit code, None when that is not known."""
        if os.getpid() != self._owner:  # a fork of the owner
            return None
        cast(RawIOBase, self._popen.stdin).close()
        try:
            return self._popen.wait(_EXIT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self) -> None:
        """End the worker by force, and whatever launched it."""
        cast(RawIOBase, self._popen.stdin).close()
        # As long as the pipe is open the worker lives, so that its number can't be another process's by now.
        is_behind_launcher = self.own_id is not None and self.own_id not in (self._popen.pid, os.getpid())
        if is_behind_launcher and self._threads[0].is_alive():
            with contextlib.suppress(OSError):
                os.kill(cast(int, self.own_id), _KILL)
        self._popen.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(POLL_S)


def _pass_on(pipe: RawIOBase, chunks: "queue.SimpleQueue[bytes]") -> None:
    with pipe, contextlib.suppress(OSError):
        while data := pipe.read(65_536):
            chunks.put(data)
    chunks.put(b"")


def _keep_tail(pipe: RawIOBase, tail: bytearray) -> None:
    with pipe, contextlib.suppress(OSError):
        while data := pipe.read(4096):
            tail += data
            del tail[:-_TAIL_BYTES]
