"""The subject hierarchy: what it knows of a node's DICOM series, and where outputs are put.

Slicer's own DICOM import keeps the header's facts on the hierarchy item of the volume and the study's on its parent.
"""

import slicer


def attribute(node: slicer.vtkMRMLNode, name: str) -> str:
    """Return an attribute of the node's hierarchy item, empty when there is none."""
    tree, item = _tree(node), _item(node)
    return tree.GetItemAttribute(item, name) if item else ""


def series_uid(node: slicer.vtkMRMLNode) -> str:
    """Return the SeriesInstanceUID that the node was loaded from, empty when it is not from DICOM."""
    tree, item = _tree(node), _item(node)
    return tree.GetItemUID(item, "DICOM") if item else ""


def study_uid(node: slicer.vtkMRMLNode) -> str:
    """Return the StudyInstanceUID of the study that the node stands in, empty when there is none."""
    tree, item = _tree(node), _item(node)
    study = (
        tree.GetItemAncestorAtLevel(item, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy()) if item else 0
    )
    return tree.GetItemUID(study, "DICOM") if study else ""


def parent_item(node: slicer.vtkMRMLNode) -> int:
    """Return the hierarchy item that the node stands under (the scene's own when it is not in the hierarchy)."""
    tree, item = _tree(node), _item(node)
    return tree.GetItemParent(item) if item else scene_item(node.GetScene())


def scene_item(scene: slicer.vtkMRMLScene) -> int:
    """Return the hierarchy's top item."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene).GetSceneItemID()


def place(node: slicer.vtkMRMLNode, parent: int) -> None:
    """Put the node under the hierarchy item ``parent``."""
    # The application makes an item for each node by itself, a scene without one doesn't; CreateItem serves both.
    _tree(node).CreateItem(parent, node)


def forget(node: slicer.vtkMRMLNode) -> None:
    """Remove the node's hierarchy item, where it has one, and leave the node alone."""
    tree, item = _tree(node), _item(node)
    if item:
        tree.RemoveItem(item, False, False)


def _tree(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLSubjectHierarchyNode:
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())


def _item(node: slicer.vtkMRMLNode) -> int:
    return _tree(node).GetItemByDataNode(node)
