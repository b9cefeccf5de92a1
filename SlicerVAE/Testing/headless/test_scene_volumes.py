"""A volume node becomes a Volume: the same voxels, in the right place, of the right modality."""

import numpy as np
import pytest
import slicer
import vtk

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.scene.volumes import volume_from_node


def oblique(spacing=(0.8, 1.3, 4.0), origin=(-12.0, 30.0, 7.0), flip=False) -> np.ndarray:
    transform = vtk.vtkTransform()
    transform.RotateX(20)
    transform.RotateY(-35)
    transform.RotateZ(50)
    matrix = slicer.util.arrayFromVTKMatrix(transform.GetMatrix()) @ np.diag([*spacing, 1.0])
    if flip:
        matrix[:3, 0] *= -1
    matrix[:3, 3] = origin
    return matrix


SAGITTAL = np.array([[0, 0, 5.0, -40], [-0.7, 0, 0, 60], [0, -0.7, 0, 90], [0, 0, 0, 1]], dtype=float)
GRIDS = {
    "axial": np.diag([1.0, 1.0, 3.0, 1.0]),
    "flipped": np.diag([-1.0, -1.0, 3.0, 1.0]),
    "sagittal": SAGITTAL,
    "oblique": oblique(),
    "oblique, left-handed": oblique(flip=True),
}


def add_transform(scene, matrix: np.ndarray, parent=None):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "pose")
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(matrix))
    if parent is not None:
        node.SetAndObserveTransformNodeID(parent.GetID())
    return node


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_grid_and_voxels_are_the_nodes_own(add_volume, grid):
    array = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    volume = volume_from_node(add_volume(array, grid))
    assert volume.array.shape == (4, 5, 6) and volume.array.dtype == np.int16
    assert np.array_equal(volume.array, array)
    assert np.allclose(volume.geometry.ijk_to_ras, grid)


def test_a_landmark_lies_where_slicer_shows_it(scene, add_volume):
    """Under nested transforms the Volume puts a voxel exactly where the scene does."""
    node = add_volume(np.zeros((4, 5, 6), np.int16), oblique())
    outer = add_transform(scene, oblique(spacing=(1, 1, 1), origin=(5, 6, 7)))
    inner = add_transform(scene, np.diag([2.0, 1.0, -1.0, 1.0]), parent=outer)
    node.SetAndObserveTransformNodeID(inner.GetID())
    to_world = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(inner, None, to_world)
    local = oblique() @ [3, 2, 1, 1]
    shown = to_world.TransformPoint(local[:3])
    assert np.allclose((volume_from_node(node).geometry.ijk_to_ras @ [3, 2, 1, 1])[:3], shown)


def test_reading_copies_and_changes_nothing(chest_ct):
    scalars = chest_ct.GetImageData().GetPointData().GetScalars()
    before = scalars.GetMTime(), chest_ct.GetMTime(), chest_ct.GetImageData().GetMTime()
    volume = volume_from_node(chest_ct)
    assert np.shares_memory(volume.array, slicer.util.arrayFromVolume(chest_ct))
    with pytest.raises(ValueError, match="read-only"):
        volume.array[0, 0, 0] = 1
    assert slicer.util.arrayFromVolume(chest_ct).flags.writeable
    assert before == (scalars.GetMTime(), chest_ct.GetMTime(), chest_ct.GetImageData().GetMTime())


def test_voxels_outlive_their_node(scene, add_volume):
    node = add_volume(np.full((40, 50, 60), 321, np.int16))
    volume = volume_from_node(node)
    scene.RemoveNode(node)
    del node
    assert (volume.array == 321).all()


def test_modality_is_what_the_header_said(scene, add_volume):
    node = add_volume(np.zeros((4, 5, 6), np.int16))
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = tree.CreateStudyItem(tree.CreateSubjectItem(tree.GetSceneItemID(), "patient"), "study")
    tree.SetItemUID(study, "DICOM", "1.2.3")
    series = tree.CreateItem(study, node)
    tree.SetItemUID(series, "DICOM", "1.2.3.4")
    tree.SetItemAttribute(series, "DICOM.Modality", "MR")
    tree.SetItemAttribute(series, "DICOM.FrameOfReferenceUID", "1.9")
    volume = volume_from_node(node)
    assert volume.modality is Modality.MR and not volume.modality_is_inferred
    source = volume.source
    assert (source.study_uid, source.series_uid, source.frame_of_reference_uid) == ("1.2.3", "1.2.3.4", "1.9")


def test_modality_is_inferred_for_files_that_say_nothing(chest_ct):
    volume = volume_from_node(chest_ct)
    assert volume.modality is Modality.CT and volume.modality_is_inferred
    assert volume.source.name == "chest"


def test_dose_is_recognised(add_volume):
    node = add_volume(np.ones((4, 5, 6), np.float32), name="plan dose")
    node.SetAttribute("DicomRtImport.DoseVolume", "1")
    assert volume_from_node(node).modality is Modality.DOSE


def test_other_modalities_are_refused_by_name(scene, add_volume):
    node = add_volume(np.ones((4, 5, 6), np.float32), name="tracer")
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    tree.SetItemAttribute(tree.CreateItem(tree.GetSceneItemID(), node), "DICOM.Modality", "PT")
    with pytest.raises(UserError, match=r"'tracer'.*PT.*choose"):
        volume_from_node(node)


def empty(scene):
    return scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "nothing")


def colour(scene):
    return slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5, 3), np.uint8), name="photo", nodeClassName="vtkMRMLVectorVolumeNode"
    )


def label_map(scene):
    return slicer.util.addVolumeFromArray(
        np.zeros((3, 4, 5), np.uint8), name="organs", nodeClassName="vtkMRMLLabelMapVolumeNode"
    )


def bent(scene):
    node = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="warped")
    warp = vtk.vtkThinPlateSplineTransform()
    warp.SetBasisToR()
    points, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for index, point in enumerate([(0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)]):
        points.InsertNextPoint(point)
        moved.InsertNextPoint(point[0] + index % 2, point[1], point[2] + index)
    warp.SetSourceLandmarks(points)
    warp.SetTargetLandmarks(moved)
    transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "respiration")
    transform.SetAndObserveTransformToParent(warp)
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def flat_axes(scene):
    node = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="squashed")
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "press")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([1.0, 1.0, 1e-15, 1.0])))
    node.SetAndObserveTransformNodeID(transform.GetID())
    return node


def map_of_ours(scene):
    node = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.float32), name="chest anomaly")
    node.SetAttribute("SlicerVAE.Kind", "anomaly")
    return node


def removed(scene):
    node = slicer.util.addVolumeFromArray(np.zeros((3, 4, 5), np.int16), name="gone")
    scene.RemoveNode(node)
    return node


REFUSED = {
    empty: "'nothing' holds no image",
    colour: "'photo' is a colour image with 3 values per voxel",
    label_map: "'organs' is a label map",
    bent: "'warped' lies under the non-linear transform 'respiration'; harden",
    flat_axes: "'squashed' has unusable directions or spacing",
    map_of_ours: "'chest anomaly' is a map that SlicerVAE made",
    removed: "'gone' is no longer in the scene",
}


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: make.__name__)
def test_what_no_model_takes_is_refused_by_name(scene, make):
    with pytest.raises(UserError) as refused:
        volume_from_node(make(scene))
    assert REFUSED[make] in str(refused.value)
    assert str(refused.value).count(". ") == 0 and str(refused.value).endswith(".")


def test_no_choice_is_a_sentence_too(scene):
    with pytest.raises(UserError, match="choose a CT or MR volume"):
        volume_from_node(None)
