"""Pixels of DICOM slices as one stack of real values."""

import math
from collections.abc import Sequence

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.uid import RLELossless

from ..core.errors import UserError
from ..core.volume import Modality
from .dicom_headers import DAMAGE, Header, transfer_syntax
from .values import rescaled

_TAGS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
    "PixelData",
]


def read_stack(headers: Sequence[Header]) -> np.ndarray:
    """Values (K, J, I) of slices in the given order, after rescale slope and intercept; Hounsfield units for CT.

    Integers stay integers where slope and intercept are. MONOCHROME1 slices are inverted within their stored range,
    so that bright means more as in any other, except for CT, whose Hounsfield units do not depend on the display.
    Raises UserError that names a file which is cut off or can't be decoded.
    """
    slices = [_read(header) for header in headers]
    scalings = {(slope, intercept) for _, slope, intercept in slices}
    if len(scalings) > 1:
        return np.stack([rescaled(pixels.astype(np.float64), *scaling) for pixels, *scaling in slices])
    slope, intercept = scalings.pop()
    return rescaled(np.stack([pixels for pixels, *_ in slices]), slope, intercept)


def _read(header: Header) -> tuple[np.ndarray, float, float]:
    """Pixels (J, I) of one file, with the slope and intercept that are still to be applied."""
    try:
        dataset = pydicom.dcmread(header.path, specific_tags=_TAGS, force=True)
        syntax = transfer_syntax(dataset)
        dataset.file_meta.TransferSyntaxUID = syntax
        slope, intercept = _number(dataset, "RescaleSlope", 1.0), _number(dataset, "RescaleIntercept", 0.0)
        if not (math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
            raise ValueError("slope or intercept is not usable")
        if "PixelData" not in dataset:
            raise ValueError("no pixels")
        # pydicom needs packages of their own for JPEG; ITK brings its decoders, and applies the rescaling itself.
        if syntax.is_encapsulated and syntax != RLELossless:
            pixels, scaling = _decode(header), (1.0, 0.0)
        else:
            pixels, scaling = dataset.pixel_array, (slope, intercept)
        if pixels.shape != (header.rows, header.columns):
            raise ValueError("pixels do not fill the slice")
        if dataset.get("PhotometricInterpretation") == "MONOCHROME1" and header.kind is not Modality.CT:
            scaling = _inverted(dataset, slope, intercept, scaling)
    except (*DAMAGE, RuntimeError) as error:
        raise UserError(
            f"{header.path} is damaged or cut off, so its pixels can't be read; copy it anew or export it again."
        ) from error
    return pixels, *scaling


def _number(dataset: pydicom.Dataset, name: str, default: float) -> float:
    value = dataset.get(name)
    return default if value in (None, "") else float(value)


def _decode(header: Header) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(header.path), imageIO="GDCMImageIO"))[0]


def _inverted(
    dataset: pydicom.Dataset, slope: float, intercept: float, pending: tuple[float, float]
) -> tuple[float, float]:
    """Slope and intercept that also mirror the values within the range that the stored bits can hold."""
    levels = 2 ** int(dataset.BitsStored)
    ends = levels - 1 if dataset.PixelRepresentation == 0 else -1  # lowest plus highest stored value
    mirror_sum = slope * ends + 2 * intercept
    return -pending[0], mirror_sum - pending[1]
