"""What an output node says of its making, as node attributes that travel with the scene file."""

import json

import slicer

from ..core.engine import Provenance
from ..core.volume import Source

PREFIX = "SlicerVAE."
KIND = PREFIX + "Kind"
SYNTHETIC = PREFIX + "Synthetic"
ANOMALY_UNIT = PREFIX + "AnomalyUnit"

RECONSTRUCTION, RESIDUAL, ANOMALY = "reconstruction", "residual", "anomaly"
FIELD_OF_VIEW, SAMPLES = "field of view", "synthetic slices"
MAP_KINDS = (RESIDUAL, ANOMALY, FIELD_OF_VIEW)


def attributes_of(kind: str, provenance: Provenance) -> dict[str, str]:
    """Return the attributes that every output carries."""
    return {
        KIND: kind,
        PREFIX + "Bundle": provenance.bundle_name,
        PREFIX + "BundleVersion": provenance.bundle_version,
        PREFIX + "BundleSHA256": provenance.bundle_sha256,
        PREFIX + "Software": provenance.software,
        PREFIX + "Modality": provenance.modality,
        PREFIX + "Device": provenance.device,
        PREFIX + "Parameters": json.dumps(provenance.parameters, sort_keys=True, ensure_ascii=False),
        PREFIX + "Warnings": json.dumps(provenance.warnings, ensure_ascii=False),
    }


def attributes_of_source(node_id: str, source: Source) -> dict[str, str]:
    """Return the attributes that name what an output was made of."""
    return {
        PREFIX + "SourceNodeID": node_id,
        PREFIX + "SourceName": source.name,
        PREFIX + "SourceSeriesUID": source.series_uid,
    }


def read_attributes(node: slicer.vtkMRMLNode) -> dict[str, str]:
    """Return the node's provenance, empty for a node that SlicerVAE did not make."""
    names = [name for name in node.GetAttributeNames() if name.startswith(PREFIX)]
    return {name: node.GetAttribute(name) for name in names}


def write_attributes(node: slicer.vtkMRMLNode, attributes: dict[str, str]) -> None:
    """Replace the node's provenance by ``attributes``; what an older run left there goes."""
    for name in read_attributes(node):
        node.RemoveAttribute(name)
    for name, value in attributes.items():
        node.SetAttribute(name, value)
