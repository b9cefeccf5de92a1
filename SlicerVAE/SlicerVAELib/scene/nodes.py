"""The nodes that a job reads and writes, and whether they still are what they were when it was prepared."""

import dataclasses
from collections.abc import Iterable
from typing import TypeAlias

import slicer
import vtk

from ..core.errors import UserError
from ..core.volume import Volume
from .volumes import world_geometry

VolumeNode: TypeAlias = slicer.vtkMRMLScalarVolumeNode
LabelMapNode: TypeAlias = slicer.vtkMRMLLabelMapVolumeNode
SegmentationNode: TypeAlias = slicer.vtkMRMLSegmentationNode


@dataclasses.dataclass(frozen=True, eq=False)
class InputNode:
    """An input volume node and what it held when it was read as ``volume``."""

    node: VolumeNode
    scene: slicer.vtkMRMLScene
    volume: Volume
    voxels: vtk.vtkDataArray
    voxels_time: int

    @classmethod
    def of(cls, node: VolumeNode, volume: Volume) -> "InputNode":
        """Return the state of ``node``, just read as ``volume``."""
        voxels = node.GetImageData().GetPointData().GetScalars()
        return cls(node, node.GetScene(), volume, voxels, voxels.GetMTime())

    def check(self) -> None:
        """Raise UserError when the node is gone or no longer what it was."""
        name = self.volume.source.name
        if self.node.GetScene() is not self.scene:
            raise UserError(f"Volume '{name}' was removed while the model computed; nothing was written.")
        image = self.node.GetImageData()
        voxels = image.GetPointData().GetScalars() if image else None
        if voxels is None or voxels is not self.voxels or voxels.GetMTime() != self.voxels_time:
            raise UserError(f"Volume '{name}' was edited while the model computed; nothing was written, apply again.")
        if not world_geometry(self.node).matches(self.volume.geometry):
            raise UserError(f"Volume '{name}' was moved while the model computed; nothing was written, apply again.")


def check_outputs(nodes: Iterable[VolumeNode | None], input_node: VolumeNode) -> None:
    """Raise UserError when a chosen output can't be one: gone, the input itself, no scalar volume, chosen twice."""
    taken: list[VolumeNode] = []
    for node in nodes:
        if node is None:
            continue
        name = node.GetName()
        if node.GetScene() is not input_node.GetScene():
            raise UserError(f"The output volume '{name}' is no longer in the scene; choose another or a new one.")
        if node is input_node:
            raise UserError(f"'{name}' is the input and can't be the output too; choose another or a new one.")
        if node.GetClassName() != "vtkMRMLScalarVolumeNode":
            raise UserError(f"'{name}' is not a scalar volume and can't be the output; choose another or a new one.")
        if node in taken:
            raise UserError(f"'{name}' is chosen for two outputs; choose another or a new one for one of them.")
        taken.append(node)
