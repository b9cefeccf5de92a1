"""Segments become masks on the volume's grid, however the node keeps them and wherever it lies."""

import numpy as np
import pytest
import slicer
import slicer.util
import vtk
from vtk.util import numpy_support

from SlicerVAELib.core.bundle import write_bundle
from SlicerVAELib.core.contours import fill
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import NetworkDescription
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.segmentations import masks_from_node
from SlicerVAELib.scene.volumes import volume_from_node
from SlicerVAELib.worker.client import WorkerEngine
from Testing.headless.scene_patients import as_lines
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest
from Testing.headless.twins import positions, rotation

SHAPE = (24, 36, 40)
RADIUS, CENTRE = 18.0, np.array([6.0, -4.0, 3.0])
POSE = np.eye(4)
POSE[:3, :3] = rotation((0.3, 1, 0.5), 30)
POSE[:3, 3] = (12.0, -7.0, 20.0)


@pytest.fixture
def ct(add_volume) -> Volume:
    matrix = np.diag([2.0, 2.0, 3.0, 1.0])
    matrix[:3, 3] = (-40.0, -36.0, -36.0)
    return volume_from_node(add_volume(np.zeros(SHAPE, np.int16), matrix))


@pytest.fixture
def segmentation(scene):
    """A segmentation node in a scene where Slicer's converters are registered."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic()
    logic.SetMRMLScene(scene)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "structures")
    node.SetName("structures")
    yield node
    logic.SetMRMLScene(None)


def ball(volume: Volume, centre=CENTRE, radius=RADIUS) -> np.ndarray:
    return np.linalg.norm(positions(volume.geometry) - centre, axis=-1) < radius


def rings(heights, centre=CENTRE) -> list[np.ndarray]:
    """The ball's outline at some heights, (P, 3)."""
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    found = []
    for z in heights:
        radius = np.sqrt(max(RADIUS**2 - (z - centre[2]) ** 2, 0))
        ring = [centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), np.full(len(angle), z)]
        found.append(np.stack(ring, axis=1))
    return found


def oriented(array: np.ndarray, matrix: np.ndarray) -> slicer.vtkOrientedImageData:
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(array.ravel(), deep=True))
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return image


def add_segment(node, kind: str, data, name="Ball"):
    node.GetSegmentation().SetSourceRepresentationName(kind)
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.AddRepresentation(kind, data)
    node.GetSegmentation().AddSegment(segment)
    return segment


def surface(centre=CENTRE) -> vtk.vtkPolyData:
    source = vtk.vtkSphereSource()
    source.SetCenter(*centre)
    source.SetRadius(RADIUS)
    source.SetThetaResolution(90)
    source.SetPhiResolution(90)
    source.Update()
    return source.GetOutput()


def fine_grid() -> tuple[tuple[int, int, int], np.ndarray]:
    """Another grid than the volume's: finer, flipped and shifted."""
    matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
    matrix[:3, 3] = (30.0, 20.0, -20.0)
    return (46, 50, 50), matrix


def fine_ball() -> np.ndarray:
    shape, matrix = fine_grid()
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")[::-1], axis=-1)
    return RADIUS - np.linalg.norm(index @ matrix[:3, :3].T + matrix[:3, 3] - CENTRE, axis=-1)


def fill_with(node, kind: str) -> None:
    if kind == "Planar contour":
        add_segment(node, kind, as_lines(rings(np.arange(-15.0, 22.0, 1.0))))
    elif kind == "Closed surface":
        add_segment(node, kind, surface())
    elif kind == "Binary labelmap":
        add_segment(node, kind, oriented((fine_ball() > 0).astype(np.uint8), fine_grid()[1]))
    else:
        shares = np.clip(fine_ball() + 0.5, 0, 1)
        image = oriented((shares * 216 - 108).astype(np.int8), fine_grid()[1])
        ends = vtk.vtkDoubleArray()
        ends.SetName("ScalarRange")
        for end in (-108, 108):
            ends.InsertNextValue(end)
        image.GetFieldData().AddArray(ends)
        add_segment(node, kind, image)


KINDS = ("Planar contour", "Closed surface", "Binary labelmap", "Fractional labelmap")


def dice(mask: np.ndarray, other: np.ndarray) -> float:
    return 2 * float((mask & other).sum()) / float(mask.sum() + other.sum())


