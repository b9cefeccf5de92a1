"""What an output node says of its making, as node attributes that travel with the scene file."""

import json
from typing import TYPE_CHECKING

import slicer

from ..core.errors import UserError
from ..core.volume import Source

if TYPE_CHECKING:
    from ..core.engine import Provenance

PREFIX = "SlicerVAE."
KIND = PREFIX + "Kind"
SYNTHETIC = PREFIX + "Synthetic"
ANOMALY_UNIT = PREFIX + "AnomalyUnit"
PATIENT_P_VALUE = PREFIX + "PatientPValue"
SOURCE_NODE, SOURCE_SERIES = PREFIX + "SourceNodeID", PREFIX + "SourceSeriesUID"
FIELD_OF_VIEW_ROLE = PREFIX + "fieldOfView"

RECONSTRUCTION, RESIDUAL, ANOMALY = "reconstruction", "residual", "anomaly"
FIELD_OF_VIEW, SAMPLES = "field of view", "synthetic slices"
MAP_KINDS = (RESIDUAL, ANOMALY, FIELD_OF_VIEW)


def attributes_of(kind: str, provenance: "Provenance") -> dict[str, str]:
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


def provenance_of(node: slicer.vtkMRMLNode) -> "Provenance":
    """The provenance that ``attributes_of`` wrote on a node. Raises UserError for a node that does not tell it."""
    from ..core.engine import Provenance  # which opening the panel need not wait for

    told = read_attributes(node)
    try:
        return Provenance(
            bundle_name=told[PREFIX + "Bundle"],
            bundle_version=told[PREFIX + "BundleVersion"],
            bundle_sha256=told[PREFIX + "BundleSHA256"],
            software=told[PREFIX + "Software"],
            modality=told[PREFIX + "Modality"],
            parameters=json.loads(told[PREFIX + "Parameters"]),
            warnings=tuple(json.loads(told[PREFIX + "Warnings"])),
            device=told[PREFIX + "Device"],
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"'{node.GetName()}' does not tell which model made it; choose an output of SlicerVAE."
        ) from error


def attributes_of_source(node_id: str, source: Source) -> dict[str, str]:
    """Return the attributes that name what an output was made of."""
    return {
        SOURCE_NODE: node_id,
        PREFIX + "SourceName": source.name,
        SOURCE_SERIES: source.series_uid,
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
