"""Fill a folder with the packages that SlicerVAE needs, for a computer of any system without internet.

``python -m SlicerVAELib.panel.wheel_download FOLDER --system windows`` downloads from pip's index. pip itself can't: it
asks which packages another system needs of the system that it runs on. Here each package's own list of what it needs
is read for the system that the folder is for.
"""

import argparse
import dataclasses
import email.parser
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from ..core.errors import UserError
from ..scene.resources import RESOURCES
from .wheel_folder import write_checksums

LISTS = ("requirements.txt", "requirements-library.txt")
TORCH = "torch>=2.4"
SLICER_PYTHON = "3.12"


@dataclasses.dataclass(frozen=True)
class System:
    """What wheels of a system are tagged with, and what it says of itself in the words of PEP 508."""

    tags: tuple[str, ...]
    sys_platform: str
    platform_system: str
    os_name: str
    machine: str

    def environment(self, python: str) -> dict[str, str]:
        """The environment in which a requirement's marker is read."""
        return {
            "sys_platform": self.sys_platform,
            "platform_system": self.platform_system,
            "os_name": self.os_name,
            "platform_machine": self.machine,
            "python_version": python,
            "python_full_version": f"{python}.0",
            "implementation_name": "cpython",
            "platform_python_implementation": "CPython",
        }


_MANYLINUX = tuple(f"manylinux_2_{glibc}_x86_64" for glibc in range(28, 16, -1))
SYSTEMS = {
    "linux": System((*_MANYLINUX, "manylinux2014_x86_64"), "linux", "Linux", "posix", "x86_64"),
    "windows": System(("win_amd64",), "win32", "Windows", "nt", "AMD64"),
    "macos-arm64": System(("macosx_14_0_arm64",), "darwin", "Darwin", "posix", "arm64"),
    "macos-x86_64": System(("macosx_14_0_x86_64",), "darwin", "Darwin", "posix", "x86_64"),
}


def download(folder: Path, wanted: Sequence[str], system: System, python: str) -> list[Path]:
    """Download the wanted packages and all that they need, with their checksums; returns the wheels.

    Raises UserError for what the index does not have for that system.
    """
    folder.mkdir(parents=True, exist_ok=True)
    needed, done = [Requirement(each) for each in wanted], set()
    while needed:
        requirement = needed.pop(0)
        if (name := canonicalize_name(requirement.name)) not in done:
            done.add(name)
            wheel = _fetch(folder, requirement, system, python)
            needed += _needs_of(wheel, requirement.extras, system.environment(python))
    wheels = sorted(folder.glob("*.whl"))
    write_checksums(folder)
    return wheels


def _fetch(folder: Path, requirement: Requirement, system: System, python: str) -> Path:
    platforms = [word for tag in system.tags for word in ("--platform", tag)]
    plain = f"{requirement.name}{requirement.specifier}"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    target = ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platforms]
    done = subprocess.run([*pip, *target, "--dest", str(folder), plain], check=False, capture_output=True, text=True)
    name = canonicalize_name(requirement.name)
    found = [wheel for wheel in folder.glob("*.whl") if parse_wheel_filename(wheel.name)[0] == name]
    if done.returncode or not found:
        reason = next(reversed(done.stderr.strip().splitlines()), "no wheel was found")
        raise UserError(f"{plain} can't be had for this system and Python {python} ({reason}); check the network.")
    return max(found, key=lambda wheel: parse_wheel_filename(wheel.name)[1])


def _needs_of(wheel: Path, extras: set[str], environment: dict[str, str]) -> list[Requirement]:
    """What a wheel's metadata says that it needs where ``environment`` holds."""
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        told = email.parser.Parser().parsestr(archive.read(metadata).decode("utf-8"))
    needs = [Requirement(line) for line in told.get_all("Requires-Dist") or ()]
    given = [environment | {"extra": extra} for extra in ("", *extras)]
    return [need for need in needs if need.marker is None or any(need.marker.evaluate(each) for each in given)]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m SlicerVAELib.panel.wheel_download", description=__doc__)
    parser.add_argument("folder", type=Path, help="new or older folder for the packages")
    parser.add_argument("--system", choices=tuple(SYSTEMS), required=True, help="of the computer without internet")
    parser.add_argument("--python", default=SLICER_PYTHON, metavar="X.Y", help="its Slicer's Python")
    parser.add_argument("--torch", default=TORCH, metavar="REQUIREMENT", help="which PyTorch; 'none' leaves it out")
    options = parser.parse_args()
    lines = [line.strip() for name in LISTS for line in (RESOURCES / name).read_text(encoding="utf-8").splitlines()]
    wanted = [line for line in lines if line and not line.startswith("#")]
    if options.torch != "none":
        wanted.append(options.torch)
    try:
        wheels = download(options.folder, wanted, SYSTEMS[options.system], options.python)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    size = sum(wheel.stat().st_size for wheel in wheels)
    sys.stdout.write(f"{len(wheels)} packages, {size / 1e6:,.0f} MB, are in {options.folder} with their checksums.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
