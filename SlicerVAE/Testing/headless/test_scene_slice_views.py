"""Where the slice views look: at the volume that they show, the whole of it, at the place that matters."""

import numpy as np
import pytest
import slicer
import slicer.util

from SlicerVAELib.panel.demonstration import show_demonstration_patient
from SlicerVAELib.scene import slice_views
from Testing.headless.panel_helper import BlockingRunner, Packages, Parameters, make_panel

FAR_AWAY = np.array([[-2.0, 0, 0, 500], [0, -2, 0, -300], [0, 0, 4, 1000], [0, 0, 0, 1]])  # 100 × 60 × 40 mm


@pytest.fixture
def volume(add_volume):
    return add_volume(np.zeros((10, 30, 50), np.int16), FAR_AWAY, "far away")


def view(name):
    return next(node for node in slicer.util.getNodesByClass("vtkMRMLSliceNode") if node.GetLayoutName() == name)


def middle(node):
    return [node.GetSliceToRAS().GetElement(axis, 3) for axis in range(3)]


def test_a_volume_that_lies_elsewhere_is_fitted_into_every_view(views, volume, scene):
    view("Red").SetDimensions(400, 200, 1)
    slice_views.show_alone(scene, volume)
    for name in ("Red", "Yellow"):
        assert middle(view(name)) == pytest.approx([500 - 49, -300 - 29, 1000 + 18])
    assert view("Red").GetFieldOfView()[:2] == pytest.approx((120, 60))  # 100 × 60 mm in twice as wide as high
    assert view("Yellow").GetFieldOfView()[0] == pytest.approx(60)  # sagittal: 60 × 40 mm


def test_where_the_person_looks_within_the_volume_is_left_alone(views, volume, scene):
    slice_views.show_alone(scene, volume)
    slice_views.jump_to(scene, (-470.0, 310.0, 1030.0))
    view("Red").SetFieldOfView(20.0, 20.0, 1.0)
    slice_views.show_over(scene, volume, volume, 0.5)
    assert middle(view("Red")) == pytest.approx([470, -310, 1030])
    assert view("Red").GetFieldOfView()[:2] == (20.0, 20.0)


def test_the_red_view_alone_shows_a_picture(views, volume, scene, add_volume):
    picture = add_volume(np.zeros((1, 30, 50), np.int16), name="picture")
    slice_views.show_over(scene, volume, volume, 0.5)
    slice_views.show_in_red(scene, picture)
    shown = {
        node.GetLayoutName(): (node.GetBackgroundVolumeID(), node.GetForegroundVolumeID())
        for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    }
    assert shown.pop("Red") == (picture.GetID(), None)
    assert set(shown.values()) == {(volume.GetID(), volume.GetID())}
    assert _planes()[1:] == pytest.approx(tuple(_place(picture)[1:]))


def test_a_view_outside_of_the_volume_is_brought_back(views, volume, scene):
    slice_views.show_alone(scene, volume)
    slice_views.jump_to(scene, (0.0, 0.0, 0.0))
    slice_views.show_over(scene, volume, volume, 0.5)
    assert middle(view("Red")) == pytest.approx([451, -329, 1018])


def test_presenting_keeps_the_whole_volume_in_the_view_and_cuts_where_asked(views, volume, scene):
    slice_views.show_alone(scene, volume)
    slice_views.present(scene, volume, (-470.0, 310.0, 1030.0))
    assert middle(view("Red")) == pytest.approx([451, -329, 1030])
    assert middle(view("Yellow")) == pytest.approx([470, -329, 1018])
    assert all(node.GetLinkedControl() for node in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"))


def test_legends_look_again_whenever_another_volume_is_shown(views, volume, scene, add_volume):
    other = add_volume(np.zeros((10, 30, 50), np.int16), FAR_AWAY, "other")
    other.CreateDefaultDisplayNodes()
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(other)
    for show in (
        lambda: slice_views.show_over(scene, volume, other, 0.5),
        lambda: slice_views.show_alone(scene, volume),
        lambda: slice_views.show_side_by_side(scene, volume, other),
        lambda: slice_views.show_in_red(scene, volume),
    ):
        before = legend.GetMTime()
        show()
        assert legend.GetMTime() > before


def test_the_demonstration_shows_its_effusion_at_once(views, scene):
    parameters = Parameters()
    panel = make_panel(BlockingRunner(None), parameters, Packages(("PyTorch",)))
    show_demonstration_patient(panel)
    overlay = parameters.anomalyVolume
    colors, middle = overlay.GetDisplayNode().GetColorNode(), np.zeros(4)
    colors.GetColor(colors.GetNumberOfColors() // 2, middle)
    assert middle[3] == 0  # clear below the alarm level
    for composite in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        assert composite.GetForegroundVolumeID() == overlay.GetID()
    # Each view cuts through what is marked.
    array = slicer.util.arrayFromVolume(overlay)
    to_ijk = np.linalg.inv(slicer.util.arrayFromVTKMatrix(_matrix(overlay)))
    i, j, k = np.rint(to_ijk[:3] @ [*_planes(), 1.0]).astype(int)
    assert (array[k] > parameters.alarmLevel).any() and (array[:, :, i] > parameters.alarmLevel).any()
    assert array[k, :, i].max() > parameters.alarmLevel and 0 <= j < array.shape[1]


def _matrix(node):
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return matrix


def _place(node):
    """The middle of a volume, RAS mm."""
    bounds = [0.0] * 6
    node.GetRASBounds(bounds)
    return np.mean(np.reshape(bounds, (3, 2)), axis=1)


def _planes():
    """The point at which the sagittal plane tells R, the middle A, and the axial plane S."""
    return middle(view("Yellow"))[0], middle(view("Red"))[1], middle(view("Red"))[2]
