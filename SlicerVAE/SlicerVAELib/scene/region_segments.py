"""The regions of an anomaly map as a segmentation."""

import contextlib

import slicer

from ..core.errors import UserError
from ..core.map_regions import MapRegions
from . import hierarchy
from .additions import Additions
from .anomaly_overlay import AnomalyMap
from .mask_segments import labelmap_of
from .nodes import SegmentationNode
from .provenance import read_attributes, write_attributes
from .segmentations import LABELMAP
from .volumes import own_geometry

MOST_SEGMENTS = 50


def add_segmentation(anomaly: AnomalyMap, found: MapRegions, level: float) -> SegmentationNode:
    """Add a segmentation with a segment for each region, the highest first, and return it.

    Raises UserError where there are none, or too many to be looked at one by one.
    """
    if not found.regions:
        raise UserError("There is no region above the alarm level to be segmented; lower the level.")
    if len(found.regions) > MOST_SEGMENTS:
        raise UserError(f"There are {len(found.regions)} regions; raise the alarm level or the smallest region.")
    scene, geometry = anomaly.node.GetScene(), own_geometry(anomaly.node)  # under the parent transform, as the map
    with contextlib.ExitStack() as undo:
        node = Additions(scene, undo).node("vtkMRMLSegmentationNode", f"{anomaly.node.GetName()} above {level:g}")
        node.SetReferenceImageGeometryParameterFromVolumeNode(anomaly.node)
        node.SetAndObserveTransformNodeID(anomaly.node.GetTransformNodeID())
        for region in found.regions:
            segment = slicer.vtkSegment()
            segment.SetName(f"region {region.label}: peak {region.peak:.1f} {anomaly.unit}".strip())
            segment.SetColor(1.0, 0.6 if region.peak > 0 else 0.2, 0.1 if region.peak > 0 else 1.0)
            segment.AddRepresentation(LABELMAP, labelmap_of(found.labels == region.label, geometry))
            node.GetSegmentation().AddSegment(segment)
        node.CreateDefaultDisplayNodes()
        write_attributes(node, read_attributes(anomaly.node) | {"SlicerVAE.AlarmLevel": f"{level:g}"})
        hierarchy.place(node, hierarchy.parent_item(anomaly.node))
        undo.pop_all()
    return node
