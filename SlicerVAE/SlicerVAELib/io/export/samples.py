"""Samples from a model's prior as images of nobody.

They are Secondary Capture images whose Conversion Type is SYN, the standard's word for computed images: no program
takes them for a scan, plans a treatment on them or asks a patient's name for them.
"""

import datetime
import hashlib
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from ...core.engine import Provenance
from .headers import contribution_of_model, describe, model_of, set_creation, set_equipment, set_laterality
from .lettering import burn_in_synthetic
from .results import Samples

_STEPS = 4095  # 12 bits, for images without a unit
_HASH = 12  # digits of the fictitious patient's number


def synthetic_series(samples: Samples) -> Iterator[Dataset]:
    """One image a sample, with SYNTHETIC burnt in, of a fictitious patient with its own study and frame of reference.

    CT samples are stored in whole HU, others in 4095 steps between their least and greatest value. The same samples
    give the same patient. Raises UserError for images too small for the word.
    """
    marked = burn_in_synthetic(samples.images)
    common = _common(samples)
    now = datetime.datetime.now()
    slope, intercept = _scaling(samples)
    spacing, origin, direction = samples.geometry.lps
    for number, image in enumerate(marked, start=1):
        dataset = Dataset()
        dataset.update(common)
        set_creation(dataset, SecondaryCaptureImageStorage, generate_uid(), number, now)
        dataset.StudyDate, dataset.StudyTime = dataset.SeriesDate, dataset.SeriesTime
        position = origin + (number - 1) * spacing[2] * direction[:, 2]
        dataset.ImagePositionPatient = [_decimal(value) for value in position]
        dataset.RescaleSlope, dataset.RescaleIntercept = _decimal(slope), _decimal(intercept)
        stored = np.rint((image.astype(np.float64) - float(dataset.RescaleIntercept)) / float(dataset.RescaleSlope))
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.set_pixel_data(
            np.clip(stored, 0, 2**16 - 1).astype(np.uint16), "MONOCHROME2", 16, generate_instance_uid=False
        )
        yield dataset


def _scaling(samples: Samples) -> tuple[float, float]:
    """Slope and intercept of the stored 16 bits."""
    low, high = float(samples.images.min()), float(samples.images.max())
    if _is_ct(samples.provenance):
        return 1.0, float(np.floor(low))
    return (high - low) / _STEPS or 1.0, low


def _is_ct(provenance: Provenance) -> bool:
    return provenance.modality == "CT"


def _common(samples: Samples) -> Dataset:
    """What all images of the series share."""
    provenance = samples.provenance
    spacing, _, direction = samples.geometry.lps
    low, high = float(samples.images.min()), float(samples.images.max())
    digest = hashlib.sha256(provenance.bundle_sha256.encode() + np.ascontiguousarray(samples.images).tobytes())
    dataset = Dataset()
    dataset.PatientName = "SYNTHETIC^SLICERVAE"
    dataset.PatientID = f"SYNTHETIC-{digest.hexdigest()[:_HASH]}"
    dataset.PatientBirthDate = dataset.PatientSex = None
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Never a person: drawn from a generative model"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.FrameOfReferenceUID, dataset.PositionReferenceIndicator = generate_uid(), None
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = "SYNTHETIC", None, None
    dataset.StudyDescription = describe("SYNTHETIC samples", provenance)
    dataset.SeriesDescription = describe(f"SYNTHETIC {provenance.modality}".strip(), provenance)
    dataset.SeriesNumber, dataset.Modality, dataset.ConversionType = 1, "OT", "SYN"
    set_laterality(dataset)
    set_equipment(dataset, provenance)
    dataset.ContributingEquipmentSequence = [contribution_of_model(provenance, codes.DCM.SynthesizingEquipment)]
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"SYNTHETIC: drawn from the prior of the model {model_of(provenance)}; no patient."
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.PatientOrientation = ["L", "P"]
    dataset.ImageOrientationPatient = [_decimal(value) for value in direction[:, :2].T.ravel()]
    dataset.PixelSpacing = dataset.NominalScannedPixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    dataset.RescaleType = "HU" if _is_ct(provenance) else "US"
    dataset.WindowCenter, dataset.WindowWidth = _decimal((low + high) / 2), _decimal(max(high - low, 1e-6))
    return dataset


def _decimal(value: float) -> str:
    return format_number_as_ds(float(value))
