"""A similar patient beside the query: the two in linked views, with the contours of the one that is shown."""

import slicer
import slicer.util

from .nodes import SegmentationNode, VolumeNode
from .provenance import KIND
from .slice_views import right_view, show_side_by_side

SIMILAR_PATIENT = "similar patient"


def show_beside(query: VolumeNode, other: VolumeNode, structures: SegmentationNode | None) -> None:
    """Show the query on the left and the other patient on the right, whose contours appear on the right alone; those of
    patients who were shown before are hidden."""
    scene = query.GetScene()
    show_side_by_side(scene, query, other)
    right = right_view(scene)
    for node in slicer.util.getNodesByClass("vtkMRMLSegmentationNode", scene):
        display = node.GetDisplayNode()
        if display is None or node.GetAttribute(KIND) != SIMILAR_PATIENT:
            continue
        display.SetVisibility(node is structures)
        display.RemoveAllViewNodeIDs()
        if right is not None:
            display.AddViewNodeID(right.GetID())
