"""A scalar volume node of the scene as a Volume: its voxels as they are, its place in the world, what it measures."""

from collections.abc import Mapping

import numpy as np
import slicer
import slicer.util
import vtk

from ..core.errors import UserError
from ..core.modality import infer_modality
from ..core.volume import Geometry, Modality, Source, Volume
from . import hierarchy
from .dicom_files import acquisition_of
from .provenance import KIND, MAP_KINDS

_MODALITY_OF_DICOM = {
    "CT": Modality.CT,
    "MR": Modality.MR,
    "CR": Modality.XRAY,
    "DX": Modality.XRAY,
    "RTDOSE": Modality.DOSE,
}


def volume_from_node(node: slicer.vtkMRMLScalarVolumeNode | None) -> Volume:
    """Read a scalar volume node as a Volume in world RAS.

    The array is a read-only view on the node's own voxels, shape (K, J, I): nothing is copied, and the memory stays
    valid when the node is deleted. The geometry is IJK to RAS followed by the parent transforms to world.

    Raises UserError, naming the node, when it is no grey-scale image, holds none, lies under a non-linear transform,
    or is of a kind that no model takes.
    """
    node = checked_image(node)
    array = slicer.util.arrayFromVolume(node)
    array.flags.writeable = False
    modality, inferred = _modality(node, array)
    return Volume(array, world_geometry(node), modality, inferred, source=_source(node))


def volumes_from_nodes(nodes: Mapping[str, slicer.vtkMRMLScalarVolumeNode] | None) -> dict[str, Volume]:
    """Read further images of a patient, by the names that a model gives them. Raises UserError as
    ``volume_from_node``."""
    return {name: volume_from_node(node) for name, node in (nodes or {}).items()}


def checked_image(node: slicer.vtkMRMLScalarVolumeNode | None) -> slicer.vtkMRMLScalarVolumeNode:
    """Return ``node`` when it is a grey-scale image that can be an input; raise UserError otherwise."""
    if node is None:
        raise UserError("No input volume is chosen; choose a CT or MR volume.")
    name, kind = node.GetName(), node.GetClassName()
    if node.GetScene() is None:
        raise UserError(f"Volume '{name}' is no longer in the scene; choose another.")
    if kind == "vtkMRMLLabelMapVolumeNode":
        raise UserError(f"'{name}' is a label map, not an image; choose the volume that it was drawn on.")
    image = node.GetImageData() if node.IsA("vtkMRMLVolumeNode") else None
    if kind != "vtkMRMLScalarVolumeNode":
        parts = image.GetNumberOfScalarComponents() if image else 0
        what = f"a colour image with {parts} values per voxel" if parts > 1 else "not a scalar volume"
        raise UserError(f"'{name}' is {what}; choose a grey-scale volume.")
    if image is None or image.GetPointData().GetScalars() is None or 0 in image.GetDimensions():
        raise UserError(f"Volume '{name}' holds no image; load it again or choose another.")
    if image.GetNumberOfScalarComponents() != 1:
        parts = image.GetNumberOfScalarComponents()
        raise UserError(f"'{name}' is a colour image with {parts} values per voxel; choose a grey-scale volume.")
    if node.GetAttribute(KIND) in MAP_KINDS:
        raise UserError(f"'{name}' is a map that SlicerVAE made, not an image; choose the volume that it was made of.")
    return node


def own_geometry(node: slicer.vtkMRMLVolumeNode) -> Geometry:
    """Return the node's own grid, as in the file that it came from: parent transforms move it in the scene only."""
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    shape = tuple(reversed(node.GetImageData().GetDimensions()))
    return Geometry(shape, slicer.util.arrayFromVTKMatrix(matrix))


def world_geometry(node: slicer.vtkMRMLVolumeNode) -> Geometry:
    """Return the grid of a volume node in world RAS, parent transforms included.

    Raises UserError when a parent transform is not linear or the axes of the node do not span a volume.
    """
    name, to_ras, to_world = node.GetName(), vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_ras)
    transform = node.GetParentTransformNode()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise UserError(
                f"Volume '{name}' lies under the non-linear transform '{transform.GetName()}'; harden the transform "
                "on a copy of the volume, or move the volume out of it."
            )
        transform.GetMatrixTransformToWorld(to_world)
    matrix = slicer.util.arrayFromVTKMatrix(to_world) @ slicer.util.arrayFromVTKMatrix(to_ras)
    shape = tuple(reversed(node.GetImageData().GetDimensions()))
    try:
        return Geometry(shape, matrix)
    except UserError as error:
        raise UserError(f"Volume '{name}' has unusable directions or spacing; load it again or mend it.") from error


def _modality(node: slicer.vtkMRMLScalarVolumeNode, array: np.ndarray) -> tuple[Modality, bool]:
    # SlicerRT marks its dose volumes on the node; the subject hierarchy holds what the DICOM header said.
    if node.GetAttribute("DicomRtImport.DoseVolume") == "1":
        return Modality.DOSE, False
    declared = hierarchy.attribute(node, "DICOM.Modality").strip().upper()
    if not declared:
        return infer_modality(array), True
    if declared not in _MODALITY_OF_DICOM:
        raise UserError(
            f"Volume '{node.GetName()}' is a DICOM series of modality {declared}, which no model takes; choose a CT, "
            "MR or X-ray image."
        )
    return _MODALITY_OF_DICOM[declared], False


def _source(node: slicer.vtkMRMLScalarVolumeNode) -> Source:
    return Source(
        name=node.GetName(),
        study_uid=hierarchy.study_uid(node),
        series_uid=hierarchy.series_uid(node),
        frame_of_reference_uid=hierarchy.attribute(node, "DICOM.FrameOfReferenceUID"),
        description=hierarchy.attribute(node, "DICOM.SeriesDescription"),
        acquisition=acquisition_of(node),
    )
