"""The DICOM files that a node was loaded from, as Slicer's own database knows them."""

from pathlib import Path
from typing import Any

import slicer

from ..core.acquisition import Acquisition, is_agent

_INSTANCES = "DICOM.instanceUIDs"
_KVP, _CONTRAST_AGENT = "0018,0060", "0018,0010"


def file_of(node: slicer.vtkMRMLNode) -> Path | None:
    """A file of the series that the node was loaded from; None where it is not known."""
    instance, database = _first_instance(node), _database()
    path = database.fileForInstance(instance) if instance and database is not None else ""
    return Path(path) if path else None


def acquisition_of(node: slicer.vtkMRMLNode) -> Acquisition:
    """What the header of the series tells of how it was acquired; nothing where there is none."""
    instance, database = _first_instance(node), _database()
    if not instance or database is None or not database.fileForInstance(instance):
        return Acquisition()
    return Acquisition(
        _number(database.instanceValue(instance, _KVP)), is_agent(database.instanceValue(instance, _CONTRAST_AGENT))
    )


def _first_instance(node: slicer.vtkMRMLNode) -> str:
    return next(iter((node.GetAttribute(_INSTANCES) or "").split()), "")


def _database() -> Any:
    return getattr(slicer, "dicomDatabase", None)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
