"""Being told when nodes change: what they hold, where they lie, what they are called; and which a scene has."""

from collections.abc import Callable, Iterable

import slicer
import vtk

_EVENTS = (
    vtk.vtkCommand.ModifiedEvent,
    slicer.vtkMRMLVolumeNode.ImageDataModifiedEvent,
    slicer.vtkMRMLTransformableNode.TransformModifiedEvent,
    slicer.vtkSegmentation.SegmentAdded,
    slicer.vtkSegmentation.SegmentRemoved,
    slicer.vtkSegmentation.SegmentModified,
    slicer.vtkMRMLScene.NodeAddedEvent,
    slicer.vtkMRMLScene.NodeRemovedEvent,
)


class NodeWatch:
    """Calls ``changed`` after each change of the nodes that it follows; it holds none that is gone from the scene.
    A scene may be among them: it changes when nodes come and go."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._nodes: tuple[vtk.vtkObject, ...] = ()
        self._observers: list[tuple[vtk.vtkObject, int]] = []

    def follow(self, nodes: Iterable[vtk.vtkObject | None]) -> None:
        """Follow these nodes and no others; None is left out."""
        wanted = tuple(node for node in nodes if node is not None)
        if wanted == self._nodes:
            return
        for sender, tag in self._observers:
            sender.RemoveObserver(tag)
        self._nodes = wanted
        self._observers = [(node, node.AddObserver(event, self._tell)) for node in wanted for event in _EVENTS]

    def _tell(self, *_: object) -> None:
        self._changed()
