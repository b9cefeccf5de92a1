"""A reconstruction as a derived series of the class, study and frame of reference of its source."""

import datetime
from collections.abc import Iterator

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ...core.engine import Provenance
from ...core.errors import UserError
from .attributes import CT_MAY_BE_EMPTY, KEPT, MR_MAY_BE_EMPTY
from .headers import (
    code_item,
    contribution_of_model,
    contribution_of_scanner,
    copy_present,
    describe,
    model_of,
    set_creation,
    set_equipment,
    set_laterality,
)
from .source import SourceSeries, unusable_headers_told

SERIES_NUMBER = 9001


def derived_series(source: SourceSeries, values: np.ndarray, provenance: Provenance) -> Iterator[Dataset]:
    """One image for each slice of ``source``, whose values after rescaling are ``values`` (K, J, I), in HU for CT,
    rounded to the steps in which the source stores its own and cut off at the ends of their range.

    Raises UserError for a source whose pixels are stored in a way that can't be repeated.
    """
    series = generate_uid()
    now = datetime.datetime.now()
    for number, (original, slice_values) in enumerate(zip(source.slices, values, strict=True), start=1):
        with unusable_headers_told(source):
            dataset = Dataset()
            copy_present(original, dataset, KEPT)
            set_laterality(dataset)
            set_creation(dataset, source.sop_class, generate_uid(), number, now)
            set_equipment(dataset, provenance)
            dataset.SeriesInstanceUID, dataset.SeriesNumber = series, SERIES_NUMBER
            dataset.SeriesDescription = describe("RESEARCH reconstruction", provenance)
            dataset.ContributingEquipmentSequence = [
                *contribution_of_scanner(original),
                contribution_of_model(provenance, codes.DCM.ProcessingEquipment),
            ]
            _describe_derivation(dataset, original, provenance)
            _set_pixels(dataset, original, slice_values, source.name)
        yield dataset


def _describe_derivation(dataset: Dataset, original: Dataset, provenance: Provenance) -> None:
    is_ct = dataset.SOPClassUID == CTImageStorage
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL" if is_ct else "OTHER"]
    dataset.DerivationDescription = (
        f"RESEARCH: image that the model {model_of(provenance)} decodes from its code of the source image; not "
        "acquired, not for diagnosis. What the model did not see has the lower end of its intensity window."
    )
    dataset.BurnedInAnnotation = original.get("BurnedInAnnotation", "NO")
    instance = Dataset()
    instance.ReferencedSOPClassUID = original.SOPClassUID
    instance.ReferencedSOPInstanceUID = original.SOPInstanceUID
    image = Dataset()
    copy_present(instance, image, ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID"))
    image.SpatialLocationsPreserved = "YES"
    image.PurposeOfReferenceCodeSequence = [code_item(codes.DCM.SourceImageForImageProcessingOperation)]
    dataset.SourceImageSequence = [image]
    series = Dataset()
    series.SeriesInstanceUID, series.ReferencedInstanceSequence = original.SeriesInstanceUID, [instance]
    dataset.ReferencedSeriesSequence = [series]
    for keyword in CT_MAY_BE_EMPTY if is_ct else MR_MAY_BE_EMPTY:
        if keyword not in dataset:
            setattr(dataset, keyword, None)


def _set_pixels(dataset: Dataset, original: Dataset, values: np.ndarray, name: str) -> None:
    allocated, bits = int(original.get("BitsAllocated", 0)), int(original.get("BitsStored", 0))
    slope, intercept = float(original.get("RescaleSlope") or 1), float(original.get("RescaleIntercept") or 0)
    if allocated not in (8, 16, 32) or not 0 < bits <= allocated:
        raise UserError(f"{name} stores its pixels in {bits} of {allocated} bits, which can't be repeated; convert it.")
    is_signed = original.get("PixelRepresentation") == 1
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if is_signed else (0, 2**bits - 1)
    stored = np.clip(np.rint((values.astype(np.float64) - intercept) / slope), low, high)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.set_pixel_data(
        stored.astype(f"{'i' if is_signed else 'u'}{allocated // 8}"), "MONOCHROME2", bits, generate_instance_uid=False
    )
