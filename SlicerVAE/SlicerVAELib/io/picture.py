"""PNG and JPEG pictures of one grey value a pixel, as X-ray images are passed on."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import UserError
from ..core.volume import Geometry
from .nifti import damaged

PICTURES = (".png", ".jpg", ".jpeg")
OTHER_PICTURES = (".bmp", ".gif", ".tif", ".tiff", ".webp")
SPACING_NOTE = "the pixel spacing is unknown and taken as 1 mm"


def read_picture(path: Path) -> tuple[np.ndarray, Geometry]:
    """Values (1, J, I) of a picture and its grid of 1 mm, as it says nothing of sizes.

    Raises UserError when it is in colour, transparent, damaged or cut off.
    """
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        if "Unknown PixelType" in str(error):  # grey and alpha: ITK has no name for the pair
            raise UserError(f"{path} has a transparency channel; save it as a plain grey picture.") from error
        raise damaged(path) from error
    if image.GetDimension() != 2:
        raise UserError(f"{path} holds several pictures; give one grey one.")
    array = sitk.GetArrayFromImage(image)
    channels = np.moveaxis(array, -1, 0) if array.ndim == 3 else array[None]
    if len(channels) == 4:
        *channels, alpha = channels
        if alpha.min() != alpha.max():
            raise UserError(f"{path} is partly transparent; save it as a plain grey picture.")
    if any(not np.array_equal(channels[0], other) for other in channels[1:]):
        raise UserError(f"{path} is in colour; give a grey image.")
    pixels = np.ascontiguousarray(channels[0])[None]
    return pixels, Geometry.from_lps(pixels.shape, spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0))
