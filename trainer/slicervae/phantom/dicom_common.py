"""What every DICOM file of a phantom has in common: patient, study, equipment, and how it is written."""

import io
from pathlib import Path

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from .constants import PHANTOM_VERSION
from .patient import PhantomPatient
from .uids import IMPLEMENTATION_UID

# The phantoms have no date; DICOM wants one.
DATE, TIME = "20000101", "120000"
MANUFACTURER = "SlicerVAE phantom"


def new_dataset(patient: PhantomPatient, sop_class: UID, sop_instance: str, modality: str) -> Dataset:
    """A dataset with the patient, study, equipment and SOP common modules filled in."""
    source, parameters = patient.volume.source, patient.parameters
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.InstanceCreationDate, ds.InstanceCreationTime = DATE, TIME
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, UID(sop_instance)
    ds.StudyDate, ds.StudyTime = DATE, TIME
    ds.AccessionNumber = ""
    ds.Modality = modality
    ds.Manufacturer = MANUFACTURER
    ds.ManufacturerModelName = "Procedural thorax"
    ds.DeviceSerialNumber = "0"
    ds.SoftwareVersions = PHANTOM_VERSION
    ds.InstitutionName = "None (synthetic data)"
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Synthetic thorax"
    ds.PatientName = f"Phantom^{patient.number:04d}"
    ds.PatientID = patient.identifier
    ds.PatientBirthDate = ""
    ds.PatientSex = str(parameters["sex"])
    ds.PatientAge = f"{round(float(parameters['age_years'])):03d}Y"
    ds.PatientSize = f"{float(parameters['stature_mm']) / 1000:.3f}"
    ds.PatientWeight = f"{float(parameters['weight_kg']):.1f}"
    ds.PatientComments = f"Synthetic phantom, version {PHANTOM_VERSION}; not a person"
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = "Never identified: procedural anatomy"
    ds.StudyInstanceUID = UID(source.study_uid)
    ds.StudyID = str(patient.number)
    return ds


def add_frame_of_reference(ds: Dataset, patient: PhantomPatient) -> None:
    """Fill in the frame of reference module."""
    ds.FrameOfReferenceUID = UID(patient.volume.source.frame_of_reference_uid)
    ds.PositionReferenceIndicator = ""


def reference(sop_class: UID, sop_instance: str) -> Dataset:
    """An item that points to another object."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, UID(sop_instance)
    return item


def write(ds: Dataset, path: Path) -> None:
    """Write a dataset as a DICOM file; the same dataset gives the same bytes."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.FileMetaInformationVersion = b"\x00\x01"
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = IMPLEMENTATION_UID
    ds.file_meta.ImplementationVersionName = "SLICERVAE_PHANT"
    buffer = io.BytesIO()
    dcmwrite(buffer, ds, enforce_file_format=True)
    path.write_bytes(buffer.getvalue())
