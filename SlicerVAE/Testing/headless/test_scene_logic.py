"""The scene logic on real MRML with the real engine: where outputs lie, what they say, what stays untouched."""

import gc
import json

import numpy as np
import pytest
import slicer
import vtk

from SlicerVAELib.core.engine import AnomalyOptions, ReconstructRequest
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.volumes import volume_from_node


@pytest.fixture
def logic(scene, engine):
    assert slicer.mrmlScene is scene
    return SceneLogic(engine)


def matrix_of(node) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def array_of(node) -> np.ndarray:
    return slicer.util.arrayFromVolume(node)


def ids_of(scene) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def content_of(node) -> tuple:
    scalars = node.GetImageData().GetPointData().GetScalars()
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    display = node.GetDisplayNode()
    window = (display.GetWindow(), display.GetLevel(), display.GetColorNodeID()) if display else None
    return (
        array_of(node).tobytes(),
        matrix_of(node).tobytes(),
        node.GetTransformNodeID(),
        attributes,
        scalars.GetMTime(),
        node.GetName(),
        window,
    )


def phantom(shape=(12, 40, 48)) -> np.ndarray:
    """A body with two lungs on one's left and right of different size: no symmetry could hide a flip."""
    k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    hounsfield = np.full(shape, -1000, np.int16)
    hounsfield[i**2 + (j * 1.3) ** 2 < 0.8] = 40
    hounsfield[(i + 0.4) ** 2 + j**2 < 0.1 + 0.05 * k] = -800
    hounsfield[(i - 0.4) ** 2 + (j + 0.1) ** 2 < 0.04] = -700
    return hounsfield


def test_outputs_lie_exactly_on_their_input(logic, chest_ct, ct_bundle):
    nodes = logic.reconstruct(chest_ct, ct_bundle)
    for node in (nodes.reconstruction, nodes.residual):
        assert node.GetImageData().GetDimensions() == chest_ct.GetImageData().GetDimensions()
        assert np.array_equal(matrix_of(node), matrix_of(chest_ct))
        assert array_of(node).dtype == np.float32
    assert nodes.anomaly is None
    assert nodes.reconstruction.GetName() == "chest reconstruction"


def test_scene_and_engine_agree(logic, engine, chest_ct, ct_bundle):
    nodes = logic.reconstruct(chest_ct, ct_bundle)
    anomaly = logic.detectAnomalies(chest_ct, ct_bundle, options=AnomalyOptions(smoothing_mm=5.0)).anomaly
    request = ReconstructRequest(ct_bundle, volume_from_node(chest_ct), anomaly=AnomalyOptions(smoothing_mm=5.0))
    expected = engine.reconstruct(request).arrays
    assert np.array_equal(array_of(nodes.reconstruction), expected["reconstruction"])
    assert np.array_equal(array_of(nodes.residual), expected["residual"])
    assert np.array_equal(array_of(anomaly), expected["anomaly"])
    assert array_of(nodes.reconstruction).std() > 1


AXIAL = np.diag([-8.0, -8.0, 5.0, 1.0])


