"""The segments of a segmentation node as masks on a volume's grid, whatever they are kept as.

Planar contours, as RT structure sets bring them, go through the project's own rasteriser, so that Slicer and the
trainer see the same masks. Labelmaps are resampled by nearest voxel, fractional ones linearly and cut at half, closed
surfaces converted on the volume's own grid. All of it works on copies: the node stays as it is.
"""

import itertools

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util import numpy_support

from ..core.contours import fill
from ..core.errors import UserError, continued
from ..core.volume import Volume
from ..io.names import unused

CONTOURS, LABELMAP = "Planar contour", "Binary labelmap"
FRACTIONAL, SURFACE = "Fractional labelmap", "Closed surface"
FALLBACKS = (CONTOURS, LABELMAP, FRACTIONAL, SURFACE)
GEOMETRY_PARAMETER = "Reference image geometry"


def masks_from_node(node: slicer.vtkMRMLSegmentationNode | None, volume: Volume) -> dict[str, np.ndarray]:
    """Boolean masks (K, J, I) on the grid of ``volume``, whose geometry is in world RAS, by segment name.

    Segments that lie nowhere in the volume are left out; of those with the same name the later ones get a number.
    Raises UserError, naming the node, when there is nothing to read, or it lies under a non-linear transform.
    """
    node = _checked(node)
    to_world = _to_world(node)
    segmentation = node.GetSegmentation()
    kind = _kind(node)
    names = segment_names(node)
    masks: dict[str, np.ndarray] = {}
    copied = _as_labelmap(segmentation, volume, to_world) if kind == SURFACE else segmentation
    for number in range(segmentation.GetNumberOfSegments()):
        segment = copied.GetNthSegment(number)
        try:
            mask = _mask(segment, LABELMAP if kind == SURFACE else kind, volume, to_world)
        except UserError as error:
            name = f"'{segment.GetName()}' of '{node.GetName()}'"
            raise UserError(f"The segment {name} can't be laid on the volume: {continued(error)}") from error
        if mask.any():
            masks[names[number]] = mask
    if not masks:
        raise UserError(f"No segment of '{node.GetName()}' lies within the volume; choose those drawn on it.")
    return masks


def segment_names(node: slicer.vtkMRMLSegmentationNode) -> tuple[str, ...]:
    """Return the name of each segment; of those with the same name the later ones get a number."""
    segmentation = node.GetSegmentation()
    names: list[str] = []
    for number in range(segmentation.GetNumberOfSegments()):
        name = segmentation.GetNthSegment(number).GetName()
        names.append(unused(name or f"segment {number + 1}", names))
    return tuple(names)


def _checked(node: slicer.vtkMRMLSegmentationNode | None) -> slicer.vtkMRMLSegmentationNode:
    if node is None:
        raise UserError("No segmentation is chosen; choose one, or the structure set of the volume.")
    if node.GetScene() is None:
        raise UserError(f"Segmentation '{node.GetName()}' is no longer in the scene; choose another.")
    if node.GetSegmentation() is None or node.GetSegmentation().GetNumberOfSegments() == 0:
        raise UserError(f"Segmentation '{node.GetName()}' holds no segments; draw some or choose another.")
    return node


def _to_world(node: slicer.vtkMRMLSegmentationNode) -> np.ndarray:
    transform, matrix = node.GetParentTransformNode(), vtk.vtkMatrix4x4()
    if transform is not None:
        if not transform.IsTransformToWorldLinear():
            raise UserError(
                f"Segmentation '{node.GetName()}' lies under the non-linear transform '{transform.GetName()}'; harden "
                "the transform on a copy of it, or move it out."
            )
        transform.GetMatrixTransformToWorld(matrix)
    return slicer.util.arrayFromVTKMatrix(matrix)


def _kind(node: slicer.vtkMRMLSegmentationNode) -> str:
    """What its segments are read from: their source, or the most exact of what else they hold."""
    segmentation = node.GetSegmentation()
    source = segmentation.GetSourceRepresentationName()
    for kind in (source, *FALLBACKS):
        if kind in FALLBACKS and segmentation.ContainsRepresentation(kind):
            return kind
    raise UserError(
        f"Segmentation '{node.GetName()}' is kept as '{source}', which can't be read; convert it to a binary labelmap."
    )


def _mask(segment: slicer.vtkSegment, kind: str, volume: Volume, to_world: np.ndarray) -> np.ndarray:
    data = segment.GetRepresentation(kind)
    if data is None:
        return np.zeros(volume.array.shape, dtype=bool)
    if kind == CONTOURS:
        return fill(_contours(data, to_world), volume.geometry)
    if kind == FRACTIONAL:
        low, high = _fractions(data)
        return _resampled(data, volume, to_world, linear=True, outside=low) >= (low + high) / 2
    return _resampled(data, volume, to_world, linear=False, outside=0) == segment.GetLabelValue()


def _contours(lines: vtk.vtkPolyData, to_world: np.ndarray) -> list[np.ndarray]:
    """The closed lines (P, 3) in world RAS."""
    if lines.GetNumberOfPoints() == 0 or lines.GetNumberOfLines() == 0:
        return []
    points = numpy_support.vtk_to_numpy(lines.GetPoints().GetData()).astype(np.float64)
    points = points @ to_world[:3, :3].T + to_world[:3, 3]
    cells = lines.GetLines()
    offsets = numpy_support.vtk_to_numpy(cells.GetOffsetsArray())
    order = numpy_support.vtk_to_numpy(cells.GetConnectivityArray())
    return [points[order[begin:end]] for begin, end in itertools.pairwise(offsets)]


def _resampled(
    image: vtk.vtkImageData, volume: Volume, to_world: np.ndarray, *, linear: bool, outside: float
) -> np.ndarray:
    """Values of an oriented image at the volume's voxel centres, and what counts outside of it."""
    reference = _grid_of(volume, np.eye(4))
    transform = vtk.vtkTransform()
    transform.SetMatrix(slicer.util.vtkMatrixFromArray(to_world))
    result = slicer.vtkOrientedImageData()
    resample = slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage
    if not resample(image, reference, result, linear, False, transform, outside):
        raise UserError("Slicer could not resample it; convert it to a binary labelmap.")
    return numpy_support.vtk_to_numpy(result.GetPointData().GetScalars()).reshape(volume.array.shape)


def _grid_of(volume: Volume, to_local: np.ndarray) -> slicer.vtkOrientedImageData:
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*volume.array.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    image.GetPointData().GetScalars().Fill(0)
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(to_local @ volume.geometry.ijk_to_ras))
    return image


def _fractions(image: vtk.vtkImageData) -> tuple[float, float]:
    """The values that stand for 0 and 1 in a fractional labelmap."""
    stored = image.GetFieldData().GetAbstractArray("ScalarRange")
    return (stored.GetValue(0), stored.GetValue(1)) if stored is not None else (0.0, 1.0)


def _as_labelmap(segmentation: slicer.vtkSegmentation, volume: Volume, to_world: np.ndarray) -> slicer.vtkSegmentation:
    """A copy with binary labelmaps on the volume's grid."""
    copied = slicer.vtkSegmentation()
    copied.DeepCopy(segmentation)
    grid = _grid_of(volume, np.linalg.inv(to_world))
    words = slicer.vtkSegmentationConverter.SerializeImageGeometry(grid)
    copied.SetConversionParameter(GEOMETRY_PARAMETER, words)
    if not copied.CreateRepresentation(LABELMAP, True):
        raise UserError("Slicer could not convert the surfaces; convert the segmentation to a binary labelmap.")
    return copied
