"""A folder of wheels from the documented command to the installation, with the real pip and an index on the disk."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import slicer.util

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.panel.installation import PipPackages
from SlicerVAELib.panel.wheel_download import SYSTEMS, download
from SlicerVAELib.panel.wheel_folder import CHECKSUMS, check_wheels


def write_wheel(index: Path, name: str, version: str, tag: str = "py3-none-any", needs: tuple[str, ...] = ()) -> None:
    """A package with one module, as pip takes it."""
    place = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    with zipfile.ZipFile(index / f"{name}-{version}-{tag}.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"version = '{version}'\n")
        archive.writestr(f"{place}/METADATA", "\n".join(lines) + "\n")
        archive.writestr(f"{place}/WHEEL", f"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n")
        archive.writestr(f"{place}/RECORD", "")


@pytest.fixture
def index(tmp_path, monkeypatch):
    """What pip finds: a network of sorts that grows hot on Windows and needs a driver on Linux."""
    index = tmp_path / "index"
    index.mkdir()
    needs = ("vaebase>=1", 'vaedriver==3; platform_system == "Linux"', 'vaewin; sys_platform == "win32"')
    for tag in ("cp312-cp312-win_amd64", "cp312-cp312-manylinux_2_28_x86_64"):
        write_wheel(index, "vaetorch", "2.5", tag, needs)
    write_wheel(index, "vaetorch", "2.3", needs=needs)
    write_wheel(index, "vaebase", "1.1", needs=('vaetests; extra == "test"',))
    write_wheel(index, "vaedriver", "3", "cp312-cp312-manylinux_2_17_x86_64")
    write_wheel(index, "vaewin", "1", "cp312-cp312-win_amd64")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    return index


@pytest.mark.parametrize(("system", "own"), [("windows", "vaewin"), ("linux", "vaedriver")])
def test_the_folder_holds_what_that_system_needs(index, tmp_path, system, own):
    wheels = download(tmp_path / "wheels", ["vaetorch>=2.4"], SYSTEMS[system], "3.12")
    assert {wheel.name.split("-")[0] for wheel in wheels} == {"vaetorch", "vaebase", own}
    assert (tmp_path / "wheels" / CHECKSUMS).is_file()
    check_wheels(tmp_path / "wheels")


def test_what_there_is_not_is_said(index, tmp_path):
    with pytest.raises(UserError, match=r"vaewin can't be had for this system and Python 3.12"):
        download(tmp_path / "wheels", ["vaewin"], SYSTEMS["macos-arm64"], "3.12")


@pytest.fixture
def target(tmp_path, monkeypatch):
    """Slicer's Python, of which pip sees a folder only."""

    def pip_install(arguments):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(tmp_path / "target")]
        subprocess.run([*pip, *arguments], check=True, capture_output=True)

    monkeypatch.setattr(slicer.util, "pip_install", pip_install, raising=False)
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_: True, raising=False)
    return tmp_path / "target"


def test_it_is_installed_without_a_network(index, tmp_path, target, monkeypatch):
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    download(tmp_path / "wheels", ["vaebase"], SYSTEMS["linux"], version)
    monkeypatch.delenv("PIP_FIND_LINKS")
    (tmp_path / "needs.txt").write_text("vaebase>=1\n")
    PipPackages(tmp_path / "needs.txt").install_from(tmp_path / "wheels")
    assert (target / "vaebase.py").read_text() == "version = '1.1'\n"


def test_a_wheel_that_was_tampered_with_is_refused(index, tmp_path, target):
    (wheel,) = download(tmp_path / "wheels", ["vaebase"], SYSTEMS["linux"], "3.12")
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("stowaway.py", "")
    (tmp_path / "needs.txt").write_text("vaebase>=1\n")
    with pytest.raises(UserError, match=r"vaebase-1.1.*damaged or was changed \(its checksum is wrong\)"):
        PipPackages(tmp_path / "needs.txt").install_from(tmp_path / "wheels")
    assert not target.exists()
