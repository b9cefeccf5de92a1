"""What Slicer's build and its extension catalogue read: complete, and saying the same everywhere."""

import ast
import json
import re
import struct
from pathlib import Path

MODULE = Path(__file__).resolve().parents[2]
PROJECT = MODULE.parent


def cmake_values(file: Path) -> dict[str, list[str]]:
    """Every ``set(NAME value…)`` of a CMake file, quotes and variables resolved."""
    text = re.sub(r"(?m)^\s*#.*$", "", file.read_text())
    found: dict[str, list[str]] = {}
    for name, values in re.findall(r"(?s)\bset\((\w+)\s*(.*?)\)\s*(?:#.*)?$", text, flags=re.M):
        words = re.findall(r'"([^"]*)"|(\S+)', values)
        resolved = [quoted or bare for quoted, bare in words]
        for variable, value in found.items():
            resolved = [word.replace(f"${{{variable}}}", " ".join(value)) for word in resolved]
        found[name] = resolved
    return found


def s4ext_values() -> dict[str, str]:
    lines = (PROJECT / "SlicerVAE.s4ext").read_text().splitlines()
    pairs = (line.partition(" ") for line in lines if line.strip() and not line.startswith("#"))
    return {key: value.strip() for key, _, value in pairs}


def relative(paths) -> set[str]:
    return {path.relative_to(MODULE).as_posix() for path in paths if path.is_file()}


def test_every_python_file_is_in_the_package():
    listed = cmake_values(MODULE / "CMakeLists.txt")["MODULE_PYTHON_SCRIPTS"]
    assert len(listed) == len(set(listed)), "a file is listed twice"
    there = {"SlicerVAE.py"} | relative(MODULE.glob("SlicerVAELib/**/*.py"))
    assert sorted(there - set(listed)) == [], "add to MODULE_PYTHON_SCRIPTS in SlicerVAE/CMakeLists.txt"
    assert sorted(set(listed) - there) == [], "listed in SlicerVAE/CMakeLists.txt but not there"


def test_every_resource_is_in_the_package():
    listed = cmake_values(MODULE / "CMakeLists.txt")["MODULE_PYTHON_RESOURCES"]
    assert sorted(listed) == sorted(relative(MODULE.glob("Resources/**/*")))


def test_slicer_finds_one_module():
    """Every Python file beside SlicerVAE.py would be loaded as a module of its own."""
    assert relative(MODULE.glob("*.py")) == {"SlicerVAE.py"}


def test_the_module_file_has_the_classes_that_slicer_looks_for():
    body = ast.parse((MODULE / "SlicerVAE.py").read_text()).body
    classes = {statement.name for statement in body if isinstance(statement, ast.ClassDef)}
    assert classes >= {"SlicerVAE", "SlicerVAEWidget", "SlicerVAELogic", "SlicerVAETest"}


def test_the_module_file_imports_next_to_nothing():
    """Slicer imports it at every start: only what Slicer has loaded anyway."""
    body = ast.parse((MODULE / "SlicerVAE.py").read_text()).body
    imported = set()
    for statement in body:
        if isinstance(statement, ast.Import):
            imported |= {alias.name for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom):
            imported.add(statement.module)
    assert imported and {name.partition(".")[0] for name in imported} <= {"pathlib", "typing", "slicer", "vtk"}


def test_dependencies_are_the_same_everywhere():
    cmake = cmake_values(PROJECT / "CMakeLists.txt")["EXTENSION_DEPENDS"][0]
    assert cmake == "PyTorch SlicerRT"
    assert s4ext_values()["depends"] == cmake
    assert json.loads((PROJECT / "SlicerVAE.json").read_text())["build_dependencies"] == cmake.split()


def test_catalogue_entries_agree():
    cmake, s4ext = cmake_values(PROJECT / "CMakeLists.txt"), s4ext_values()
    entry = json.loads((PROJECT / "SlicerVAE.json").read_text())
    assert s4ext["category"] == entry["category"] == cmake["EXTENSION_CATEGORY"][0]
    assert f'"{entry["category"]}")]' in (MODULE / "SlicerVAE.py").read_text()
    assert s4ext["description"] == cmake["EXTENSION_DESCRIPTION"][0]
    assert s4ext["homepage"] == cmake["EXTENSION_HOMEPAGE"][0] == entry["scm_url"].removesuffix(".git")
    assert (s4ext["scmurl"], s4ext["scmrevision"]) == (entry["scm_url"], entry["scm_revision"])
    assert s4ext["contributors"] == cmake["EXTENSION_CONTRIBUTORS"][0]
    assert int(s4ext["tier"]) == entry["tier"]
    assert s4ext["iconurl"] == cmake["EXTENSION_ICONURL"][0]


def test_json_entry_keeps_slicers_schema():
    """Version 1.0.2 of the catalogue's schema: these names, no others, and three that must be there."""
    entry = json.loads((PROJECT / "SlicerVAE.json").read_text())
    allowed = {"scm_revision", "scm_type", "build_dependencies", "dicom_support_rule", "build_subdirectory", "enabled"}
    required = {"$schema", "category", "scm_url"}
    assert required <= set(entry) <= required | allowed | {"tier"}
    assert entry["$schema"].endswith("slicer-extension-catalog-entry-schema-v1.0.2.json#")
    assert 1 <= entry["tier"] <= 5


def test_icon_is_there_in_the_catalogues_size():
    header = (MODULE / "Resources" / "Icons" / "SlicerVAE.png").read_bytes()[:24]
    assert header[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", header[16:24]) == (128, 128)


def test_pip_installs_neither_torch_nor_what_slicer_brings():
    lists = sorted((MODULE / "Resources").glob("requirements*.txt"))
    assert len(lists) == 3
    lines = [line for file in lists for line in file.read_text().splitlines()]
    names = {re.split(r"[<>=~!;\[ ]", line, maxsplit=1)[0].lower() for line in lines if line and line[0] != "#"}
    assert names and not names & {"torch", "torchvision", "numpy", "scipy", "simpleitk", "pydicom", "requests", "vtk"}
    assert all(">=" in line and "==" not in line for line in lines if line and line[0] != "#")
