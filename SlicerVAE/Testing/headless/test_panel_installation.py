"""What is missing in Slicer's Python, and what the person reads when it can't be had.

The packages looked at are really installed or really not; Slicer's dialogs and its PyTorch extension, which need the
application, are played.
"""

import hashlib
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest
import slicer.util

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.panel import installation
from SlicerVAELib.panel.installation import LIBRARY, LIBRARY_SERVER, PipPackages, SlicerPackages
from SlicerVAELib.panel.interpreter import SETTING, worker_python

REQUIREMENTS = Path(__file__).resolve().parents[2] / "Resources" / "requirements.txt"


@pytest.fixture(autouse=True)
def settings(monkeypatch):
    values = {}
    monkeypatch.setattr(slicer.util, "settingsValue", lambda key, default: values.get(key, default))
    return values


@pytest.fixture
def without_torch(monkeypatch):
    monkeypatch.setattr(installation.importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def answers(monkeypatch):
    """The person's answer to questions, and the questions."""
    asked = types.SimpleNamespace(answer=True, questions=[])

    def confirm(text, title=None):
        asked.questions.append(text)
        return asked.answer

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm, raising=False)
    return asked


def packages(tmp_path, text: str) -> SlicerPackages:
    file = tmp_path / "requirements.txt"
    file.write_text(text)
    return SlicerPackages(file)


def test_nothing_is_missing_where_everything_is_installed():
    assert SlicerPackages(REQUIREMENTS).missing() == ()


def test_absent_and_too_old_packages_are_missing(tmp_path):
    found = packages(tmp_path, "# why\n\nnumpy>=1.26\nnumpy>=99\nno-such-package-at-all>=1\n").missing()
    assert found == ("numpy", "no-such-package-at-all")


def test_missing_torch_is_named_as_people_know_it(without_torch):
    assert SlicerPackages(REQUIREMENTS).missing() == ("PyTorch",)


def test_another_python_is_its_owners_business(without_torch, settings):
    settings[SETTING] = sys.executable
    assert SlicerPackages(REQUIREMENTS).missing() == ()


def test_what_the_library_needs_is_in_slicers_own_python(without_torch, settings, tmp_path):
    settings[SETTING] = sys.executable  # where the model computes makes no difference to the library
    assert PipPackages(LIBRARY, LIBRARY_SERVER).missing() == ()
    absent = tmp_path / "requirements.txt"
    absent.write_text("no-such-package-at-all>=1\n")
    assert PipPackages(LIBRARY, absent).missing() == ("no-such-package-at-all",)


