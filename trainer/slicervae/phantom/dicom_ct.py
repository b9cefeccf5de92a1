"""The CT series of a phantom: one CT Image Storage file a slice."""

from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, CTImageStorage

from .constants import FIELD_OF_VIEW
from .dicom_common import DATE, TIME, add_frame_of_reference, new_dataset, write
from .patient import PhantomPatient
from .scanner import HU_RANGE

_INTERCEPT = HU_RANGE[0]
_KVP = "120"


def slice_uid(patient: PhantomPatient, k: int) -> str:
    """SOP Instance UID of slice k."""
    return patient.uid("slice", k)


def write_ct(patient: PhantomPatient, folder: Path) -> None:
    """Write the slices of a patient's CT as ``folder``/0001.dcm and so on, from inferior to superior."""
    folder.mkdir()
    ds = _series(patient)
    spacing, origin, _ = patient.volume.geometry.lps
    for k, pixels in enumerate(patient.volume.array):
        z = float(origin[2] + k * spacing[2])
        ds.SOPInstanceUID = UID(slice_uid(patient, k))
        ds.InstanceNumber = k + 1
        ds.ImagePositionPatient = [f"{origin[0]:.6f}", f"{origin[1]:.6f}", f"{z:.4f}"]
        ds.SliceLocation = f"{z:.4f}"
        ds.PixelData = (pixels.astype(np.int32) - _INTERCEPT).astype("<u2").tobytes()
        write(ds, folder / f"{k + 1:04d}.dcm")


def _series(patient: PhantomPatient) -> Dataset:
    """All that the slices have in common."""
    volume = patient.volume
    slices, rows, columns = volume.array.shape
    spacing, _, _ = volume.geometry.lps
    ds = new_dataset(patient, CTImageStorage, slice_uid(patient, 0), "CT")
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = DATE
    ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = TIME
    ds.SeriesInstanceUID = UID(volume.source.series_uid)
    ds.SeriesNumber = 1
    ds.SeriesDescription = volume.source.description
    ds.BodyPartExamined = volume.source.body_part
    ds.PatientPosition = "HFS"
    ds.ProtocolName = "Phantom thorax"
    add_frame_of_reference(ds, patient)
    ds.KVP = _KVP
    ds.AcquisitionNumber = 1
    ds.ScanOptions = "HELICAL MODE"
    ds.DataCollectionDiameter = ds.ReconstructionDiameter = f"{FIELD_OF_VIEW:.1f}"
    ds.ConvolutionKernel = "SOFT TISSUE"
    ds.GantryDetectorTilt = "0"
    ds.TableHeight = f"{float(patient.parameters['table_top_y_mm']):.2f}"
    ds.RotationDirection = "CW"
    ds.ExposureTime, ds.XRayTubeCurrent, ds.Exposure = "500", "200", "100"
    ds.FilterType = "BODY"
    ds.SliceThickness = f"{spacing[2]:.4f}"
    ds.SpacingBetweenSlices = f"{spacing[2]:.4f}"
    ds.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    ds.PixelSpacing = [f"{spacing[1]:.8f}", f"{spacing[0]:.8f}"]
    ds.ImagesInAcquisition = slices
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = str(_INTERCEPT), "1", "HU"
    ds.WindowCenter, ds.WindowWidth = ["40", "-600"], ["400", "1500"]
    ds.WindowCenterWidthExplanation = ["SOFT TISSUE", "LUNG"]
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    return ds