def variants() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The phantom stored in other orders of its axes: (array, IJK to RAS) of the same body in the same place."""
    array, last = phantom(), np.array([47, 39, 11])
    sagittal = np.zeros((4, 4))
    sagittal[:, [2, 0, 1, 3]] = AXIAL  # i' = j, j' = k, k' = i
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[[0, 2], 3] = last[[0, 2]]
    return {
        "axial": (array, AXIAL),
        "flipped": (array[::-1, :, ::-1], AXIAL @ flip),
        "sagittal": (array.transpose(2, 0, 1), sagittal),
    }


@pytest.mark.parametrize("name", ["flipped", "sagittal"])
def test_storage_order_does_not_change_the_result(logic, add_volume, ct_bundle, name):
    """The same body stored otherwise gives the same reconstruction at the same place in the patient."""
    straight, other = variants()["axial"], variants()[name]
    one = logic.reconstruct(add_volume(*straight), ct_bundle).reconstruction
    two = logic.reconstruct(add_volume(np.ascontiguousarray(other[0]), other[1]), ct_bundle).reconstruction
    to_other = np.linalg.inv(matrix_of(two)) @ matrix_of(one)
    k, j, i = np.meshgrid(*map(np.arange, array_of(one).shape), indexing="ij")
    where = np.rint(to_other[:3] @ np.stack([i, j, k, np.ones_like(i)]).reshape(4, -1)).astype(int)
    moved = array_of(two)[where[2], where[1], where[0]].reshape(array_of(one).shape)
    assert np.abs(moved - array_of(one)).max() < 0.15  # 10⁻⁴ of the window


def test_oblique_and_anisotropic_input(logic, add_volume, ct_bundle):
    transform = vtk.vtkTransform()
    transform.RotateX(25)
    transform.RotateY(-10)
    grid = slicer.util.arrayFromVTKMatrix(transform.GetMatrix()) @ np.diag([-4.0, -9.0, 2.5, 1.0])
    node = add_volume(phantom(), grid, "oblique")
    nodes = logic.reconstruct(node, ct_bundle)
    assert np.allclose(matrix_of(nodes.reconstruction), grid)
    residual, image = array_of(nodes.residual), np.clip(array_of(node), -800, 700)
    inside = np.ones(image.shape, bool)
    if nodes.field_of_view:
        inside = array_of(nodes.field_of_view) == 1
    explained = image - array_of(nodes.reconstruction)
    assert np.corrcoef(residual[inside], explained[inside])[0, 1] > 0.9


def test_parent_transforms_are_honoured_and_kept(scene, logic, add_volume, ct_bundle):
    """A volume turned by a transform is seen as turned, and its outputs follow the transform from then on."""
    turned = vtk.vtkTransform()
    turned.RotateZ(90)
    quarter = slicer.util.arrayFromVTKMatrix(turned.GetMatrix())
    outer = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "outer")
    inner = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "inner")
    outer.SetMatrixTransformToParent(turned.GetMatrix())
    inner.SetAndObserveTransformNodeID(outer.GetID())
    shift = np.eye(4)
    shift[:3, 3] = (10, -20, 30)
    inner.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    node = add_volume(phantom(), AXIAL)
    node.SetAndObserveTransformNodeID(inner.GetID())
    under = logic.reconstruct(node, ct_bundle).reconstruction
    assert under.GetTransformNodeID() == inner.GetID()
    hardened = add_volume(phantom(), quarter @ shift @ AXIAL)
    expected = logic.reconstruct(hardened, ct_bundle).reconstruction
    assert np.abs(array_of(under) - array_of(expected)).max() < 0.15
    unmoved = logic.reconstruct(add_volume(phantom(), AXIAL), ct_bundle).reconstruction
    assert np.abs(array_of(under) - array_of(unmoved)).max() > 1  # turning the body does matter to this model


def test_input_is_untouched(logic, chest_ct, ct_bundle):
    before = content_of(chest_ct)
    logic.reconstruct(chest_ct, ct_bundle)
    logic.detectAnomalies(chest_ct, ct_bundle)
    assert content_of(chest_ct) == before


def test_provenance(logic, chest_ct, ct_bundle):
    nodes = logic.reconstruct(chest_ct, ct_bundle, sampleSeed=5)
    anomaly = logic.detectAnomalies(chest_ct, ct_bundle).anomaly
    manifest = json.loads((ct_bundle / "bundle.json").read_text())
    kinds = {nodes.reconstruction: "reconstruction", nodes.residual: "residual", anomaly: "anomaly"}
    for node, kind in kinds.items():
        assert node.GetAttribute("SlicerVAE.Kind") == kind
        assert node.GetAttribute("SlicerVAE.Bundle") == "tiny"
        assert node.GetAttribute("SlicerVAE.BundleVersion") == "1.0"
        assert node.GetAttribute("SlicerVAE.BundleSHA256") == manifest["checksum"]
        assert node.GetAttribute("SlicerVAE.Software").startswith("SlicerVAE ")
        assert node.GetAttribute("SlicerVAE.SourceNodeID") == chest_ct.GetID()
        assert any("does not say what it is" in text for text in json.loads(node.GetAttribute("SlicerVAE.Warnings")))
    assert json.loads(nodes.residual.GetAttribute("SlicerVAE.Parameters"))["reconstruction of"] == "draw 5"
    assert "σ" in anomaly.GetAttribute("SlicerVAE.AnomalyUnit")
    assert nodes.residual.GetAttribute("SlicerVAE.AnomalyUnit") is None


def test_outputs_stand_beside_their_input_in_the_hierarchy(scene, logic, chest_ct, ct_bundle):
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "patient"), "planning")
    tree.SetItemUID(tree.CreateItem(study, chest_ct), "DICOM", "1.2.3.4")
    nodes = logic.reconstruct(chest_ct, ct_bundle)
    for node in (nodes.reconstruction, nodes.residual):
        assert tree.GetItemParent(tree.GetItemByDataNode(node)) == study
        assert node.GetAttribute("SlicerVAE.SourceSeriesUID") == "1.2.3.4"


def test_maps_are_shown_for_what_they_are(logic, chest_ct, make_bundle):
    narrow = make_bundle("narrow", spacing_mm=4.0)
    chest_ct.GetDisplayNode().AutoWindowLevelOff()
    chest_ct.GetDisplayNode().SetWindowLevel(350, 40)
    nodes = logic.reconstruct(chest_ct, narrow)
    shown = nodes.reconstruction.GetDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (350, 40, 0)
    assert shown is not chest_ct.GetDisplayNode()
    residual = nodes.residual.GetDisplayNode()
    assert residual.GetWindowLevelMin() == -residual.GetWindowLevelMax() < 0
    assert residual.GetColorNode().GetName() == "SlicerVAE residual"
    anomaly = logic.detectAnomalies(chest_ct, narrow).anomaly.GetDisplayNode()
    assert anomaly.GetApplyThreshold() and anomaly.GetLowerThreshold() == 0
    assert anomaly.GetColorNode().GetName() == "SlicerVAE anomaly"


def test_unseen_parts_are_clear_in_the_rendered_anomaly_map(logic, chest_ct, make_bundle):
    """What Slicer draws: opaque where the model saw, clear where it didn't, black for a residual of zero."""
    nodes = logic.detectAnomalies(chest_ct, make_bundle("narrow", spacing_mm=4.0))
    display = nodes.anomaly.GetDisplayNode()
    display.UpdateImageDataPipeline()
    drawn = vtk.util.numpy_support.vtk_to_numpy(
        _updated(display.GetImageDataConnection()).GetPointData().GetScalars()
    ).reshape(*array_of(nodes.anomaly).shape, -1)
    assert ((drawn[..., 3] == 0) == (array_of(nodes.anomaly) < 0)).all()
    assert ((drawn[..., 3] == 0) == (array_of(nodes.field_of_view) == 0)).all()


