"""What the slice views show: an overlay over the input, two volumes side by side, a place in the patient.

All of it is done on the scene's own nodes, which the window follows; without a window they are only settings.
"""

from typing import TypeAlias

import slicer

from .nodes import VolumeNode

SliceNode: TypeAlias = slicer.vtkMRMLSliceNode

LEFT, RIGHT = "Red", "Yellow"
_BEFORE = "SlicerVAE.BeforeSideBySide"


def show_over(scene: slicer.vtkMRMLScene, background: VolumeNode, foreground: VolumeNode, opacity: float) -> None:
    """Show one volume over another in all slice views."""
    _end_side_by_side(scene)
    for composite in _composites(scene):
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(foreground.GetID())
        composite.SetForegroundOpacity(opacity)


def show_alone(scene: slicer.vtkMRMLScene, background: VolumeNode) -> None:
    """Show one volume in all slice views, with nothing over it."""
    _end_side_by_side(scene)
    for composite in _composites(scene):
        composite.SetBackgroundVolumeID(background.GetID())
        composite.SetForegroundVolumeID(None)


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


def _end_side_by_side(scene: slicer.vtkMRMLScene) -> None:
    """Give the right view its own orientation back, and the layout that there was, unless the person chose another."""
    layout, view = scene.GetFirstNodeByClass("vtkMRMLLayoutNode"), _slice_node(scene, RIGHT)
    if layout is None or view is None or layout.GetAttribute(_BEFORE) is None:
        return
    arrangement, orientation = layout.GetAttribute(_BEFORE).split(maxsplit=1)
    layout.RemoveAttribute(_BEFORE)
    if layout.GetViewArrangement() == slicer.vtkMRMLLayoutNode.SlicerLayoutSideBySideView:
        layout.SetViewArrangement(int(arrangement))
    view.SetOrientation(orientation)


def jump_to(scene: slicer.vtkMRMLScene, lps_mm: tuple[float, float, float]) -> None:
    """Move all slice views to a point in LPS mm, in their middle."""
    left, posterior, superior = lps_mm
    slicer.vtkMRMLSliceNode.JumpAllSlices(
        scene, -left, -posterior, superior, slicer.vtkMRMLSliceNode.CenteredJumpSlice, -1, None
    )


def red_view(scene: slicer.vtkMRMLScene | None) -> SliceNode | None:
    """Return the node of the red slice view, None where there is none."""
    return _slice_node(scene, LEFT) if scene is not None else None


def point_shown(scene: slicer.vtkMRMLScene) -> tuple[float, float, float] | None:
    """Return the middle, in RAS mm, of the red slice view, None where there is none."""
    if (node := red_view(scene)) is None:
        return None
    matrix = node.GetSliceToRAS()
    return matrix.GetElement(0, 3), matrix.GetElement(1, 3), matrix.GetElement(2, 3)


def _composites(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSliceCompositeNode]:
    return _nodes(scene, "vtkMRMLSliceCompositeNode")


def _slice_node(scene: slicer.vtkMRMLScene, name: str) -> SliceNode | None:
    nodes = _nodes(scene, "vtkMRMLSliceNode")
    return next((node for node in nodes if node.GetLayoutName() == name), None)


def _nodes(scene: slicer.vtkMRMLScene, kind: str) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(index, kind) for index in range(scene.GetNumberOfNodesByClass(kind))]
