"""Output volumes into the scene: all of them or none.

Everything that takes memory or can fail is made before the scene is touched. What then is done to it is undone when a
step fails, so that no half result stays and a chosen node keeps what it held.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import get_vtk_array_type, vtk_to_numpy

from . import hierarchy
from .additions import Additions, all_or_none
from .display import Look
from .nodes import VolumeNode
from .provenance import ANOMALY_UNIT, KIND, read_attributes, write_attributes


@dataclasses.dataclass(frozen=True)
class Place:
    """Where outputs lie: their voxels in RAS, their parent transform (empty for none), their hierarchy parent."""

    ijk_to_ras: np.ndarray
    transform_id: str
    hierarchy_parent: int

    @classmethod
    def beside(cls, node: slicer.vtkMRMLVolumeNode) -> "Place":
        """Return the place of ``node`` itself."""
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        return cls(_to_array(matrix), node.GetTransformNodeID() or "", hierarchy.parent_item(node))

    @classmethod
    def alone(cls, scene: slicer.vtkMRMLScene, ijk_to_ras: np.ndarray) -> "Place":
        """Return a place at the top of the scene."""
        return cls(ijk_to_ras, "", hierarchy.scene_item(scene))


@dataclasses.dataclass(frozen=True)
class Output:
    """One volume to be written: into ``node`` where one was chosen, else into a new node called ``name``.

    ``look`` dresses the display node, unless the chosen node holds an output of the same kind and unit already: then
    the person may have set its window, and it stays.
    """

    name: str
    image: vtk.vtkImageData
    attributes: dict[str, str]
    look: Look
    node: VolumeNode | None = None
    node_class: str = "vtkMRMLScalarVolumeNode"
    display_class: str = "vtkMRMLScalarVolumeDisplayNode"


def image_of(array: np.ndarray) -> vtk.vtkImageData:
    """Return a copy of ``array`` (K, J, I) as image data of the same type."""
    image = vtk.vtkImageData()
    image.SetDimensions(array.shape[::-1])
    image.AllocateScalars(get_vtk_array_type(array.dtype), 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(array.shape)[:] = array
    return image


def write(scene: slicer.vtkMRMLScene, outputs: Sequence[Output], place: Place) -> list[VolumeNode]:
    """Write the outputs at ``place`` and return their nodes, in order."""
    with all_or_none(scene) as additions:
        return [write_one(additions, output, place) for output in outputs]


def write_one(additions: Additions, output: Output, place: Place) -> VolumeNode:
    """Write one output at ``place``, as a part of what is added in all or not at all, and return its node."""
    node = output.node
    if node is None:
        node = additions.node(output.node_class, output.name)
    else:
        additions.undo_with(_Content.of(node).restore, node)
    is_redone = all(node.GetAttribute(name) == output.attributes.get(name) for name in (KIND, ANOMALY_UNIT))
    node.SetIJKToRASMatrix(_to_matrix(place.ijk_to_ras))
    node.SetAndObserveTransformNodeID(place.transform_id or None)
    node.SetAndObserveImageData(output.image)
    write_attributes(node, output.attributes)
    if node.GetDisplayNode() is None:
        node.SetAndObserveDisplayNodeID(additions.node(output.display_class).GetID())
        is_redone = False
    if not is_redone:
        output.look(node.GetDisplayNode(), additions.add)
    hierarchy.place(node, place.hierarchy_parent)
    return node


@dataclasses.dataclass(frozen=True)
class _Content:
    """What a chosen node held. The old image is kept by reference: the new one replaces it and never writes into it."""

    place: Place
    image: vtk.vtkImageData
    attributes: dict[str, str]
    display: slicer.vtkMRMLDisplayNode | None
    display_settings: slicer.vtkMRMLDisplayNode | None

    @classmethod
    def of(cls, node: VolumeNode) -> "_Content":
        display = node.GetDisplayNode()
        settings = None
        if display is not None:
            settings = display.NewInstance()
            settings.Copy(display)
        return cls(Place.beside(node), node.GetImageData(), read_attributes(node), display, settings)

    def restore(self, node: VolumeNode) -> None:
        node.SetIJKToRASMatrix(_to_matrix(self.place.ijk_to_ras))
        node.SetAndObserveTransformNodeID(self.place.transform_id or None)
        node.SetAndObserveImageData(self.image)
        write_attributes(node, self.attributes)
        node.SetAndObserveDisplayNodeID(self.display.GetID() if self.display else None)
        if self.display is not None:
            self.display.Copy(self.display_settings)
        hierarchy.place(node, self.place.hierarchy_parent)


def _to_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def _to_matrix(array: np.ndarray) -> vtk.vtkMatrix4x4:
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy([float(value) for value in array.ravel()])
    return matrix
