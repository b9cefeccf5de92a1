"""Rooms import inwards only, and Slicer's own process stays without torch."""

import ast
import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIBRARY = ROOT / "SlicerVAE" / "SlicerVAELib"
TRAINER = ROOT / "trainer" / "slicervae"

# What each room may import of the project; its own modules and the package's version are always allowed.
ARROWS = {
    "core": set(),
    "worker": {"core"},
    "io": {"core"},
    "library": {"core"},
    "scene": {"core", "worker", "io", "library"},
    "panel": {"core", "worker", "io", "library", "scene"},
    "trainer": {"core", "worker", "io", "library"},
    "demo": {"core", "worker", "io", "library", "scene", "trainer"},
}
# The command that starts the application above all rooms.
STARTS_THE_DEMO = "slicervae.commands.demo"
CORE_MAY_USE = {"numpy", "torch", "safetensors"}
# Slicer's own process takes these of the core, and all of these rooms but for the worker's other side.
TORCH_FREE_CORE = (
    "acquisition",
    "body_position",
    "bundle_parts",
    "contours",
    "cropping",
    "declaration",
    "demonstration",
    "dose",
    "dvh",
    "engine",
    "equivalent_dose",
    "errors",
    "free_memory",
    "kl_bound",
    "kl_search",
    "latent",
    "latent_facts",
    "manifest",
    "map_regions",
    "metal",
    "modality",
    "patient_similarity",
    "patient_stacks",
    "percentiles",
    "planes",
    "planning_similarity",
    "positions",
    "preprocessing",
    "progress",
    "records",
    "regions",
    "scanlines",
    "similarity",
    "squared_distance",
    "structure_names",
    "tg263",
    "volume",
)
TORCH_FREE_ROOMS = {"worker", "io", "library", "scene", "panel"}
WORKER_SIDE = {"SlicerVAELib.worker.server", "SlicerVAELib.worker.__main__"}


def room_of(module: str) -> str | None:
    """The room of a dotted module name, None for what belongs to no room (other packages, the library's root)."""
    parts = module.split(".")
    if parts[0] == "slicervae":
        return "demo" if parts[1:2] == ["demo"] else "trainer"
    if parts[0] == "SlicerVAELib" and len(parts) > 1 and (parts[1] in ARROWS):
        return parts[1]
    return None


def imported(source: str, module: str, is_package: bool = False) -> set[str]:
    """Dotted names of everything that a module's source imports, anywhere in it, relative imports made absolute."""
    names = set()
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            names |= {f"{origin}.{alias.name}" for alias in node.names}
    return names


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """A sentence for each import of a module that goes against the arrows."""
    room = room_of(module)
    found = []
    for name in sorted(imported(source, module, is_package)):
        target = room_of(name)
        allowed = {room} | ARROWS.get(room, set()) | ({"demo"} if module == STARTS_THE_DEMO else set())
        if room is not None and target is not None and target not in allowed:
            found.append(f"{module} ({room}) imports {name} ({target})")
        top = name.split(".")[0]
        if room == "core" and top not in CORE_MAY_USE | {"SlicerVAELib", "slicervae"} | sys.stdlib_module_names:
            found.append(f"{module} (core) imports {name}, which is neither the standard library nor numpy or torch")
        if module.startswith("SlicerVAELib") and top in ("slicervae", "SlicerVAE"):
            found.append(f"{module} imports {name}, which stands outside of the library")
        in_slicer = room in TORCH_FREE_ROOMS and module not in WORKER_SIDE
        if in_slicer and (top == "torch" or (target == "core" and set(name.split(".")[2:3]) - set(TORCH_FREE_CORE))):
            found.append(f"{module} imports {name}, which brings torch into Slicer's own process")
    return found


def modules() -> list[tuple[str, Path]]:
    """Every module of the project with its dotted name."""
    listing = []
    for folder in (LIBRARY, TRAINER):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder.parent).with_suffix("").parts
            listing.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return listing


def test_every_import_follows_the_arrows():
    listing = modules()
    assert {room_of(name) for name, _ in listing} >= {"core", "worker", "io", "scene", "trainer"}
    found = [
        sentence
        for name, path in listing
        for sentence in violations(path.read_text(encoding="utf-8"), name, path.name == "__init__.py")
    ]
    assert found == []


