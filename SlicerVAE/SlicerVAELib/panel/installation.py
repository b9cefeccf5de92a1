"""The packages that the model's process and the patient library need: what is missing, and getting it.

PyTorch comes through the PyTorch extension, which knows the graphics card, everything else through pip and from the
lists in Resources; or all of it from a folder of wheels. Nothing is looked up on a network or installed unless
``install`` or ``install_from`` is called.
"""

import importlib
import importlib.metadata
import importlib.util
import subprocess
from pathlib import Path

import slicer.util

from ..core.errors import Cancelled, UserError
from ..scene.resources import RESOURCES
from .interpreter import configured_python
from .wheel_folder import check_wheels

TORCH_VERSIONS = ">=2.4"
LIBRARY, LIBRARY_SERVER = RESOURCES / "requirements-library.txt", RESOURCES / "requirements-library-server.txt"


class PipPackages:
    """The packages of one or more lists, in Slicer's own Python."""

    def __init__(self, *requirements: Path) -> None:
        self._requirements = requirements

    def missing(self) -> tuple[str, ...]:
        """Return the names of the packages that are not there in a version that will do."""
        return tuple(_name(line) for line in self._unmet())

    def install(self) -> None:
        """Install what is missing, asking first. Raises UserError when that fails, Cancelled when declined."""
        if wanted := self._unmet():
            _install_with_pip(wanted)
        importlib.invalidate_caches()

    def install_from(self, folder: Path) -> None:
        """Install what is missing from a folder of wheels, without a network; raises as ``install``."""
        check_wheels(folder)
        wanted = self._to_take()
        _confirm(wanted, f" from {folder}")
        try:
            slicer.util.pip_install(["--no-index", "--find-links", str(folder), "--only-binary", ":all:", *wanted])
        except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
            raise UserError(
                f"{', '.join(wanted)} could not be installed from {folder}; make the folder for this system and this "
                "Python, as the installation guide tells."
            ) from error
        importlib.invalidate_caches()

    def _to_take(self) -> list[str]:
        """What is taken from a folder of wheels."""
        return self._unmet()

    def _unmet(self) -> list[str]:
        given = "\n".join(path.read_text(encoding="utf-8") for path in self._requirements)
        lines = (line.strip() for line in given.splitlines())
        return [line for line in lines if line and not line.startswith("#") and not _is_met(line)]


class SlicerPackages(PipPackages):
    """What the model's process needs; where a setting names another Python, that one is its owner's business."""

    def missing(self) -> tuple[str, ...]:
        """See ``PipPackages``."""
        if configured_python():
            return ()
        return (*(() if _has_torch() else ("PyTorch",)), *super().missing())

    def install(self) -> None:
        """See ``PipPackages``."""
        if not _has_torch():
            _install_torch()
        super().install()

    def _to_take(self) -> list[str]:
        return [*([] if _has_torch() else [f"torch{TORCH_VERSIONS}"]), *super()._to_take()]


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _name(requirement: str) -> str:
    from packaging.requirements import Requirement

    return Requirement(requirement).name


def _is_met(requirement: str) -> bool:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    try:
        return wanted.specifier.contains(importlib.metadata.version(wanted.name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def _install_torch() -> None:
    try:
        import PyTorchUtils
    except ModuleNotFoundError as error:
        raise UserError(
            "The extension PyTorch is not there; install it with the Extensions Manager and restart Slicer."
        ) from error
    logic = PyTorchUtils.PyTorchUtilsLogic()
    try:
        torch = logic.installTorch(askConfirmation=True, torchVersionRequirement=TORCH_VERSIONS)
    except (subprocess.CalledProcessError, ImportError, OSError, RuntimeError) as error:
        raise UserError(
            "PyTorch could not be installed; check the network and the free disk space, restart Slicer and try again."
        ) from error
    if torch is None:
        raise Cancelled


def _install_with_pip(requirements: list[str]) -> None:
    _confirm(requirements)
    try:
        _pip_install(requirements)
    except (subprocess.CalledProcessError, OSError, RuntimeError) as error:
        raise UserError(
            f"{', '.join(requirements)} could not be installed; check the network and the free disk space, and try "
            "again."
        ) from error


def _confirm(requirements: list[str], place: str = "") -> None:
    question = f"SlicerVAE needs {', '.join(requirements)}. Install into Slicer's Python{place}?"
    if not slicer.util.confirmOkCancelDisplay(question, "SlicerVAE"):
        raise Cancelled


def _pip_install(requirements: list[str]) -> None:
    try:
        from slicer import packaging
    except ImportError:  # before Slicer 5.12
        slicer.util.pip_install(requirements)
    else:
        packaging.pip_ensure(requirements, prompt_install=False, requester="SlicerVAE")
