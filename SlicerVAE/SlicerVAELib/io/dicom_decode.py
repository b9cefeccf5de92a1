"""Compressed pixels to stored values."""

import tempfile
from pathlib import Path

import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.pixels import get_decoder
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

from ..core.errors import UserError

# ITK brings its own decoders and is always there; pydicom needs packages of their own and reads no 12-bit JPEG.
_BY_ITK = {
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
}
_MOST_PIXELS = 1 << 28  # of a frame; a damaged header must not ask for more memory than there is
_PIXEL_TAGS = [
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
]


def decode(path: Path, syntax: UID) -> np.ndarray:
    """Stored values (frames, J, I) of a compressed or big-endian file.

    Raises UserError when nothing here can decode it; ValueError, RuntimeError and what else pydicom raises when it is
    damaged.
    """
    dataset = pydicom.dcmread(path, specific_tags=_PIXEL_TAGS, force=True)
    dataset.file_meta.TransferSyntaxUID = syntax
    if "PixelData" not in dataset:
        raise ValueError("no pixels")
    if dataset.Rows * dataset.Columns > _MOST_PIXELS:
        raise ValueError("more pixels than any detector has")
    if syntax in _BY_ITK:
        pixels = _by_itk(dataset)
    elif get_decoder(syntax).is_available:
        pixels = dataset.pixel_array
    else:
        raise UserError(
            f"{path} is compressed as {syntax.name}, which needs the Python packages pylibjpeg and "
            "pylibjpeg-openjpeg; install them, or export the images uncompressed."
        )
    return pixels.reshape(-1, dataset.Rows, dataset.Columns)


def _by_itk(dataset: pydicom.Dataset) -> np.ndarray:
    # ITK would apply a slope and intercept of its own choice; a file with nothing but the pixels has none.
    is_byte = dataset.BitsAllocated == 8
    dataset.SOPClassUID = (
        MultiFrameGrayscaleByteSecondaryCaptureImageStorage
        if is_byte
        else MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    )
    dataset.SOPInstanceUID = "1.2.3"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "pixels.dcm")
        pydicom.dcmwrite(bare, dataset, enforce_file_format=True)
        return sitk.GetArrayFromImage(sitk.ReadImage(str(bare), imageIO="GDCMImageIO"))
