"""What every exported object says of the model that made it, in the places that DICOM has for it.

The General Equipment module names the equipment that made the series: Manufacturer is this software, Manufacturer's
Model Name the model with its version, Device Serial Number the SHA-256 of its bundle (64 digits, as many as fit) and
Software Versions this software's. The Contributing Equipment Sequence repeats it as equipment for processing or
synthesis, together with the parameters, and names the scanner of the source.
"""

import datetime
from collections.abc import Iterable

from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import UID

from ...core.engine import Provenance

MANUFACTURER = "SlicerVAE"
CHARACTER_SET = "ISO_IR 192"  # UTF-8
_LONG_STRING, _SHORT_TEXT = 64, 1024  # characters that LO and ST hold
_EQUIPMENT = (
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "DeviceSerialNumber",
    "SoftwareVersions",
    "InstitutionName",
)


def long_string(text: str) -> str:
    """``text`` as a value of LO: one line of at most 64 characters without a backslash."""
    line = " ".join(text.replace("\\", "/").split())
    return line if len(line) <= _LONG_STRING else line[: _LONG_STRING - 1] + "…"


def model_of(provenance: Provenance) -> str:
    """The model's name and version."""
    return f"{provenance.bundle_name} {provenance.bundle_version}"


def describe(what: str, provenance: Provenance) -> str:
    """A series' or an object's description: ``what``, which comes first, and the model."""
    return long_string(f"{what}, {model_of(provenance)}")


def set_equipment(dataset: Dataset, provenance: Provenance) -> None:
    """Fill in the module General Equipment, as of the model."""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = long_string(model_of(provenance))
    dataset.DeviceSerialNumber = long_string(provenance.bundle_sha256)
    dataset.SoftwareVersions = long_string(provenance.software)


def contribution_of_model(provenance: Provenance, purpose: Code) -> Dataset:
    """The model as item of the Contributing Equipment Sequence, with its parameters and the warnings overridden."""
    item = Dataset()
    set_equipment(item, provenance)
    told = [f"{name}={value}" for name, value in provenance.parameters.items()]
    told += [f"warning: {warning}" for warning in provenance.warnings]
    text = "; ".join([f"SHA-256 {provenance.bundle_sha256}", *told])
    item.ContributionDescription = text[:_SHORT_TEXT]
    item.ContributionDateTime = datetime.datetime.now().strftime("%Y%m%d%H%M%S")
    item.PurposeOfReferenceCodeSequence = [code_item(purpose)]
    return item


def contribution_of_scanner(source: Dataset) -> list[Dataset]:
    """The equipment of a source image as item of the Contributing Equipment Sequence; none where it has no name."""
    if not source.get("Manufacturer"):
        return []
    item = Dataset()
    copy_present(source, item, _EQUIPMENT)
    item.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.AcquisitionEquipment)]
    return [item]


def set_creation(dataset: Dataset, sop_class: UID, instance: UID, number: int, now: datetime.datetime) -> None:
    """Fill in what identifies an object, and when it was made."""
    dataset.SpecificCharacterSet = CHARACTER_SET
    dataset.SOPClassUID, dataset.SOPInstanceUID, dataset.InstanceNumber = sop_class, instance, number
    date, time = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    dataset.InstanceCreationDate = dataset.SeriesDate = dataset.ContentDate = date
    dataset.InstanceCreationTime = dataset.SeriesTime = dataset.ContentTime = time


def set_laterality(dataset: Dataset) -> None:
    """Leave the side of the body open where no body part tells whether there are two."""
    if not dataset.get("BodyPartExamined") and "Laterality" not in dataset:
        dataset.Laterality = None


def copy_present(source: Dataset, target: Dataset, keywords: Iterable[str]) -> None:
    """Copy those elements that ``source`` has."""
    for keyword in keywords:
        if keyword in source:
            target[keyword] = source[keyword]


def code_item(code: Code) -> Dataset:
    """A coded concept as an item of a sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item
