"""What the slice views show: an overlay over the input, two volumes side by side, a place in the patient.

All of it is done on the scene's own nodes, which the window follows; without a window they are only settings.
"""

from typing import TypeAlias

import slicer
import vtk

from .nodes import VolumeNode

SliceNode: TypeAlias = slicer.vtkMRMLSliceNode

LEFT, RIGHT = "Red", "Yellow"
_BEFORE = "SlicerVAE.BeforeSideBySide"


def show_over(scene: slicer.vtkMRMLScene, background: VolumeNode, foreground: VolumeNode, opacity: float) -> bool:
    """Show one volume over another in all slice views; True where that ended side by side: other sizes."""
    has_ended = _end_side_by_side(scene)
    for composite in _composites(scene):
        _show_behind(composite, background)
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(opacity)
    _update_legends(scene)
    return has_ended


def show_alone(scene: slicer.vtkMRMLScene, background: VolumeNode) -> None:
    """Show one volume in all slice views, with nothing over it."""
    _end_side_by_side(scene)
    for composite in _composites(scene):
        _show_behind(composite, background)
        composite.SetForegroundVolumeID(None)
    _update_legends(scene)


def show_in_red(scene: slicer.vtkMRMLScene, volume: VolumeNode) -> None:
    """Show one volume in the red slice view alone, fitted into it; the other views stay as they are."""
    for composite in _composites(scene):
        if composite.GetLayoutName() == LEFT:
            composite.SetBackgroundVolumeID(volume.GetID())
            composite.SetForegroundVolumeID(None)
            composite.SetLabelVolumeID(None)
    if (view := red_view(scene)) is not None:
        _fit(view, volume)
    _update_legends(scene)


def set_opacity_over(scene: slicer.vtkMRMLScene, foreground: VolumeNode, opacity: float) -> None:
    """Blend ``foreground`` where it lies over something; views that show something else stay as they are."""
    for composite in _composites(scene):
        if composite.GetForegroundVolumeID() == foreground.GetID():
            composite.SetForegroundOpacity(opacity)


def show_side_by_side(scene: slicer.vtkMRMLScene, left: VolumeNode, right: VolumeNode) -> None:
    """Show two volumes in two linked views of the same orientation and place; what comes next ends it again."""
    layout = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    first, second = _slice_node(scene, LEFT), _slice_node(scene, RIGHT)
    if layout is None or first is None or second is None:
        return
    if layout.GetAttribute(_BEFORE) is None:
        layout.SetAttribute(_BEFORE, f"{layout.GetViewArrangement()} {second.GetOrientation()}")
    layout.SetViewArrangement(slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView)
    second.SetOrientation(first.GetOrientation())
    second.GetSliceToRAS().DeepCopy(first.GetSliceToRAS())
    second.UpdateMatrices()
    for composite in _composites(scene):
        shown = {LEFT: left, RIGHT: right}.get(composite.GetLayoutName())
        if shown is not None:
            composite.SetBackgroundVolumeID(shown.GetID())
            composite.SetForegroundVolumeID(None)
            composite.SetLinkedControl(True)
    _update_legends(scene)


def _end_side_by_side(scene: slicer.vtkMRMLScene) -> bool:
    """Give the right view its own orientation back, and the layout that there was, unless the person chose another;
    False where there was nothing to end."""
    layout, view = scene.GetFirstNodeByClass("vtkMRMLLayoutNode"), _slice_node(scene, RIGHT)
    if layout is None or view is None or layout.GetAttribute(_BEFORE) is None:
        return False
    arrangement, orientation = layout.GetAttribute(_BEFORE).split(maxsplit=1)
    layout.RemoveAttribute(_BEFORE)
    if layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView:
        layout.SetViewArrangement(int(arrangement))
    view.SetOrientation(orientation)
    return True


def jump_to(scene: slicer.vtkMRMLScene, lps_mm: tuple[float, float, float]) -> None:
    """Move all slice views to a point in LPS mm, in their middle."""
    left, posterior, superior = lps_mm
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        scene, -left, -posterior, superior, slicer.vtkMRMLSliceNode.CenteredJumpSlice, -1, None
    )


def fit(scene: slicer.vtkMRMLScene, volume: VolumeNode) -> None:
    """Let all slice views show the whole of a volume, cut where they cut it already or through its middle."""
    for node in _nodes(scene, "vtkMRMLSliceNode"):
        offset, cuts = node.GetSliceOffset(), _cuts(node, volume)
        _fit(node, volume)
        if cuts:
            node.SetSliceOffset(offset)