def _updated(connection):
    connection.GetProducer().Update()
    return connection.GetProducer().GetOutputDataObject(connection.GetIndex())


def test_field_of_view_is_marked_only_where_something_lies_outside(logic, chest_ct, ct_bundle, make_bundle):
    assert logic.reconstruct(chest_ct, ct_bundle).field_of_view is None
    nodes = logic.reconstruct(chest_ct, make_bundle("narrow", spacing_mm=4.0))
    seen = nodes.field_of_view
    assert seen.GetClassName() == "vtkMRMLLabelMapVolumeNode" and seen.GetName() == "chest field of view"
    assert np.array_equal(matrix_of(seen), matrix_of(chest_ct))
    columns = np.flatnonzero(array_of(seen)[50].any(axis=0))
    assert abs(len(columns) * 3.0 - 256) <= 3  # mm: the model's 64 pixels of 4 mm
    assert (array_of(nodes.residual)[array_of(seen) == 0] == 0).all()


def test_chosen_nodes_are_written_in_place(scene, logic, chest_ct, add_volume, make_bundle):
    chosen = add_volume(np.zeros((2, 2, 2), np.int16), name="mine")
    narrow = make_bundle("narrow", spacing_mm=4.0)
    first = logic.reconstruct(chest_ct, narrow, outputVolume=chosen)
    assert first.reconstruction is chosen and chosen.GetName() == "mine"
    assert array_of(chosen).shape == array_of(chest_ct).shape
    chosen.GetDisplayNode().SetWindowLevel(111, 22)
    before = ids_of(scene)
    second = logic.reconstruct(chest_ct, narrow, outputVolume=chosen, residualVolume=first.residual)
    assert ids_of(scene) == before  # nothing piles up, the field of view of the first run included
    assert second.field_of_view is first.field_of_view
    assert chosen.GetDisplayNode().GetWindow() == 111  # the person's window stays


def test_several_runs_keep_their_results_apart(logic, chest_ct, ct_bundle):
    one, two = (logic.reconstruct(chest_ct, ct_bundle) for _ in range(2))
    assert one.reconstruction is not two.reconstruction
    assert one.reconstruction.GetName() != two.reconstruction.GetName()
    assert one.residual.GetDisplayNode().GetColorNode() is two.residual.GetDisplayNode().GetColorNode()


def test_deleted_outputs_give_their_memory_back(scene, logic, chest_ct, ct_bundle):
    nodes = logic.reconstruct(chest_ct, ct_bundle)
    watched = []
    for node in nodes.written:
        for thing in (node, node.GetImageData(), node.GetDisplayNode()):
            watched.append(vtk.vtkWeakReference())
            watched[-1].Set(thing)
        scene.RemoveNode(node.GetDisplayNode())
        scene.RemoveNode(node)
    del nodes, node, thing
    gc.collect()
    assert [reference.Get() for reference in watched] == [None] * 6