def test_every_folder_of_the_library_is_a_room():
    folders = {path.parent.relative_to(LIBRARY).parts[0] for path in LIBRARY.rglob("*.py") if path.parent != LIBRARY}
    assert folders <= set(ARROWS)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("SlicerVAELib.core.stack", "from ..io import read"),
        ("SlicerVAELib.core.stack", "from ..io.read import read_volume"),
        ("SlicerVAELib.core.stack", "def f():\n    import SlicerVAELib.worker.client"),
        ("SlicerVAELib.core.stack", "from SlicerVAELib import scene"),
        ("SlicerVAELib.core.stack", "import scipy.ndimage"),
        ("SlicerVAELib.core.networks.table52", "from ...scene import nodes"),
        ("SlicerVAELib.core.networks.table52", "import slicer"),
        ("SlicerVAELib.core.stack", "from slicervae.data import dataset"),
        ("SlicerVAELib.io.read", "from ..worker.client import WorkerEngine"),
        ("SlicerVAELib.worker.client", "from ..scene.logic import SceneLogic"),
        ("SlicerVAELib.scene.logic", "from ..panel import widget"),
        ("SlicerVAELib.panel.widget", "import slicervae"),
        ("slicervae.training.loop", "from SlicerVAELib.scene.logic import SceneLogic"),
        ("slicervae.commands.demo", "from SlicerVAELib.scene import logic"),
        ("slicervae.training.loop", "from ..demo import steps"),
        ("SlicerVAELib.panel.widget", "def f():\n    import torch"),
        ("SlicerVAELib.scene.logic", "from ..core.local_engine import LocalEngine"),
        ("SlicerVAELib.worker.client", "from ..core import bundle"),
    ],
)
def test_an_import_against_the_arrows_is_found(module, source):
    assert violations(source, module) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("SlicerVAELib.core.networks.table52", "from ..posterior import DiagonalGaussian\nimport torch.nn\nimport ast"),
        ("SlicerVAELib.core.local_engine", "from .. import __version__"),
        (
            "SlicerVAELib.scene.logic",
            "import slicer, vtk\nfrom ..core.engine import Engine\nfrom ..worker import client",
        ),
        ("SlicerVAELib.panel.widget", "from ..scene.logic import SceneLogic\nimport qt"),
        ("slicervae.demo.steps", "from SlicerVAELib.scene.logic import SceneLogic\nfrom ..training import loop"),
        ("slicervae.training.loop", "from SlicerVAELib.core.engine import Hardware"),
        ("slicervae.commands.demo", "from ..demo import demo"),
        ("SlicerVAELib.worker.server", "from ..core.local_engine import LocalEngine"),
    ],
)
def test_an_import_along_the_arrows_is_not(module, source):
    assert violations(source, module) == []


def test_relative_imports_of_a_package_start_at_itself():
    assert imported("from .x import y", "SlicerVAELib.core", is_package=True) == {"SlicerVAELib.core.x.y"}
    assert imported("from ..x import y", "SlicerVAELib.core.stack") == {"SlicerVAELib.x.y"}


def torch_importers(names: list[str]) -> list[str]:
    """The first of the modules, imported one after the other in a fresh interpreter, that brings torch in."""
    script = f"""
        import importlib, json, sys
        sys.path[:0] = {[str(LIBRARY.parent), str(TRAINER.parent)]!r}
        guilty = []
        for name in {names!r}:
            importlib.import_module(name)
            if "torch" in sys.modules:
                guilty.append(name)
                break
        print(json.dumps(guilty))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_slicers_own_process_imports_no_torch():
    names = [f"SlicerVAELib.core.{name}" for name in TORCH_FREE_CORE]
    names += [name for name, _ in modules() if room_of(name) in ("worker", "io", "library") and name not in WORKER_SIDE]
    assert torch_importers(names) == []


def test_the_scene_imports_no_torch():
    pytest.importorskip("slicer", reason="the scene needs the package slicer-core")
    names = [name for name, _ in modules() if room_of(name) == "scene"]
    assert torch_importers(names) == []


def test_torch_would_be_noticed():
    assert torch_importers(["SlicerVAELib.core.engine", "SlicerVAELib.core.stack"]) == ["SlicerVAELib.core.stack"]


def test_the_command_line_starts_without_torch():
    assert torch_importers(["slicervae.cli"]) == []