def test_the_lists_are_what_the_distribution_asks_for():
    extras = tomllib.loads((REQUIREMENTS.parents[2] / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    in_file, on_server = (
        [line for line in path.read_text().splitlines() if line[0] != "#"] for path in (LIBRARY, LIBRARY_SERVER)
    )
    assert in_file == extras["library"] and on_server
    assert set(in_file) | set(on_server) <= set(extras["library-server"])


def test_without_the_pytorch_extension(without_torch):
    with pytest.raises(UserError, match="Extensions Manager"):
        SlicerPackages(REQUIREMENTS).install()


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [(None, Cancelled), (subprocess.CalledProcessError(1, "pip"), UserError), (OSError(28, "full"), UserError)],
)
def test_pytorch_extension_comes_to_nothing(without_torch, monkeypatch, outcome, expected):
    class Logic:
        def installTorch(self, askConfirmation, torchVersionRequirement):  # noqa: N802, N803
            assert askConfirmation is True and torchVersionRequirement == ">=2.4"
            if outcome is not None:
                raise outcome

    monkeypatch.setitem(sys.modules, "PyTorchUtils", types.SimpleNamespace(PyTorchUtilsLogic=Logic))
    with pytest.raises(expected):
        SlicerPackages(REQUIREMENTS).install()


def test_other_packages_are_asked_for_by_name_and_only_they_are_installed(tmp_path, monkeypatch, answers):
    installed = []
    monkeypatch.setattr(slicer.util, "pip_install", installed.extend)  # Slicer before 5.12
    packages(tmp_path, "numpy>=1.26\nno-such-package-at-all>=1\n").install()
    assert installed == ["no-such-package-at-all>=1"]
    assert "no-such-package-at-all>=1" in answers.questions[0] and "numpy" not in answers.questions[0]


def test_declined(tmp_path, monkeypatch, answers):
    answers.answer = False
    monkeypatch.setattr(slicer.util, "pip_install", pytest.fail)
    with pytest.raises(Cancelled):
        packages(tmp_path, "no-such-package-at-all>=1\n").install()


def test_pip_fails(tmp_path, monkeypatch, answers):
    def fail(requirements):
        raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(slicer.util, "pip_install", fail)
    with pytest.raises(UserError, match=r"no-such-package-at-all.*network"):
        packages(tmp_path, "no-such-package-at-all>=1\n").install()


def test_the_python_that_computes(settings, monkeypatch, tmp_path):
    slicers = tmp_path / "PythonSlicer"
    slicers.write_text("#!/bin/sh\n")
    slicers.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert worker_python() == str(slicers)
    settings[SETTING] = sys.executable
    assert worker_python() == sys.executable
    settings[SETTING] = "/no/such/python"
    with pytest.raises(UserError, match=r"'/no/such/python'.*SlicerVAE/WorkerPython"):
        worker_python()


class TestFromFolder:
    """Wheels of a folder, for hospitals without internet."""

    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "wheels"
        folder.mkdir()
        lines = []
        for name in ("absent_one-1.0-py3-none-any.whl", "other-2.0-py3-none-any.whl"):
            (folder / name).write_bytes(name.encode() * 100)
            lines.append(f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}")
        (folder / "SHA256SUMS").write_text("\n".join(lines) + "\n")
        return folder

    @pytest.fixture
    def pip(self, monkeypatch):
        calls = []
        monkeypatch.setattr(slicer.util, "pip_install", calls.append, raising=False)
        return calls

    def test_only_what_is_missing_is_taken_and_no_network(self, tmp_path, folder, pip, answers):
        packages(tmp_path, "absent-one>=1\nnumpy>=1.26\n").install_from(folder)
        assert pip == [["--no-index", "--find-links", str(folder), "--only-binary", ":all:", "absent-one>=1"]]
        assert str(folder) in answers.questions[0]

    def test_torch_comes_from_the_folder_too(self, tmp_path, folder, pip, answers, without_torch):
        packages(tmp_path, "").install_from(folder)
        assert pip[0][-1] == f"torch{installation.TORCH_VERSIONS}"

    def test_no_is_no(self, tmp_path, folder, pip, answers):
        answers.answer = False
        with pytest.raises(Cancelled):
            packages(tmp_path, "absent-one>=1\n").install_from(folder)
        assert pip == []

    @pytest.mark.parametrize(
        ("spoil", "sentence"),
        [
            (lambda folder: (folder / "other-2.0-py3-none-any.whl").write_bytes(b"x"), "checksum is wrong"),
            (lambda folder: (folder / "third-1-py3-none-any.whl").write_bytes(b"x"), "is not listed"),
            (lambda folder: (folder / "other-2.0-py3-none-any.whl").unlink(), "is missing"),
            (lambda folder: (folder / "SHA256SUMS").unlink(), "installation guide"),
            (lambda folder: (folder / "SHA256SUMS").write_text("what?\n"), "line 1 is not a checksum"),
            (lambda folder: [file.unlink() for file in folder.glob("*.whl")], "holds no packages"),
        ],
    )
    def test_a_folder_that_is_not_what_was_made_is_refused(self, tmp_path, folder, pip, answers, spoil, sentence):
        spoil(folder)
        with pytest.raises(UserError, match=sentence):
            packages(tmp_path, "absent-one>=1\n").install_from(folder)
        assert pip == [] and answers.questions == []

    def test_a_folder_for_another_system_is_said(self, tmp_path, folder, answers, monkeypatch):
        def fail(arguments):
            raise subprocess.CalledProcessError(1, "pip")

        monkeypatch.setattr(slicer.util, "pip_install", fail, raising=False)
        with pytest.raises(UserError, match="for this system"):
            packages(tmp_path, "absent-one>=1\n").install_from(folder)