@pytest.mark.parametrize("moved", [False, True], ids=["at home", "under a transform"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_ball_is_a_ball_whatever_it_is_kept_as(scene, ct, segmentation, kind, moved):
    fill_with(segmentation, kind)
    centre = CENTRE
    if moved:
        transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "pose")
        transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(POSE))
        segmentation.SetAndObserveTransformNodeID(transform.GetID())
        centre = POSE[:3, :3] @ CENTRE + POSE[:3, 3]
    before = segmentation.GetSegmentation().GetMTime()
    masks = masks_from_node(segmentation, ct)
    assert list(masks) == ["Ball"]
    assert masks["Ball"].dtype == bool
    assert dice(masks["Ball"], ball(ct, centre)) > 0.95
    assert segmentation.GetSegmentation().GetMTime() == before
    assert segmentation.GetSegmentation().GetSourceRepresentationName() == kind


def test_contours_are_filled_by_the_trainers_own_rasteriser(ct, segmentation):
    contours = rings(np.arange(-15.0, 22.0, 3.0))
    add_segment(segmentation, "Planar contour", as_lines(contours))
    np.testing.assert_array_equal(masks_from_node(segmentation, ct)["Ball"], fill(contours, ct.geometry))


def test_overlapping_segments_and_twins_are_kept_apart(ct, segmentation):
    for centre in (CENTRE, CENTRE + np.array([8.0, 0, 0])):
        add_segment(segmentation, "Planar contour", as_lines(rings(np.arange(-15.0, 22.0, 3.0), centre)))
    masks = masks_from_node(segmentation, ct)
    assert list(masks) == ["Ball", "Ball (2)"]
    assert (masks["Ball"] & masks["Ball (2)"]).any()
    assert (masks["Ball"] & ~masks["Ball (2)"]).any()


def test_segments_that_share_a_labelmap_are_told_apart(ct, segmentation):
    shape, matrix = fine_grid()
    labels = np.zeros(shape, np.uint8)
    labels[fine_ball() > 0] = 1
    labels[: shape[0] // 2][fine_ball()[: shape[0] // 2] > 0] = 2
    shared = oriented(labels, matrix)
    for value in (1, 2):
        add_segment(segmentation, "Binary labelmap", shared, f"half {value}").SetLabelValue(value)
    upper, lower = masks_from_node(segmentation, ct).values()
    assert not (upper & lower).any()
    assert dice(upper | lower, ball(ct)) > 0.95


def test_what_can_not_be_read_is_told_with_the_nodes_name(scene, ct, segmentation):
    with pytest.raises(UserError, match="No segmentation is chosen"):
        masks_from_node(None, ct)
    with pytest.raises(UserError, match="'structures' holds no segments"):
        masks_from_node(segmentation, ct)
    add_segment(segmentation, "Planar contour", as_lines([contour + 500.0 for contour in rings([0.0, 3.0])]))
    with pytest.raises(UserError, match="No segment of 'structures' lies within"):
        masks_from_node(segmentation, ct)
    transform = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "warp")
    transform.SetAndObserveTransformToParent(vtk.vtkThinPlateSplineTransform())
    segmentation.SetAndObserveTransformNodeID(transform.GetID())
    with pytest.raises(UserError, match=r"'structures' lies under the non-linear transform 'warp'"):
        masks_from_node(segmentation, ct)
    scene.RemoveNode(segmentation)
    with pytest.raises(UserError, match="no longer in the scene"):
        masks_from_node(segmentation, ct)


@pytest.mark.parametrize("engine", [LocalEngine, WorkerEngine])
def test_a_model_of_structures_sees_the_segments(add_volume, segmentation, tmp_path, engine):
    settings = {"size": 64, "structures": 1, "filters": 4}
    network = build("conv_pool_structures", settings)
    manifest = tiny_manifest(
        name="structures",
        network=NetworkDescription("conv_pool_structures", settings),
        preprocessing=Preprocessing(HounsfieldWindow(), 64, 3.0, structures=("Ball",)),
    )
    write_bundle(tmp_path / "bundle", manifest, network, card="# Small\n", preview=PREVIEW_PNG)
    matrix = np.diag([2.0, 2.0, 3.0, 1.0])
    matrix[:3, 3] = (-40.0, -36.0, -36.0)
    rng = np.random.default_rng(0)
    node = add_volume(rng.integers(-900, 600, SHAPE).astype(np.int16), matrix)
    add_segment(segmentation, "Planar contour", as_lines(rings(np.arange(-15.0, 22.0, 3.0))))
    logic = SceneLogic(engine())
    try:
        with pytest.raises(UserError, match="has no structure 'Ball'"):
            logic.reconstruct(node, tmp_path / "bundle")
        with_ball = logic.reconstruct(node, tmp_path / "bundle", segmentation=segmentation)
    finally:
        logic.close()
    assert slicer.util.arrayFromVolume(with_ball.reconstruction).shape == SHAPE
