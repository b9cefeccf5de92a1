"""What a person sees in the terminal while something runs."""

import contextlib
import signal
import sys
import types
from collections.abc import Iterator

from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.progress import Cancel, Listener, Progress


@contextlib.contextmanager
def progress_bar(title: str) -> Iterator[Listener]:
    """Yield a listener that draws one bar on standard error: stage, share done, time left.

    Where standard error is not a terminal, a line every tenth is written instead, so that logs stay readable.
    """
    if not sys.stderr.isatty():
        yield _Tenths(title)
        return
    from tqdm import tqdm

    layout = "{desc}: {percentage:3.0f}% |{bar}| {elapsed}{postfix}"
    with tqdm(total=1000, bar_format=layout, leave=True, file=sys.stderr) as bar:
        bar.set_description_str(title)

        def show(progress: Progress) -> None:
            left = "" if progress.remaining_s is None else f", {_clock(progress.remaining_s)} left"
            bar.set_postfix_str(f"{progress.stage}{left}", refresh=False)
            bar.n = round(progress.fraction * 1000)
            bar.refresh()

        yield show


class _Tenths:
    def __init__(self, title: str) -> None:
        self._title, self._last = title, -1

    def __call__(self, progress: Progress) -> None:
        tenth = int(progress.fraction * 10)
        if tenth == self._last:
            return
        self._last = tenth
        left = "" if progress.remaining_s is None else f", {_clock(progress.remaining_s)} left"
        sys.stderr.write(f"{self._title}: {tenth * 10} % ({progress.stage}{left})\n")
        sys.stderr.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


@contextlib.contextmanager
def cancel_on_interrupt(message: str) -> Iterator[Cancel]:
    """Yield a Cancel that the first Ctrl-C sets; a second one interrupts at once.

    Raises Cancelled with ``message`` in place of the work's own.
    """
    cancel = Cancel()

    def interrupted(number: int, frame: types.FrameType | None) -> None:
        if cancel.requested:
            signal.default_int_handler(number, frame)
        sys.stderr.write("\nStopping at the next step; Ctrl-C again stops at once.\n")
        cancel.request()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield cancel
    except Cancelled:
        raise Cancelled(message) from None
    finally:
        signal.signal(signal.SIGINT, before)
