"""A scene of its own for each test, real images in it, and small but complete model bundles."""

import dataclasses
import os
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.worker.arrays import Scratch

SHARED_DATA = Path(
    os.environ.get("SLICERVAE_SHARED_DATA", Path(__file__).resolve().parents[3] / ".." / "shared" / "data")
)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real patient images that lies beside the project."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED_DATA} is missing; CI must have the real images")
        pytest.skip(f"there is no folder with real images at {SHARED_DATA}; set SLICERVAE_SHARED_DATA")
    return SHARED_DATA


@pytest.fixture
def scene():
    """A new MRML scene with a subject hierarchy, which is also ``slicer.mrmlScene``."""
    pytest.importorskip("slicer", reason="the scene needs the package slicer-core")
    import slicer
    import slicer.util

    slicer.mrmlScene = slicer.vtkMRMLScene()
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    yield slicer.mrmlScene
    slicer.mrmlScene.Clear(1)


@pytest.fixture
def add_volume(scene) -> Callable:
    """Adds an array (K, J, I) to the scene as Slicer's own ``addVolumeFromArray`` does."""
    import slicer

    def add(array: np.ndarray, ijk_to_ras: np.ndarray | None = None, name: str = "CT"):
        assert slicer.mrmlScene is scene
        return slicer.util.addVolumeFromArray(array, None if ijk_to_ras is None else np.asarray(ijk_to_ras), name)

    return add


@pytest.fixture
def views(scene):
    """The nodes of two slice views, as the application makes them."""
    import slicer
    import slicer.util

    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene)
    for name in ("Red", "Yellow"):
        for kind in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
            node = scene.CreateNodeByClass(kind)
            node.UnRegister(None)
            node.SetLayoutName(name)
            node.SetSingletonTag(name)
            scene.AddNode(node)
    for node, orientation in zip(slicer.util.getNodesByClass("vtkMRMLSliceNode"), ("Axial", "Sagittal"), strict=True):
        node.SetOrientation(orientation)
    layout = scene.AddNewNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())


@pytest.fixture
def chest_ct(scene, shared_data):
    """A real CT of the chest, 122 × 101 × 112 voxels of 3 mm, read by Slicer's own reader."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "chest")
    storage = scene.AddNewNodeByClass("vtkMRMLVolumeArchetypeStorageNode")
    storage.SetFileName(str(shared_data / "totalsegmentator" / "chest_abdomen_ct.nii.gz"))
    assert storage.ReadData(node) == 1
    scene.RemoveNode(storage)
    node.CreateDefaultDisplayNodes()
    return node


@pytest.fixture(scope="session")
def make_bundle(tmp_path_factory) -> Callable:
    """Exports small models; see ``tiny_bundle``."""

    def make(name: str = "tiny", *, spacing_mm: float = 6.0, modality: str = "CT") -> Path:
        from SlicerVAELib.core.declaration import Declaration
        from SlicerVAELib.core.volume import Modality
        from Testing.headless.tiny_bundle import SIZE, tiny_manifest, write_tiny_bundle

        plain = tiny_manifest(Modality(modality))
        folder = tmp_path_factory.mktemp("bundles") / name
        write_tiny_bundle(
            folder,
            plain.declaration.modality,
            name=name,
            preprocessing=dataclasses.replace(plain.preprocessing, spacing_mm=spacing_mm),
            declaration=Declaration(Modality(modality), "chest", SIZE * spacing_mm, (1.0, 6.0), 1, "Tests only."),
        )
        return folder

    return make


@pytest.fixture(scope="session")
def ct_bundle(make_bundle) -> Path:
    """A CT model whose field of view, 384 mm, holds the whole chest."""
    return make_bundle()


@pytest.fixture(scope="session")
def engine():
    """The real engine, in this process."""
    pytest.importorskip("torch")
    from SlicerVAELib.core.local_engine import LocalEngine

    local = LocalEngine()
    yield local
    local.close()


@pytest.fixture
def scratch(tmp_path):
    made = Scratch.create(tmp_path)
    yield made
    made.close()


@pytest.fixture(scope="module")
def common_scratch(tmp_path_factory):
    made = Scratch.create(tmp_path_factory.mktemp("scratch"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def postgres_server():
    """A real PostgreSQL server; see ``postgres``."""
    from Testing.headless.postgres import running_server

    with running_server() as server:
        yield server


@pytest.fixture(params=["file", "server"])
def library_address(request, tmp_path, monkeypatch) -> str:
    """Where a test may create a library: a SQLite file, then an empty database of a PostgreSQL server."""
    from Testing.headless.postgres import new_database

    monkeypatch.setenv("SLICERVAE_CACHE", str(tmp_path / "cache"))
    if request.param == "file":
        return str(tmp_path / "library.sqlite")
    return new_database(request.getfixturevalue("postgres_server"), secrets.token_hex(6))