def present(scene: slicer.vtkMRMLScene, volume: VolumeNode, lps_mm: tuple[float, float, float] | None) -> None:
    """Fit a volume into all slice views, linked, with their planes through a point in LPS mm (None: its middle)."""
    for composite in _composites(scene):
        composite.SetLinkedControl(True)
    for node in _nodes(scene, "vtkMRMLSliceNode"):
        _fit(node, volume)
        if lps_mm is not None:
            node.JumpSliceByOffsetting(-lps_mm[0], -lps_mm[1], lps_mm[2])


def red_view(scene: slicer.vtkMRMLScene | None) -> SliceNode | None:
    """Return the node of the red slice view, None where there is none."""
    return _slice_node(scene, LEFT) if scene is not None else None


def right_view(scene: slicer.vtkMRMLScene) -> SliceNode | None:
    """Return the node of the view that shows the right one of two side by side, None where there is none."""
    return _slice_node(scene, RIGHT)


def point_shown(scene: slicer.vtkMRMLScene) -> tuple[float, float, float] | None:
    """Return the middle, in RAS mm, of the red slice view, None where there is none."""
    if (node := red_view(scene)) is None:
        return None
    matrix = node.GetSliceToRAS()
    return matrix.GetElement(0, 3), matrix.GetElement(1, 3), matrix.GetElement(2, 3)


def _update_legends(scene: slicer.vtkMRMLScene) -> None:
    """Let the legends look again whether a view shows their volume; by themselves they don't."""
    for legend in _nodes(scene, "vtkMRMLColorLegendDisplayNode"):
        legend.Modified()


def _show_behind(composite: slicer.vtkMRMLSliceCompositeNode, volume: VolumeNode) -> None:
    """Let a view show a volume, and fit it in where the view has shown nothing or a place outside of it."""
    view = _slice_node(composite.GetScene(), composite.GetLayoutName())
    was_empty = not composite.GetBackgroundVolumeID()
    composite.SetBackgroundVolumeID(volume.GetID())
    if view is not None and (was_empty or not _has_its_middle_in(view, volume)):
        _fit(view, volume)


def _cuts(view: SliceNode, volume: VolumeNode) -> bool:
    low, high = _bounds_in(view, volume)[4:]
    return low <= 0 <= high


def _has_its_middle_in(view: SliceNode, volume: VolumeNode) -> bool:
    bounds = _bounds_in(view, volume)
    return all(low <= 0 <= high for low, high in zip(bounds[::2], bounds[1::2], strict=True))


def _fit(view: SliceNode, volume: VolumeNode) -> None:
    """Let a view show the whole of a volume, cut through its middle."""
    bounds = _bounds_in(view, volume)
    sides = [high - low for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    width, height, _ = view.GetDimensions()
    mm_per_pixel = max(sides[0] / max(width, 1), sides[1] / max(height, 1))
    view.SetXYZOrigin(0.0, 0.0, 0.0)
    view.SetFieldOfView(max(width, 1) * mm_per_pixel, max(height, 1) * mm_per_pixel, view.GetFieldOfView()[2])
    to_ras = view.GetSliceToRAS()
    middle = to_ras.MultiplyPoint(
        [*((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)), 1.0]
    )
    for axis in range(3):
        to_ras.SetElement(axis, 3, middle[axis])
    view.UpdateMatrices()


def _bounds_in(view: SliceNode, volume: VolumeNode) -> list[float]:
    """Where a volume lies along the view's own axes, in mm from its middle: low and high of right, up and depth."""
    to_slice = vtk.vtkMatrix4x4()
    vtk.vtkMatrix4x4.Invert(view.GetSliceToRAS(), to_slice)
    bounds = [0.0] * 6
    volume.GetSliceBounds(bounds, to_slice)
    return bounds


def _composites(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceCompositeNode]:
    return _nodes(scene, "vtkMRMLSliceCompositeNode")


def _slice_node(scene: slicer.vtkMRMLScene, name: str) -> SliceNode | None:
    nodes = _nodes(scene, "vtkMRMLSliceNode")
    return next((node for node in nodes if node.GetLayoutName() == name), None)


def _nodes(scene: slicer.vtkMRMLScene, kind: str) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]
