"""Outputs in the scene become DICOM that refers to the series their input was loaded from."""

import types

import numpy as np
import pydicom
import pytest
import slicer
import vtk

from slicervae.phantom import write_cohort
from SlicerVAELib.core.acquisition import Acquisition
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.volumes import volume_from_node

pytest.importorskip("highdicom")


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patient")
    write_cohort(folder, patients=1, seed=7, size=48, slices=10, lesion_share=0.0)
    return folder / "PHANTOM-0001" / "CT"


@pytest.fixture
def loaded(scene, add_volume, series):
    """The CT as Slicer's DICOM import leaves it: voxels, patient, study and series in the hierarchy, instances on the
    node."""
    volume = read_volume(series)
    node = add_volume(volume.array.copy(), volume.geometry.ijk_to_ras, "CT")
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "PHANTOM"), "study")
    tree.SetItemUID(study, "DICOM", volume.source.study_uid)
    item = tree.CreateItem(study, node)
    tree.SetItemUID(item, "DICOM", volume.source.series_uid)
    tree.SetItemAttribute(item, "DICOM.Modality", "CT")
    uids = [pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in sorted(series.iterdir())]
    node.SetAttribute("DICOM.instanceUIDs", " ".join(uids))
    return node


def test_the_header_tells_how_an_input_was_acquired(loaded, series, monkeypatch):
    """As Slicer's database gives the values of elements: as text, empty for one that is not there."""
    told = {"0018,0060": "120", "0018,0010": "Iohexol"}
    database = types.SimpleNamespace(
        fileForInstance=lambda _: str(next(series.iterdir())), instanceValue=lambda _, tag: told.get(tag, "")
    )
    monkeypatch.setattr(slicer, "dicomDatabase", database, raising=False)
    assert volume_from_node(loaded).source.acquisition == Acquisition(120.0, True)
    told.clear()
    assert volume_from_node(loaded).source.acquisition == Acquisition(None, False)
    database.fileForInstance = lambda _: ""  # a scene from another computer
    assert volume_from_node(loaded).source.acquisition == Acquisition()


@pytest.fixture
def logic(scene, engine):
    return SceneLogic(engine)


@pytest.fixture
def database(monkeypatch, series):
    """Slicer's DICOM database, which the headless core does not have: it tells the file of an instance."""
    files = {pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID: str(path) for path in series.iterdir()}
    monkeypatch.setattr(
        slicer,
        "dicomDatabase",
        types.SimpleNamespace(fileForInstance=files.get, instanceValue=lambda *_: ""),
        raising=False,
    )


def test_outputs_refer_to_the_series_of_their_input(logic, loaded, series, ct_bundle, tmp_path):
    nodes = logic.reconstruct(loaded, ct_bundle)
    exported = logic.exportToDICOM(nodes, tmp_path / "out", source=series)
    names = {path.relative_to(tmp_path / "out").as_posix() for path in exported.files}
    assert names == {*(f"reconstruction/{n:04d}.dcm" for n in range(1, 11)), "residual.dcm", "field_of_view.dcm"}
    again = read_volume(tmp_path / "out" / "reconstruction")
    original = read_volume(series)
    np.testing.assert_allclose(again.geometry.ijk_to_ras, original.geometry.ijk_to_ras, atol=1e-4)
    reconstruction = slicer.util.arrayFromVolume(nodes.reconstruction)
    np.testing.assert_allclose(again.array, reconstruction, atol=0.51)  # whole HU
    residual = pydicom.dcmread(tmp_path / "out" / "residual.dcm")
    source = pydicom.dcmread(next(series.iterdir()), stop_before_pixels=True)
    assert residual.StudyInstanceUID == source.StudyInstanceUID and residual.PatientID == source.PatientID
    assert residual.FrameOfReferenceUID == source.FrameOfReferenceUID and "RESEARCH" in residual.SeriesDescription


def test_the_files_of_the_input_are_found_by_the_dicom_database(logic, loaded, ct_bundle, tmp_path, database):
    nodes = logic.detectAnomalies(loaded, ct_bundle)
    exported = logic.exportToDICOM(nodes.anomaly, tmp_path / "out", threshold=0.5)
    assert {path.name for path in exported.files} == {"anomaly.dcm", "field_of_view.dcm", "anomaly_segmentation.dcm"}


def test_a_parent_transform_moves_nothing_in_the_files(logic, loaded, series, ct_bundle, tmp_path):
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode", "moved")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 25.0)
    transform.SetMatrixTransformToParent(matrix)
    loaded.SetAndObserveTransformNodeID(transform.GetID())
    nodes = logic.reconstruct(loaded, ct_bundle)
    logic.exportToDICOM(nodes, tmp_path / "out", source=series)
    again, original = read_volume(tmp_path / "out" / "reconstruction"), read_volume(series)
    np.testing.assert_allclose(again.geometry.ijk_to_ras, original.geometry.ijk_to_ras, atol=1e-4)


def test_samples_are_nobodys(logic, ct_bundle, loaded, tmp_path):
    node = logic.synthesize(ct_bundle, count=2, seed=1)
    exported = logic.exportToDICOM(node, tmp_path / "out")
    assert len(exported.files) == 2
    image = pydicom.dcmread(exported.files[0])
    assert "SYNTHETIC" in image.SeriesDescription and "ReferencedStudySequence" not in image
    with pytest.raises(UserError, match="export them alone"):
        logic.exportToDICOM([node, loaded], tmp_path / "other")


def test_what_can_not_be_exported_says_why_and_leaves_nothing(logic, loaded, series, ct_bundle, make_bundle, tmp_path):
    first = logic.reconstruct(loaded, ct_bundle)
    other = logic.detectAnomalies(loaded, make_bundle("other"))
    for outputs, options, words in (
        (loaded, {"source": series}, "'CT' is no output of SlicerVAE"),
        ([], {"source": series}, "Nothing is chosen"),
        (first, {}, "DICOM files that 'CT reconstruction' refers to are not known"),
        (first, {"source": series, "threshold": 1.0}, "has no anomaly map"),
        ([first.residual, other.anomaly], {"source": series}, "were not made by one model of one input"),
        ([first.residual, logic.reconstruct(loaded, ct_bundle).residual], {"source": series}, "are a residual"),
        (first, {"source": tmp_path / "nowhere"}, "holds no DICOM images"),
    ):
        with pytest.raises(UserError, match=words):
            logic.exportToDICOM(outputs, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()
