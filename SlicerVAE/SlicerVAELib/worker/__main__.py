"""``python -m SlicerVAELib.worker --scratch FOLDER``: serve the engine of this Python on standard input and output."""

import argparse
import os
import signal
import sys
from io import RawIOBase
from pathlib import Path

from ..core.engine import Engine
from ..core.errors import UserError
from ..core.threads import wait_politely
from .arrays import Scratch
from .server import serve


def take_pipes() -> tuple[RawIOBase, RawIOBase]:
    """Return standard input and output as private unbuffered pipes.

    What anything else in this process prints goes to standard error from now on, also when it is written in C, and
    nothing else can read the messages. Call it before the first heavy import.
    """
    stdin = os.fdopen(os.dup(0), "rb", buffering=0)
    stdout = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    return stdin, stdout


def make_engine() -> Engine:
    """Return the in-process engine. Raises UserError when this Python lacks what it needs."""
    wait_politely()
    try:
        from ..core.local_engine import LocalEngine
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed in {sys.executable}; install it there (in Slicer, with the PyTorch "
            f"extension), or choose another Python."
        ) from error
    except (ImportError, OSError) as error:  # a library that torch brings does not load
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"torch can't be loaded in {sys.executable} ({reason}); install it there again.") from error
    return LocalEngine()


def main() -> int:
    """Serve until standard input closes; return 1 when there is no engine to serve."""
    parser = argparse.ArgumentParser(prog="python -m SlicerVAELib.worker", description=__doc__)
    parser.add_argument("--scratch", type=Path, required=True, help="folder of mode 0700 through which arrays go")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the client's to answer
    stdin, stdout = take_pipes()
    try:
        scratch = Scratch(options.scratch)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    serve(make_engine, stdin, stdout, scratch)
    return 1


if __name__ == "__main__":
    sys.exit(main())
