"""The DICOM files that a node was loaded from, as Slicer's own database knows them."""

from pathlib import Path

import slicer

_INSTANCES = "DICOM.instanceUIDs"


def file_of(node: slicer.vtkMRMLNode) -> Path | None:
    """A file of the series that the node was loaded from; None where it is not known."""
    instances = (node.GetAttribute(_INSTANCES) or "").split()
    database = getattr(slicer, "dicomDatabase", None)
    path = database.fileForInstance(instances[0]) if instances and database is not None else ""
    return Path(path) if path else None
