"""The latent explorer's picture: one volume node that changes with every answer, and says that it is synthetic."""

import slicer
import slicer.util

from ..core.engine import Synthesis
from . import display
from .nodes import VolumeNode
from .outputs import Output, image_of, write
from .provenance import SAMPLES, SYNTHETIC, attributes_of, write_attributes
from .synthetic_place import axial_place

NAME = "synthetic picture (latent explorer)"


class SyntheticPicture:
    """Made when it is first shown, and again when the person deleted it or the model's pictures have another size."""

    def __init__(self) -> None:
        self._node: VolumeNode | None = None

    def show(self, result: Synthesis) -> tuple[VolumeNode, bool]:
        """Put the picture (the slices of a cube) into the scene; return its node, and whether that is a new one."""
        attributes = attributes_of(SAMPLES, result.provenance) | {SYNTHETIC: "1"}
        node = self._node
        if node is not None and node.GetScene() is slicer.mrmlScene and _fits(node, result):
            changes = node.StartModify()
            write_attributes(node, attributes)
            slicer.util.arrayFromVolume(node)[:] = result.images
            slicer.util.arrayFromVolumeModified(node)
            node.EndModify(changes)
            return node, False
        place = axial_place(slicer.mrmlScene, result.images.shape, result.spacing_mm)
        look = display.LikeInput(None, result.window)
        (self._node,) = write(slicer.mrmlScene, [Output(NAME, image_of(result.images), attributes, look)], place)
        return self._node, True

    def forget(self) -> None:
        """Let go of the node."""
        self._node = None


def _fits(node: VolumeNode, result: Synthesis) -> bool:
    spacing = result.spacing_mm
    same_size = slicer.util.arrayFromVolume(node).shape == result.images.shape
    return same_size and all(abs(each - spacing) < 1e-6 * spacing for each in node.GetSpacing())
