"""The subject hierarchy: what it knows of a node's DICOM series, and where outputs are put.

Slicer's own DICOM import keeps the header's facts on the hierarchy item of the volume and the study's on its parent.
"""

import slicer


def attribute(node: slicer.vtkMRMLNode, name: str) -> str:
    """Return an attribute of the node's hierarchy item, empty when there is none."""
    tree, item = tree_of(node.GetScene()), _item(node)
    return tree.GetItemAttribute(item, name) if item else ""


def series_uid(node: slicer.vtkMRMLNode) -> str:
    """Return the SeriesInstanceUID that the node was loaded from, empty when it is not from DICOM."""
    tree, item = tree_of(node.GetScene()), _item(node)
    return tree.GetItemUID(item, "DICOM") if item else ""


def study_uid(node: slicer.vtkMRMLNode) -> str:
    """Return the StudyInstanceUID of the study that the node stands in, empty when there is none."""
    tree = tree_of(node.GetScene())
    study = _ancestor(node, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelStudy())
    return tree.GetItemUID(study, "DICOM") if study else ""


def patient_id(node: slicer.vtkMRMLNode) -> str:
    """Return the ID of the patient whom the node belongs to, empty when the hierarchy knows none."""
    tree = tree_of(node.GetScene())
    patient = _ancestor(node, slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMLevelPatient())
    if not patient:
        return ""
    # The application's own import keeps the ID in both places, SlicerRT's in the UID only.
    return (tree.GetItemAttribute(patient, "DICOM.PatientID") or tree.GetItemUID(patient, "DICOM") or "").strip()


def parent_item(node: slicer.vtkMRMLNode) -> int:
    """Return the hierarchy item that the node stands under (the scene's own when it is not in the hierarchy)."""
    tree, item = tree_of(node.GetScene()), _item(node)
    return tree.GetItemParent(item) if item else scene_item(node.GetScene())


def set_attribute(node: slicer.vtkMRMLNode, name: str, value: str) -> None:
    """Set an attribute of the node's hierarchy item."""
    tree_of(node.GetScene()).SetItemAttribute(_item(node), name, value)


def tree_of(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLSubjectHierarchyNode:
    """Return the scene's hierarchy, made where it has none yet."""
    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def scene_item(scene: slicer.vtkMRMLScene) -> int:
    """Return the hierarchy's top item."""
    return tree_of(scene).GetSceneItemID()


def place(node: slicer.vtkMRMLNode, parent: int) -> None:
    """Put the node under the hierarchy item ``parent``."""
    # The application makes an item for each node by itself, a scene without one doesn't; CreateItem serves both.
    tree_of(node.GetScene()).CreateItem(parent, node)


def forget(node: slicer.vtkMRMLNode) -> None:
    """Remove the node's hierarchy item, where it has one, and leave the node alone."""
    tree, item = tree_of(node.GetScene()), _item(node)
    if item:
        tree.RemoveItem(item, False, False)


def _item(node: slicer.vtkMRMLNode) -> int:
    return tree_of(node.GetScene()).GetItemByDataNode(node)


def _ancestor(node: slicer.vtkMRMLNode, level: str) -> int:
    """The item of this level that the node stands under, 0 when there is none."""
    item = _item(node)
    return tree_of(node.GetScene()).GetItemAncestorAtLevel(item, level) if item else 0
