"""The regions of an anomaly map as a segmentation."""

import contextlib

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from ..core.errors import UserError
from ..core.map_regions import MapRegions
from . import hierarchy
from .additions import Additions
from .anomaly_overlay import AnomalyMap
from .nodes import SegmentationNode
from .provenance import read_attributes, write_attributes

MOST_SEGMENTS = 50


def add_segmentation(anomaly: AnomalyMap, found: MapRegions, level: float) -> SegmentationNode:
    """Add a segmentation with a segment for each region, the highest first, and return it.

    Raises UserError where there are none, or too many to be looked at one by one.
    """
    if not found.regions:
        raise UserError("There is no region above the alarm level to be segmented; lower the level.")
    if len(found.regions) > MOST_SEGMENTS:
        raise UserError(f"There are {len(found.regions)} regions; raise the alarm level or the smallest region.")
    scene = anomaly.node.GetScene()
    with contextlib.ExitStack() as undo:
        node = Additions(scene, undo).node("vtkMRMLSegmentationNode", f"{anomaly.node.GetName()} above {level:g}")
        node.SetReferenceImageGeometryParameterFromVolumeNode(anomaly.node)
        node.SetAndObserveTransformNodeID(anomaly.node.GetTransformNodeID())
        for region in found.regions:
            segment = slicer.vtkSegment()
            segment.SetName(f"region {region.label}: peak {region.peak:.1f} {anomaly.unit}".strip())
            segment.SetColor(1.0, 0.6 if region.peak > 0 else 0.2, 0.1 if region.peak > 0 else 1.0)
            segment.AddRepresentation("Binary labelmap", _labelmap(anomaly, found.labels == region.label))
            node.GetSegmentation().AddSegment(segment)
        node.CreateDefaultDisplayNodes()
        write_attributes(node, read_attributes(anomaly.node) | {"SlicerVAE.AlarmLevel": f"{level:g}"})
        hierarchy.place(node, hierarchy.parent_item(anomaly.node))
        undo.pop_all()
    return node


def _labelmap(anomaly: AnomalyMap, mask: np.ndarray) -> slicer.vtkOrientedImageData:
    """The smallest box about a mask (K, J, I), on the map's own grid."""
    k, j, i = (np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1)))
    image = slicer.vtkOrientedImageData()
    image.SetExtent(int(i[0]), int(i[-1]), int(j[0]), int(j[-1]), int(k[0]), int(k[-1]))
    image.AllocateScalars(numpy_support.get_vtk_array_type(np.uint8), 1)
    box = mask[k[0] : k[-1] + 1, j[0] : j[-1] + 1, i[0] : i[-1] + 1]
    numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(box.shape)[:] = box
    matrix = vtk.vtkMatrix4x4()
    anomaly.node.GetIJKToRASMatrix(matrix)
    image.SetImageToWorldMatrix(matrix)  # under the parent transform, as the map itself
    return image
