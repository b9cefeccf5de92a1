"""The volumes of a batch: found in a folder or in the scene, read one after the other."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import slicer

from ..core.errors import UserError
from ..core.progress import Listener
from ..core.volume import Volume
from ..io.names import file_name, unused
from ..scene.dose_display import DOSE_VOLUME
from ..scene.provenance import KIND
from ..scene.volumes import checked_image, volume_from_node
from .translation import tr as _


@dataclasses.dataclass(frozen=True, eq=False)
class BatchInput:
    """One volume that is yet to be read; ``name`` is that of its results' folder, ``source`` tells where it lies."""

    name: str
    source: str
    read: Callable[[], Volume]


def of_folder(folder: Path, progress: Listener) -> tuple[BatchInput, ...]:
    """Find the volumes of a folder, at any depth. Raises UserError where there are none."""
    from ..io.discover import discover  # SimpleITK and pydicom, which take a second to import

    inputs: dict[str, BatchInput] = {}
    for found in discover(folder, progress=progress):
        words = (found.patient, found.path.name if not found.series else found.description, found.part)
        name = unused(file_name(" ".join(word for word in words if word)), inputs)
        inputs[name] = BatchInput(name, str(found.path), found.read)
    return tuple(inputs.values())


def of_scene(scene: slicer.vtkMRMLScene) -> tuple[BatchInput, ...]:
    """List the images of a scene, without doses and what SlicerVAE made. Raises UserError where there are none."""
    inputs: dict[str, BatchInput] = {}
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLScalarVolumeNode")
        is_image = node.GetClassName() == "vtkMRMLScalarVolumeNode" and node.GetAttribute(DOSE_VOLUME) != "1"
        if not is_image or node.GetAttribute(KIND):
            continue
        name = unused(file_name(node.GetName()), inputs)
        inputs[name] = BatchInput(name, f"scene: {node.GetName()}", _Reader(node))
    if not inputs:
        raise UserError(_("The scene holds no volume; load some, or choose a folder."))
    return tuple(inputs.values())


@dataclasses.dataclass(frozen=True, eq=False)
class _Reader:
    node: slicer.vtkMRMLScalarVolumeNode

    def __call__(self) -> Volume:
        return volume_from_node(checked_image(self.node))
