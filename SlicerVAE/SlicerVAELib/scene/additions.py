"""New nodes and folders in a scene: all of them or none."""

import contextlib
from collections.abc import Callable, Iterator

import slicer

from . import hierarchy


class Additions:
    """Adds to a scene and notes on ``undo`` how each addition, or what else is changed, is taken back."""

    def __init__(self, scene: slicer.vtkMRMLScene, undo: contextlib.ExitStack) -> None:
        self.scene, self._undo = scene, undo

    def node(self, class_name: str, name: str = "") -> slicer.vtkMRMLNode:
        """Add a node of this class, called ``name`` or, where that is taken, with a number behind it."""
        node = self.scene.CreateNodeByClass(class_name)
        node.UnRegister(None)  # CreateNodeByClass hands over a reference that Python does not take
        if name:
            node.SetName(self.scene.GenerateUniqueName(name))
        return self.add(node)

    def add(self, node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
        """Add a node that was made elsewhere."""
        added = self.scene.AddNode(node)
        self._undo.callback(self.scene.RemoveNode, added)
        self._undo.callback(hierarchy.forget, added)
        return added

    def folder(self, parent: int, name: str) -> int:
        """The hierarchy's folder of this name directly under ``parent``, added where it isn't there yet."""
        tree = hierarchy.tree_of(self.scene)
        item = tree.GetItemChildWithName(parent, name)
        if not item:
            item = tree.CreateFolderItem(parent, name)
            self._undo.callback(tree.RemoveItem, item, False, False)
        return item

    def undo_with(self, function: Callable[..., object], *arguments: object) -> None:
        """Call this when the block fails."""
        self._undo.callback(function, *arguments)


@contextlib.contextmanager
def all_or_none(scene: slicer.vtkMRMLScene) -> Iterator[Additions]:
    """What is added in the block goes again when the block fails."""
    with contextlib.ExitStack() as undo:
        yield Additions(scene, undo)
        undo.pop_all()
