"""Work of Slicer's own process in a thread, beside the window.

In Slicer a Python thread goes on only while the main thread runs Python and lets go of the interpreter, which Qt's
event loop never does. So the main thread comes back again and again, waits a moment for the thread, and lets the window
live in between.
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from ..core.errors import Cancelled, UserError
from ..core.progress import Cancel, Progress
from .ports import Aside, ModelRequest, Request, RunListener, Runner
from .translation import tr as _

WAIT_S = 0.02  # for the thread, each time; the window stands still for as long
CANCEL_GRACE_S = 0.7
EXIT_GRACE_S = 1.0

_logger = logging.getLogger(__name__)


class WithAside:
    """The Runner that does an Aside in a thread, and hands everything else to ``inner``.

    ``later`` calls a function once the window has lived. What does not heed its Cancel in time goes on unheard.
    """

    def __init__(self, inner: Runner[ModelRequest], later: Callable[[Callable[[], None]], None]) -> None:
        self._inner, self._later = inner, later
        self._running: _Running | None = None

    def start(self, request: Request, listener: RunListener) -> None:
        """See ``Runner``."""
        if not isinstance(request, Aside):
            self._inner.start(request, listener)
            return
        running = self._running = _Running(request, listener)
        running.thread.start()
        self._later(lambda: self._look_at(running))

    def cancel(self) -> None:
        """See ``Runner``."""
        if self._running is None:
            self._inner.cancel()
        else:
            self._running.cancel.request()
            self._running.given_up_at = time.monotonic() + CANCEL_GRACE_S

    def close(self) -> None:
        """See ``Runner``."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel.request()
            running.thread.join(EXIT_GRACE_S)
        self._inner.close()

    def _look_at(self, running: "_Running") -> None:
        if running is not self._running:
            return
        running.thread.join(WAIT_S)
        if running.thread.is_alive() and time.monotonic() < running.given_up_at:
            running.tell_progress()
            self._later(lambda: self._look_at(running))
            return
        self._running = None
        running.tell_outcome()


class _Running:
    """One piece of work and its thread, whose outcome is told from the main thread."""

    def __init__(self, aside: Aside, listener: RunListener) -> None:
        self.cancel, self.given_up_at = Cancel(), float("inf")
        self.thread = threading.Thread(target=self._run, args=(aside,), daemon=True)
        self._listener = listener
        self._progress: Progress | None = None
        self._result: Any = None
        self._error: UserError | Cancelled | None = Cancelled()  # of a thread that nobody waits for any more

    def tell_progress(self) -> None:
        """Tell the newest progress, once."""
        progress, self._progress = self._progress, None
        if progress is not None:
            self._listener.progressed(progress)

    def tell_outcome(self) -> None:
        """Tell how it ended, or that it was given up."""
        if self._error is None:
            self._listener.finished(self._result)
        else:
            self._listener.failed(self._error)

    def _run(self, aside: Aside) -> None:
        try:
            self._result = aside.work(self._keep, self.cancel)
            self._error = None
        except (UserError, Cancelled) as error:
            self._error = error
        except Exception:  # nobody else would hear of it
            _logger.exception("work beside the window ended early")
            self._error = UserError(_("That could not be done; the application log says more."))

    def _keep(self, progress: Progress) -> None:
        self._progress = progress
