"""Label maps, Slicer's segmentation files included, as named masks."""

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import UserError
from ..core.volume import Geometry
from .images import NIFTI, ending, geometry_of, itk_matrix, read_image, refuse_unreadable
from .names import unused

_MOST_LABELS = 1000


def read_labelmap(path: Path) -> tuple[dict[str, np.ndarray], Geometry]:
    """Masks (K, J, I) of a label map's structures by name, and its grid.

    Names are those of the segments in a segmentation saved by Slicer (.seg.nrrd), whose segments may overlap; a
    number without a name becomes "label 3". Zero is background. Raises UserError when the file is damaged or its
    values are no labels.
    """
    refuse_unreadable(path)
    if ending(path, NIFTI):
        array, geometry = read_image(path)
        return _named(array[None], {}, path), geometry
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        fields = {key: reader.GetMetaData(key) for key in reader.GetMetaDataKeys()}
        if reader.GetDimension() != 3 or (reader.GetNumberOfComponents() > 1 and not _segments(fields)):
            raise UserError(f"{path} is not a label map: it is not one volume with one number a voxel.")
        image = reader.Execute()
    except RuntimeError as error:
        raise UserError(f"{path} is damaged or cut off, so it can't be read; copy it anew.") from error
    array = sitk.GetArrayFromImage(image)
    layers = np.moveaxis(array, -1, 0) if array.ndim == 4 else array[None]
    return _named(layers, _segments(fields), path), geometry_of(path, layers.shape[1:], itk_matrix(image))


def _segments(fields: dict[str, str]) -> dict[tuple[int, int], str]:
    """Names of Slicer's segments by layer and label value."""
    numbers = sorted(int(match[1]) for key in fields if (match := re.fullmatch(r"Segment(\d+)_ID", key)))
    return {
        (int(fields.get(f"Segment{n}_Layer", 0)), int(fields.get(f"Segment{n}_LabelValue", n + 1))): fields.get(
            f"Segment{n}_Name", f"segment {n}"
        )
        for n in numbers
    }


def _named(layers: np.ndarray, names: dict[tuple[int, int], str], path: Path) -> dict[str, np.ndarray]:
    masks: dict[str, np.ndarray] = {}
    for layer, array in enumerate(layers):
        if not np.issubdtype(array.dtype, np.integer) and not np.array_equal(array, np.rint(array)):
            raise UserError(f"{path} is not a label map: it holds values that are not whole numbers.")
        labels = [int(label) for label in np.unique(array) if label != 0]
        if len(labels) > _MOST_LABELS:
            raise UserError(f"{path} is not a label map: it holds {len(labels)} different values.")
        for label in labels:
            masks[unused(names.get((layer, label), f"label {label}"), masks)] = array == label
    return masks
