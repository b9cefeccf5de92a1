"""The distribution as others get it: wheel, sdist and editable install, built and installed without a network."""

import ast
import importlib.metadata
import json
import os
import re
import shutil
import site
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import slicervae
import SlicerVAELib

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"slicervae": ROOT / "trainer" / "slicervae", "SlicerVAELib": ROOT / "SlicerVAE" / "SlicerVAELib"}
VERSION = SlicerVAELib.__version__
# What Slicer's own Python brings to the two rooms that run inside it.
SLICERS_OWN = {"slicer", "vtk", "vtkmodules", "qt", "ctk", "PyTorchUtils", "packaging"}


def run(*words: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(words, cwd=cwd, env=clean | environment, capture_output=True, text=True, timeout=120)


def succeed(*words: str | Path, cwd: Path, **environment: str) -> str:
    done = run(*words, cwd=cwd, **environment)
    assert done.returncode == 0, f"{words} failed:\n{done.stdout}\n{done.stderr}"
    return done.stdout


def source_files() -> set[str]:
    return {
        f"{package}/{path.relative_to(folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel built straight from the working tree."""
    folder = tmp_path_factory.mktemp("wheel")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory) -> Path:
    """The sdist; beside it lies the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("sdist")
    succeed(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return next(folder.glob("*.tar.gz"))


@pytest.fixture
def metadata(wheel) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"slicervae-{VERSION}.dist-info/METADATA"))


@pytest.fixture
def environment(tmp_path) -> Path:
    """A fresh virtual environment that sees this one's dependencies, but not this one's slicervae."""
    folder = tmp_path / "environment"
    succeed(sys.executable, "-m", "venv", "--without-pip", folder, cwd=tmp_path)
    python = folder / "bin" / "python"
    packages = succeed(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=tmp_path).strip()
    # A .pth file of a folder that is named in a .pth file is not read, so the editable install stays out.
    Path(packages, "dependencies.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    assert run(python, "-c", "import slicervae", cwd=tmp_path).returncode == 1
    return folder


def install(environment: Path, *words: str | Path, cwd: Path) -> None:
    pip = (sys.executable, "-m", "pip", "--python", environment / "bin" / "python")
    succeed(*pip, "install", "--quiet", "--no-index", "--no-deps", *words, cwd=cwd)


def location(environment: Path, package: str, *, cwd: Path) -> Path:
    code = f"import {package}; print({package}.__file__)"
    return Path(succeed(environment / "bin" / "python", "-c", code, cwd=cwd).strip())


def test_the_wheel_holds_both_packages_whole_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    record = {name for name in names if name.startswith(f"slicervae-{VERSION}.dist-info/")}
    assert names - record == source_files()
    assert "slicervae/recipes/vae50.yaml" in names
    assert not [name for name in names if re.search(r"(^|/)(tests?|Testing)(/|_)", name)]


def test_the_metadata_tells_licence_python_and_what_is_needed(metadata):
    assert metadata["Version"] == VERSION
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload().startswith("# SlicerVAE")
    needed = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    runtime = {canonicalize_name(each.name): each.specifier for each in needed if not each.marker}
    assert "torch" in runtime
    assert "slicer-core" not in runtime, "hospitals train without Slicer"
    for name, specifier in runtime.items():
        assert {each.operator for each in specifier} == {">="}, f"{name}: a library asks for a range, not a pin"


def test_what_the_code_imports_is_what_the_distribution_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = [
        text
        for name in ("dicom", "pacs", "library", "library-server", "fid", "ray")
        for text in project["optional-dependencies"][name]
    ]
    declared = {canonicalize_name(Requirement(text).name) for text in (*project["dependencies"], *extras)}
    distributions = importlib.metadata.packages_distributions()
    imported = {
        canonicalize_name(name)
        for module in imported_modules()
        for name in distributions.get(module, [module])  # an optional one that is not installed goes by its own name
    }
    # torch.utils.tensorboard is a shell of torch's around the package tensorboard.
    assert imported | {"tensorboard"} == declared


def imported_modules() -> set[str]:
    """Top-level names that either package imports, less the standard library, each other and Slicer's own."""
    found = set()
    for folder in PACKAGES.values():
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - set(PACKAGES) - SLICERS_OWN


def test_the_sdist_builds_the_same_wheel(wheel, sdist):
    from_sdist = next(sdist.parent.glob("*.whl"))
    assert from_sdist.name == wheel.name
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(from_sdist) as other:
        assert {i.filename: i.CRC for i in one.infolist()} == {i.filename: i.CRC for i in other.infolist()}


def test_the_sdist_has_the_tests_and_the_papers_but_nothing_that_was_made(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    papers = {"LICENSE.txt", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "CITATION.cff", "Makefile"}
    assert papers <= names
    assert "trainer/tests/test_packaging.py" in names
    assert not [name for name in names if re.search(r"__pycache__|\.pyc$|^\.venv|^demo/|^runs/", name)]


def test_the_wheel_works_in_a_fresh_environment(wheel, environment, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    install(environment, wheel, cwd=elsewhere)
    for package in PACKAGES:
        assert location(environment, package, cwd=elsewhere).is_relative_to(environment)
    script = environment / "bin" / "slicervae"
    assert succeed(script, "--version", cwd=elsewhere) == f"slicervae {VERSION}\n"
    recipes = json.loads(succeed(script, "recipes", "--json", cwd=elsewhere))
    assert "vae50" in [recipe["name"] for recipe in recipes]
    phantom = elsewhere / "phantom"
    small = ("--patients", "1", "--size", "32", "--slices", "10", "--seed", "1")
    succeed(script, "phantom", *small, "--out", phantom, cwd=elsewhere)
    assert len(list(phantom.rglob("*.dcm"))) > 10


def test_an_editable_install_runs_the_working_tree(environment, tmp_path):
    tree = tmp_path / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE.txt"):
        shutil.copy(ROOT / name, tree)
    for folder in PACKAGES.values():
        shutil.copytree(folder, tree / folder.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
    install(environment, "--no-build-isolation", "--editable", tree, cwd=tmp_path)
    for package in PACKAGES:
        assert location(environment, package, cwd=tmp_path).is_relative_to(tree)

    recipes = tree / "trainer" / "slicervae" / "recipes"
    text = (recipes / "vae50.yaml").read_text(encoding="utf-8")
    (recipes / "mine.yaml").write_text(text.replace("name: vae50", "name: mine"), encoding="utf-8")
    script = environment / "bin" / "slicervae"
    assert "mine" in [recipe["name"] for recipe in json.loads(succeed(script, "recipes", "--json", cwd=tmp_path))]


def test_the_version_is_the_same_everywhere(wheel):
    assert slicervae.__version__ == VERSION
    assert wheel.name.startswith(f"slicervae-{VERSION}-")
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(rf'^version: "?{re.escape(VERSION)}"?$', citation, re.MULTILINE)
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", [("-c", "import slicervae"), ("-m", "slicervae", "--version")])
def test_a_library_of_another_version_is_refused_in_one_sentence(command, tmp_path):
    library = shutil.copytree(PACKAGES["SlicerVAELib"], tmp_path / "SlicerVAELib")
    (library / "__init__.py").write_text('__version__ = "99.0"\n', encoding="utf-8")
    path = os.pathsep.join((str(tmp_path), str(PACKAGES["slicervae"].parent)))
    done = run(sys.executable, *command, cwd=tmp_path, PYTHONPATH=path)
    assert done.returncode == 1
    assert done.stdout == ""
    *_, sentence = done.stderr.splitlines()
    assert VERSION in sentence
    assert "99.0" in sentence
    assert str(library) in sentence
    assert sentence.endswith("install both from the same release.")
