"""Prepared images on disk, so that volumes are read and resampled once, whatever number of runs train on them.

An entry is named by all that it depends on: the bytes of its files, the preprocessing and the code that does it. So a
changed file or setting has another entry, and none is ever out of date. Entries appear whole or not at all, those of
several processes that prepare the same volume at the same time included, and a damaged one is made anew.
"""

import contextlib
import dataclasses
import errno
import json
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library.user_folders import cache_folder

LAYOUT = "1"
IMAGES, KEPT, SEAL = "images.npy", "kept.npy", "seal.json"
CRC_ELEMENTS = 1 << 22  # checked so many at a time, lest a whole entry be held in memory
LARGE_BYTES = 20e9  # from here on it is worth a word
ABANDONED_S = 24 * 3600.0
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """What is kept of a study: ``images`` float32 (n, C, H, W) or (n, C, D, H, W), and ``kept`` uint8 of one channel,
    0 where the loss leaves a pixel out; None where all count."""

    images: np.ndarray
    kept: np.ndarray | None


class Cache:
    """Entries in a folder, by default this user's folder for caches, by keys of hexadecimal digits."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or cache_folder()
        self._entries = self.folder / LAYOUT

    def images(self, key: str, prepare: Callable[[], Prepared]) -> Path:
        """The folder of the entry ``key``, filled with what ``prepare`` gives where it is missing or damaged.

        Raises UserError when it can't be written.
        """
        place = self._place(key)
        if not _is_whole(place):
            prepared = prepare()
            self._publish(place, lambda folder: _write_images(folder, prepared))
        return place

    def record(self, key: str, learn: Callable[[], Any]) -> Any:
        """The JSON data of the entry ``key``, which is what ``learn`` gives where it is missing or damaged."""
        place = self._place(key)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            sealed = json.loads((place / SEAL).read_text(encoding="utf-8"))
            if sealed["crc"] == _crc_of_json(sealed["record"]):
                return sealed["record"]
        record = learn()
        sealed = {"record": record, "crc": _crc_of_json(record)}
        self._publish(place, lambda folder: _write_bytes(folder / SEAL, json.dumps(sealed).encode()))
        return record

    def bytes_used(self) -> int:
        """What all entries together take."""
        return sum(path.stat().st_size for path in self._entries.rglob("*") if path.is_file())

    def _place(self, key: str) -> Path:
        return self._entries / key[:2] / key

    def _publish(self, place: Path, write: Callable[[Path], None]) -> None:
        """Fill a hidden folder and give it its name, in place of a damaged one."""
        partial = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        with self._told_as_sentence():
            try:
                # It holds images of patients: nobody else's to read.
                self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                partial.mkdir(parents=True)
                _remove_abandoned(place)
                write(partial)
                _take_name(partial, place)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    @contextlib.contextmanager
    def _told_as_sentence(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            other = "or name another folder with --cache or SLICERVAE_CACHE"
            if error.errno in _FULL:
                raise UserError(f"The disk of the cache {self.folder} is full; free some space, {other}.") from None
            reason = error.strerror or error
            raise UserError(f"The cache {self.folder} can't be written ({reason}); mend that, {other}.") from None


def open_images(place: Path) -> Prepared:
    """An entry's images, mapped and not read. Raises UserError when it is not there any more."""
    try:
        images = np.load(place / IMAGES, mmap_mode="r")
        has_mask = (place / KEPT).is_file()
        return Prepared(images, np.load(place / KEPT, mmap_mode="r") if has_mask else None)
    except (OSError, EOFError, ValueError):
        raise UserError(
            f"The cache lost its entry {place} while it was in use; begin the run anew, or go on with it with --resume."
        ) from None


def _write_images(folder: Path, prepared: Prepared) -> None:
    seal = {}
    for name, array in ((IMAGES, prepared.images), (KEPT, prepared.kept)):
        if array is not None:
            array = np.ascontiguousarray(array)
            with (folder / name).open("wb") as file:
                # Not by numpy, which does not tell a full disk from other trouble.
                np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
                file.write(array.data)
                file.flush()
                os.fsync(file.fileno())
            seal[name] = _crc(array)
    _write_bytes(folder / SEAL, json.dumps(seal).encode())


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _remove_abandoned(place: Path) -> None:
    """What processes that were killed while they filled this entry left behind."""
    for leftover in place.parent.glob(f".{place.name}.*"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(leftover, ignore_errors=True)


def _take_name(partial: Path, place: Path) -> None:
    """Rename; where another process was faster, its entry, which says the same, stays unless it is damaged."""
    try:
        partial.rename(place)
    except OSError:
        if not place.is_dir():
            raise
        discarded = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
        if not _is_whole(place):
            with contextlib.suppress(FileNotFoundError):  # another process has just removed it as well
                place.rename(discarded)
            shutil.rmtree(discarded, ignore_errors=True)
            _take_name(partial, place)


def _is_whole(place: Path) -> bool:
    """Whether an entry is there and every value as it was written."""
    try:
        seal = json.loads((place / SEAL).read_text(encoding="utf-8"))
        if "crc" in seal:
            return seal["crc"] == _crc_of_json(seal["record"])
        return IMAGES in seal and all(_crc(np.load(place / name, mmap_mode="r")) == crc for name, crc in seal.items())
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        return False


def _crc(array: np.ndarray) -> int:
    """Checksum of an array's type, shape and values."""
    value = zlib.crc32(f"{array.dtype.str} {array.shape}".encode())
    flat = array.reshape(-1)
    for start in range(0, len(flat), CRC_ELEMENTS):
        value = zlib.crc32(flat[start : start + CRC_ELEMENTS].data, value)
    return value


def _crc_of_json(data: Any) -> int:
    return zlib.crc32(json.dumps(data, sort_keys=True).encode())
