"""What prepared images depend on, as keys of the cache."""

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import SlicerVAELib.core
import SlicerVAELib.io
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.records import to_data

from .study import Study


def content_of(study: Study) -> str:
    """SHA-256 of the bytes of all its files and of what each is read as. Raises UserError for an unreadable one."""
    return _digest([[role, _digest_of_file(path)] for role, path in study.files()])


def key_of(*parts: Any) -> str:
    """SHA-256 of some data (dataclasses, containers, scalars) and of the code that prepares images."""
    return _digest([_preparing_code(), to_data(parts)])


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _digest_of_file(path: Path) -> str:
    try:
        status = path.stat()
        return _digest_of_version(path, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error}).") from error


@functools.lru_cache(maxsize=1 << 20)
def _digest_of_version(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 - part of what is remembered
    """Read once in a process, however often it is asked for; another process reads it again, whatever its date."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def _preparing_code() -> str:
    """SHA-256 of the code itself: a number that somebody has to raise would be forgotten one day."""
    folders = [*SlicerVAELib.core.__path__, *SlicerVAELib.io.__path__, str(Path(__file__).parent)]
    return _digest([[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in _python_files(folders)])


def _python_files(folders: Iterable[str]) -> list[Path]:
    return [path for folder in folders for path in sorted(Path(folder).glob("*.py"))]
