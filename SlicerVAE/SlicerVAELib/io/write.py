"""Writing files so that there is either all of them or nothing."""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import SimpleITK as sitk

from ..core.errors import UserError
from ..core.records import to_data
from ..core.volume import Geometry
from .quiet import quiet

_COMPRESSION = 2  # level 1 leaves a CT almost as large as it was, higher ones only take longer
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


class OutputFolder:
    """A folder that is filled completely or not at all.

    ``with OutputFolder(path) as folder`` gives a hidden folder beside ``path`` to write into. When the block ends well
    its files move into ``path``, which is made where it is missing and otherwise keeps its other files. When it ends
    in any other way, Ctrl-C included, nothing of it remains. Raises UserError in place of what the disk complains of.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path).absolute()
        self._folder = _beside(self.path)
        self._made: list[Path] = []  # parents that did not exist, innermost first

    def __enter__(self) -> Path:
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file, so nothing can be written into it; choose another folder.")
        self._made = [parent for parent in self.path.parents if not parent.exists()]
        with _told_as_sentence(self.path):
            try:
                self._folder.mkdir(parents=True)
            except OSError:
                self._remove()
                raise
        return self._folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                with _told_as_sentence(self.path):
                    self._move_into_place()
                self._made = []
            elif isinstance(error, OSError) and _is_within(error, self._folder):
                raise _sentence(error, self.path) from error
            elif isinstance(error, UserError) and str(self._folder) in str(error):
                # A person knows the folder that they named, not the hidden one.
                raise UserError(str(error).replace(str(self._folder), str(self.path))) from error
        finally:
            self._remove()

    def _move_into_place(self) -> None:
        if not self.path.exists():
            self._folder.rename(self.path)
            return
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        targets = [self.path / path.relative_to(self._folder) for path in files]
        for target in targets:  # before the first move, so that what can't be moved stops all
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, "a folder stands in its place", str(target))
            target.parent.mkdir(parents=True, exist_ok=True)
        if targets and not os.access(self.path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.path))
        for path, target in zip(files, targets, strict=True):
            path.replace(target)

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        for parent in self._made:
            with contextlib.suppress(OSError):
                parent.rmdir()


def write_volume(
    path: str | os.PathLike[str], array: np.ndarray, geometry: Geometry, *, fields: Mapping[str, str] | None = None
) -> None:
    """Write ``array`` (K, J, I) as a compressed NRRD file on ``geometry``, with named texts in its header.

    The values come back exactly as they were, the geometry within rounding of the last digit. A boolean array is
    written as 0 and 1. Raises UserError when the file can't be written; the file is then not there.
    """
    place = Path(path)
    if array.shape != geometry.shape:
        raise ValueError(f"array {array.shape} and geometry {geometry.shape} differ")
    image = sitk.GetImageFromArray(array.astype(np.uint8) if array.dtype == bool else array)
    spacing, origin, direction = geometry.lps
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    for name, text in (fields or {}).items():
        image.SetMetaData(name, " ".join(str(text).split()))  # a header field is one line
    with _replacing(place, array.nbytes) as partial:
        partial.touch()  # tells what ITK does not: a missing folder, a forbidden one
        try:
            with quiet():
                sitk.WriteImage(image, str(partial), useCompression=True, compressionLevel=_COMPRESSION)
        except RuntimeError as error:  # ITK keeps the cause to itself; what is left now is a disk that takes no more
            is_full = shutil.disk_usage(place.parent).free < array.nbytes
            raise OSError(errno.ENOSPC if is_full else errno.EIO, "it takes no more data", str(place)) from error


def write_bytes_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data``; whoever looks at ``path`` sees the old file or the whole new one. Raises UserError."""
    with _replacing(Path(path), len(data)) as partial, partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def write_json_atomically(path: str | os.PathLike[str], data: Any) -> None:
    """Write ``data`` (dataclasses, containers, scalars) as indented JSON, all or nothing. Raises UserError; ValueError
    for a number that JSON does not know."""
    text = json.dumps(to_data(data), indent=2, ensure_ascii=False, allow_nan=False)
    write_bytes_atomically(path, (text + "\n").encode())


@contextlib.contextmanager
def _replacing(path: Path, needed: int) -> Iterator[Path]:
    """Give a hidden file beside ``path`` that takes its place when the block ends well, and is removed otherwise."""
    partial = _beside(path)
    with _told_as_sentence(path, needed):
        try:
            yield partial
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    # The ending stays, because ITK chooses the format by it.
    return path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")


@contextlib.contextmanager
def _told_as_sentence(path: Path, needed: int = 0) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _sentence(error, path, needed) from error


def _sentence(error: OSError, path: Path, needed: int = 0) -> UserError:
    if error.errno in _FULL:
        amount = f"at least {_megabytes(needed)}" if needed else "some space"
        return UserError(f"The disk of {path} is full; free {amount} and try again.")
    if error.errno in _FORBIDDEN:
        return UserError(f"{path} can't be written, because you may not write there; choose another folder.")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return UserError(f"{path} can't be written, because its folder does not exist; make it or choose another.")
    reason = error.strerror or str(error)
    return UserError(f"{path} can't be written ({reason}); check the disk or choose another folder.")


def _is_within(error: OSError, folder: Path) -> bool:
    """Whether the complaint is about writing into ``folder``, rather than about a file that was read meanwhile."""
    return error.errno in _FULL or str(error.filename or "").startswith(str(folder))


def _megabytes(count: int) -> str:
    return f"{max(1, round(count / 1e6))} MB"