class TestNothingIsLeftBehind:
    def test_when_cancelled(self, scene, logic, chest_ct, ct_bundle):
        before, cancel = ids_of(scene), Cancel()
        stages = []

        def watch(progress):
            stages.append(progress.stage)
            if progress.fraction > 0.3:
                cancel.request()

        with pytest.raises(Cancelled):
            logic.reconstruct(chest_ct, ct_bundle, progress=watch, cancel=cancel)
        assert "reconstructing" in stages
        assert ids_of(scene) == before

    def test_when_the_model_was_made_for_something_else(self, scene, logic, chest_ct, make_bundle):
        brain = make_bundle("brain", modality="MR")
        before = ids_of(scene)
        with pytest.raises(UserError, match=r"chest.*CT.*brain 1\.0.*MR"):
            logic.detectAnomalies(chest_ct, brain)
        assert ids_of(scene) == before

    def test_when_the_input_is_a_dose(self, scene, logic, chest_ct, ct_bundle):
        chest_ct.SetAttribute("DicomRtImport.DoseVolume", "1")
        before = ids_of(scene)
        with pytest.raises(UserError, match=r"chest is a dose distribution.*choose"):
            logic.reconstruct(chest_ct, ct_bundle)
        assert ids_of(scene) == before

    def test_when_there_is_no_model(self, scene, logic, chest_ct, tmp_path):
        before = ids_of(scene)
        with pytest.raises(UserError, match="nowhere"):
            logic.reconstruct(chest_ct, tmp_path / "nowhere")
        assert ids_of(scene) == before

    def test_when_writing_fails_half_way(self, scene, logic, chest_ct, add_volume, ct_bundle, monkeypatch):
        """The last step of the last output fails: new nodes vanish and the chosen one has its old content back."""
        chosen = add_volume(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.diag([1.0, 2, 3, 1]), "mine")
        chosen.SetAttribute("SlicerVAE.Kind", "older")
        chosen.GetDisplayNode().SetWindowLevel(7, 3)
        tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        study = tree.CreateStudyItem(tree.GetSceneItemID(), "study")
        tree.CreateItem(study, chosen)
        before, content = ids_of(scene), content_of(chosen)

        def fail(self, display, add):
            raise MemoryError

        monkeypatch.setattr("SlicerVAELib.scene.display.AsResidual.__call__", fail)
        with pytest.raises(MemoryError):
            logic.reconstruct(chest_ct, ct_bundle, outputVolume=chosen)
        assert ids_of(scene) == before
        assert content_of(chosen) == content
        assert tree.GetItemParent(tree.GetItemByDataNode(chosen)) == study
        assert tree.GetNumberOfItems() == 2  # the study and the chosen volume


REFUSED_OUTPUTS = {
    "the input itself": lambda ct, other: {"outputVolume": ct},
    "one node twice": lambda ct, other: {"outputVolume": other, "residualVolume": other},
}


@pytest.mark.parametrize("choose", REFUSED_OUTPUTS.values(), ids=REFUSED_OUTPUTS.keys())
def test_impossible_outputs_are_refused(logic, add_volume, ct_bundle, choose):
    ct, other = add_volume(phantom(), AXIAL, "CT"), add_volume(phantom(), AXIAL, "other")
    before = content_of(ct), content_of(other)
    with pytest.raises(UserError, match="choose another"):
        logic.reconstruct(ct, ct_bundle, **choose(ct, other))
    assert (content_of(ct), content_of(other)) == before


def test_synthetic_slices(scene, logic, ct_bundle):
    node = logic.synthesize(ct_bundle, count=5, seed=3)
    assert "synthetic" in node.GetName()
    assert node.GetAttribute("SlicerVAE.Synthetic") == "1"
    assert node.GetAttribute("SlicerVAE.Kind") == "synthetic slices"
    assert array_of(node).shape == (5, 64, 64)
    display = node.GetDisplayNode()
    assert display.GetColorNodeID() == "vtkMRMLColorTableNodeGrey"
    assert (display.GetWindowLevelMin(), display.GetWindowLevelMax()) == (-800, 700)
    assert np.allclose(node.GetSpacing(), 6.0)
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    assert np.allclose(bounds, [-192, 192, -192, 192, 4985, 5015])  # far from every patient
    assert np.array_equal(array_of(logic.synthesize(ct_bundle, count=5, seed=3)), array_of(node))
    assert not np.array_equal(array_of(logic.synthesize(ct_bundle, count=5, seed=4)), array_of(node))
    assert json.loads(node.GetAttribute("SlicerVAE.Parameters"))["seed"] == "3"
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert tree.GetItemByDataNode(node)
