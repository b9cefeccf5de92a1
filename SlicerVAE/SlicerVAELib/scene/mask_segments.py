"""Masks as the segments of a new segmentation node."""

from collections.abc import Mapping

import numpy as np
import slicer
import slicer.util
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from ..core.squared_distance import bounding_box
from ..core.volume import Geometry
from .additions import Additions
from .nodes import SegmentationNode
from .segmentations import LABELMAP
from .structure_colors import color_of


def add_segmentation(
    additions: Additions, masks: Mapping[str, np.ndarray], geometry: Geometry, name: str
) -> SegmentationNode:
    """Add a node whose segments are these masks (K, J, I, none of them empty), each a binary labelmap of its own, since
    structures overlap; shown as outlines."""
    node = additions.node("vtkMRMLSegmentationNode", name)
    segmentation = node.GetSegmentation()
    segmentation.SetSourceRepresentationName(LABELMAP)
    for called, mask in masks.items():
        segment = slicer.vtkSegment()
        segment.SetName(called)
        segment.SetColor(*color_of(called))
        segment.AddRepresentation(LABELMAP, labelmap_of(mask, geometry))
        segmentation.AddSegment(segment)
    shown = additions.node("vtkMRMLSegmentationDisplayNode")
    node.SetAndObserveDisplayNodeID(shown.GetID())
    shown.SetAllSegmentsVisibility3D(False)
    shown.SetAllSegmentsVisibility2DFill(False)
    return node


def labelmap_of(mask: np.ndarray, geometry: Geometry) -> slicer.vtkOrientedImageData:
    """The part of a mask (K, J, I) on the grid of ``geometry`` that is not empty."""
    box = bounding_box(mask)
    cropped = mask[box]
    matrix = geometry.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ [side.start for side in reversed(box)]
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(*cropped.shape[::-1])
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(image.GetPointData().GetScalars()).reshape(cropped.shape)[:] = cropped
    image.SetGeometryFromImageToWorldMatrix(slicer.util.vtkMatrixFromArray(matrix))
    return image
