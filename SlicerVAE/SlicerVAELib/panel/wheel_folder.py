"""A folder of wheels with their checksums, for hospitals without internet."""

import hashlib
import re
from pathlib import Path

from ..core.errors import UserError

CHECKSUMS = "SHA256SUMS"
_LINE = re.compile(r"(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")


def check_wheels(folder: Path) -> None:
    """Raise UserError unless every wheel of the folder stands in its SHA256SUMS with its own checksum."""
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise UserError(f"{folder} holds no packages (*.whl); choose the folder that was made for the installation.")
    expected = _read(folder / CHECKSUMS)
    for wheel in wheels:
        if wheel.name not in expected:
            raise UserError(f"{wheel.name} is not listed in {folder / CHECKSUMS}; make the folder again.")
        if _digest(wheel) != expected[wheel.name]:
            raise UserError(f"{wheel} is damaged or was changed (its checksum is wrong); copy the folder again.")
    for name in sorted(set(expected) - {wheel.name for wheel in wheels}):
        raise UserError(f"{name}, listed in {folder / CHECKSUMS}, is missing; copy the folder again.")


def write_checksums(folder: Path) -> None:
    """Write SHA256SUMS for all wheels of the folder."""
    lines = [f"{_digest(wheel)}  {wheel.name}\n" for wheel in sorted(folder.glob("*.whl"))]
    (folder / CHECKSUMS).write_bytes("".join(lines).encode())  # one file for all systems: no line ends of Windows


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read; make the folder as the installation guide tells.") from error
    found = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line.strip())
        if line.strip() and match is None:
            raise UserError(f"{path}, line {number} is not a checksum and a name; make the folder again.")
        if match is not None:
            found[match["name"]] = match["digest"].lower()
    return found


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} can't be read ({error.strerror or error}); copy the folder again.") from error
