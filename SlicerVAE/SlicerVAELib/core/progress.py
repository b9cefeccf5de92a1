"""Progress with a remaining-time estimate, and cancelling, between long work and whoever watches it."""

import dataclasses
import threading
import time
from collections.abc import Callable

from .errors import Cancelled


@dataclasses.dataclass(frozen=True)
class Progress:
    """How far a piece of work is: ``fraction`` in [0, 1], what is being done, seconds left (None when unknown)."""

    fraction: float
    stage: str
    remaining_s: float | None = None


Listener = Callable[[Progress], None]


def ignore(progress: Progress) -> None:
    """A listener for work that nobody watches."""


def part_of(listener: Listener, start: float, end: float) -> Listener:
    """A listener for a part of the work that fills [start, end] of the whole."""

    def tell(progress: Progress) -> None:
        share = start + progress.fraction * (end - start)
        listener(Progress(share, progress.stage, progress.remaining_s))

    return tell


class Cancel:
    """A request to stop, set from any thread; the work asks ``check()`` between its steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._event.is_set()

    def request(self) -> None:
        """Ask the work to stop at its next check."""
        self._event.set()

    def check(self) -> None:
        """Raise Cancelled when somebody asked to stop."""
        if self.requested:
            raise Cancelled


class Meter:
    """Turns counted steps of one stage into Progress, with the time left estimated from the steps done so far."""

    def __init__(self, listener: Listener, stage: str, total: int, *, start: float = 0.0, end: float = 1.0) -> None:
        self._listener, self._stage, self._total = listener, stage, max(total, 1)
        self._start, self._end = start, end
        self._done, self._began = 0, time.monotonic()
        self.advance(0)

    def advance(self, steps: int) -> None:
        """Count ``steps`` more as done and tell the listener."""
        self._done = min(self._done + steps, self._total)
        share = self._done / self._total
        elapsed = time.monotonic() - self._began
        remaining = elapsed * (1 - share) / share if share > 0 else None
        self._listener(Progress(self._start + share * (self._end - self._start), self._stage, remaining))
