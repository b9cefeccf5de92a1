"""Keeping what file libraries say to themselves off the person's terminal."""

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator

import SimpleITK as sitk

_lock = threading.Lock()
_depth = 0
_restore = contextlib.ExitStack()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Python warnings and what ITK and its C libraries write to standard error while the block runs.

    What goes wrong still arrives as an exception. All of this is the whole process's, not the thread's: blocks may
    nest and overlap between threads, the last one to end brings everything back, and none should show progress.
    """
    global _depth
    with _lock:
        if _depth == 0:
            _silence()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _restore.close()


def _silence() -> None:
    _restore.callback(sitk.ProcessObject.SetGlobalWarningDisplay, sitk.ProcessObject.GetGlobalWarningDisplay())
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    _restore.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    # MetaIO and the JPEG decoders write to the C stream itself, which no Python or ITK setting reaches.
    with contextlib.suppress(OSError):  # a windowed application has no standard streams
        kept = os.dup(2)
        _restore.callback(os.close, kept)
        _restore.callback(os.dup2, kept, 2)
        if sys.stderr is not None:
            sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
