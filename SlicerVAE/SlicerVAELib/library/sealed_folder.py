"""Folders of cached files that appear whole or not at all, and tell whether they still are what they were."""

import contextlib
import json
import secrets
import shutil
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

SEAL = "seal.json"
_BYTES_AT_ONCE = 1 << 22


@contextlib.contextmanager
def new_sealed_folder(place: Path, mode: int) -> Iterator[Path]:
    """A hidden folder beside ``place`` to write files into, which takes its name when the block ends well; its files
    get the permissions ``mode``. Where another process was faster, its folder stays. Raises OSError."""
    hidden = place.with_name(f".{place.name}-{secrets.token_hex(4)}")
    hidden.mkdir(parents=True)
    try:
        yield hidden
        files = {path.name: [path.stat().st_size, _crc(path)] for path in sorted(hidden.iterdir()) if path.is_file()}
        (hidden / SEAL).write_text(json.dumps(files), encoding="utf-8")
        for path in hidden.iterdir():
            path.chmod(mode)
        _take_name(hidden, place)
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


def is_whole(place: Path) -> bool:
    """Whether the folder is there with all files in their size; what they hold is not read."""
    return _agrees(place, lambda path, size, _: path.stat().st_size == size)


def is_unchanged(place: Path) -> bool:
    """Whether the folder is whole and each file's checksum is right."""
    return _agrees(place, lambda path, size, crc: path.stat().st_size == size and _crc(path) == crc)


def _agrees(place: Path, fits: Callable[[Path, int, int], bool]) -> bool:
    try:
        files = json.loads((place / SEAL).read_text(encoding="utf-8"))
        return all(fits(place / name, size, crc) for name, (size, crc) in files.items())
    except (OSError, ValueError, TypeError, AttributeError):
        return False


def _take_name(hidden: Path, place: Path) -> None:
    if is_whole(place):
        return
    shutil.rmtree(place, ignore_errors=True)  # a damaged one
    try:
        hidden.rename(place)
    except OSError:
        if not is_whole(place):  # another process may have put its own there in between
            raise


def _crc(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_BYTES_AT_ONCE):
            crc = zlib.crc32(piece, crc)
    return crc
