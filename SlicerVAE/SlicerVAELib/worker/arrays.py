"""Arrays between two processes: .npy files, mapped into memory, in a scratch folder that nobody else can read.

Folders lie as ``<temporary folder>/slicervae-<user>/<client>/``, of mode 0700. The client holds a lock beside its
folder for as long as it lives, however it dies; what lies there without such a lock is data of patients that somebody
left behind, and is deleted by whoever makes the next folder.
"""

import contextlib
import getpass
import math
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from ..core.errors import UserError
from .protocol import ArrayReference

_FILE_NAME = re.compile(r"[0-9a-f]{32}\.npy")
_NO_LINKS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_REAL_KINDS = "biuf"  # numpy's letters for booleans, integers and floating point numbers
_ORPHAN_WAIT_S = 0.25
_CANT_MAKE = "The folder {} can't be made ({}); name another temporary folder in TMPDIR."

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, *, wait: bool) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: BinaryIO, *, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)


class Scratch:
    """A private folder through which arrays go, as its guest; ``Scratch.create`` makes one and owns it.

    Raises UserError when ``folder`` is not a folder that only this user can enter.
    """

    def __init__(self, folder: Path) -> None:
        _check_private(folder)
        self.folder = folder
        self._remove: weakref.finalize | None = None

    @classmethod
    def create(cls, base: Path | None = None) -> "Scratch":
        """Make a folder below ``base`` (the system's temporary folder when None), and delete those of dead clients.

        It is deleted by ``close``, and at the latest when this process exits.
        """
        root = _private_root(Path(tempfile.gettempdir()) if base is None else base)
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        try:
            with _one_at_a_time(root):
                _purge(root)
                lock = _lock_file_of(root / name).open("xb")
                _lock(lock, wait=True)
                (root / name).mkdir(mode=0o700)
        except OSError as error:
            raise UserError(_CANT_MAKE.format(root / name, error.strerror)) from error
        scratch = cls(root / name)
        scratch._remove = weakref.finalize(scratch, _remove_own, scratch.folder, lock, os.getpid())
        return scratch

    def write(self, array: np.ndarray) -> ArrayReference:
        """Write ``array``, of any shape, strides and real type, bit for bit.

        Raises UserError when the type is no real number or the disk is full; then no file is left.
        """
        if array.dtype.kind not in _REAL_KINDS:
            raise UserError(f"An array of type '{array.dtype}' can't be sent to the worker; convert it to numbers.")
        array = np.asarray(array)
        if not (array.flags.c_contiguous or array.flags.f_contiguous):
            array = np.ascontiguousarray(array)
        path = self.folder / f"{secrets.token_hex(16)}.npy"
        try:
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINKS, 0o600), "wb") as file:
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(file, header)
                # Not ndarray.tofile, whose error for a full disk does not say so.
                file.write((array.T if header["fortran_order"] else array).reshape(-1).view(np.uint8).data)
        except OSError as error:
            path.unlink(missing_ok=True)
            raise UserError(
                f"An array of {array.nbytes / 1e6:.0f} MB could not be written to {self.folder} "
                f"({error.strerror}); make room there, or name another temporary folder in TMPDIR."
            ) from error
        return ArrayReference(path.name, array.dtype.str, array.shape)

    def read(self, reference: ArrayReference) -> np.ndarray:
        """Map the array that ``reference`` names: read from the file as it is used, private when it is changed.

        The file is deleted at once where the system can delete a mapped file (all but Windows), and the array stays
        valid. Raises UserError when the reference leaves the folder or the file is not what the reference says.
        """
        path = self.folder / reference.file
        if not _FILE_NAME.fullmatch(reference.file):
            raise UserError(f"The array file '{reference.file[:80]}' is refused: it is no file of {self.folder}.")
        try:
            if not stat.S_ISREG(path.lstat().st_mode):
                raise UserError(f"The array file {path} is refused: it is not a plain file.")
            with os.fdopen(os.open(path, os.O_RDONLY | _NO_LINKS), "rb") as file:
                array = _map(file, reference)
            with contextlib.suppress(PermissionError):
                path.unlink(missing_ok=True)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserError(f"The array file {path} can't be used: {reason}.") from error
        return array

    def clear(self) -> None:
        """Delete every file; what Windows still holds open goes with the next call, or with the folder."""
        with contextlib.suppress(FileNotFoundError):
            for path in self.folder.iterdir():
                with contextlib.suppress(PermissionError):
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Delete the folder, if this object made it."""
        if self._remove is not None:
            self._remove()

    def remove_if_orphan(self) -> None:
        """Delete the folder when its owner is dead, which takes the system a moment to show."""
        deadline = time.monotonic() + _ORPHAN_WAIT_S
        has_owner = _lock_file_of(self.folder).exists()
        while has_owner and self.folder.exists() and not _removed_dead(self.folder) and time.monotonic() < deadline:
            time.sleep(0.02)


def _map(file: BinaryIO, reference: ArrayReference) -> np.ndarray:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("its format is not version 1.0 of .npy")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in _REAL_KINDS or (shape, dtype.str) != (reference.shape, reference.dtype):
        raise ValueError(f"it holds {dtype.str} {shape} and not {reference.dtype} {reference.shape}")
    offset = file.tell()
    if os.fstat(file.fileno()).st_size != offset + math.prod(shape) * dtype.itemsize:
        raise ValueError("it is cut short or too long")
    order: Literal["C", "F"] = "F" if fortran_order else "C"
    return np.asarray(np.memmap(file, dtype=dtype, mode="c", offset=offset, shape=shape, order=order))


def _private_root(base: Path) -> Path:
    user = os.getuid() if sys.platform != "win32" else re.sub(r"\W", "_", getpass.getuser())
    root = base / f"slicervae-{user}"
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        if sys.platform != "win32" and not root.is_symlink() and root.stat().st_uid == os.getuid():
            root.chmod(0o700)
    except OSError as error:
        raise UserError(_CANT_MAKE.format(root, error.strerror)) from error
    _check_private(root)
    return root


def _check_private(folder: Path) -> None:
    try:
        status = folder.lstat()
    except OSError as error:
        raise UserError(f"The scratch folder {folder} can't be used ({error.strerror}).") from error
    is_own = sys.platform == "win32" or (status.st_uid == os.getuid() and not status.st_mode & 0o077)
    if not stat.S_ISDIR(status.st_mode) or not is_own:
        raise UserError(
            f"The scratch folder {folder} is a link, or others can enter it, so it is not safe for data of patients; "
            f"remove it, or name another temporary folder in TMPDIR."
        )


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    # Without it, a folder that is just being made and not locked yet would look like a dead client's.
    with (root / "lock").open("ab") as lock:
        _lock(lock, wait=True)
        yield


def _lock_file_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _purge(root: Path) -> None:
    for name in {path.name.removesuffix(".lock") for path in root.iterdir()} - {"lock"}:
        _removed_dead(root / name)


def _removed_dead(folder: Path) -> bool:
    """Delete ``folder`` unless its owner lives."""
    path = _lock_file_of(folder)
    try:
        with path.open("r+b") as lock:
            _lock(lock, wait=False)
            shutil.rmtree(folder, ignore_errors=True)
    except FileNotFoundError:
        shutil.rmtree(folder, ignore_errors=True)
    except OSError:  # locked
        return False
    if not folder.exists():
        path.unlink(missing_ok=True)
    return True


def _remove_own(folder: Path, lock: BinaryIO, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the owner
        return
    shutil.rmtree(folder, ignore_errors=True)
    lock.close()
    if not folder.exists():
        _lock_file_of(folder).unlink(missing_ok=True)
