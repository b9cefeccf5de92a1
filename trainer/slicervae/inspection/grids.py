"""The grid of a volume, from headers alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import LPS_TO_RAS, Geometry
from SlicerVAELib.io.images import NIFTI, ending, geometry_of
from SlicerVAELib.io.quiet import quiet

from .objects import DicomObject

_UPRIGHT = 0.97  # cosine of 14°; a slice tilted further is oblique
_UNEVEN = 0.05  # of the usual distance of slices
_ROUNDING_MM = 0.02


def grid_of_file(path: Path) -> Geometry | None:
    """The grid of a NIfTI, NRRD or MetaImage file; None when its header is of no use."""
    try:
        with quiet():
            return _of_nifti(path) if ending(path, NIFTI) else _of_itk(path)
    except (UserError, OSError, ValueError, RuntimeError, EOFError):
        return None  # reading the volume tells what is wrong


def _of_nifti(path: Path) -> Geometry | None:
    import nibabel
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        image = nibabel.load(path)
    except (ImageFileError, HeaderDataError):
        return None
    return geometry_of(path, image.shape[2::-1], np.array(image.affine)) if image.ndim >= 3 else None


def _of_itk(path: Path) -> Geometry | None:
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    if reader.GetDimension() != 3:
        return None
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(reader.GetDirection(), (3, 3)) * reader.GetSpacing()
    matrix[:3, 3] = reader.GetOrigin()
    return geometry_of(path, reader.GetSize()[::-1], LPS_TO_RAS @ matrix)


def grid_of_slices(slices: Sequence[DicomObject]) -> Geometry | None:
    """The grid that slices of one series make, with their usual distance; None where they do not say or do not fit
    together."""
    first = slices[0]
    heights = heights_of(slices)
    if heights is None or len(heights) < 2 or first.spacing is None or first.orientation is None:
        return None
    step = float(np.median(np.diff(heights)))
    i_axis, j_axis = np.reshape(first.orientation, (2, 3))
    direction = np.stack([i_axis, j_axis, np.cross(i_axis, j_axis)], axis=1)
    if step <= 0 or min(first.spacing) <= 0 or abs(np.linalg.det(direction)) < 0.5:
        return None
    extent = float(heights[-1] - heights[0])
    count = round(extent / step) + 1  # as when the missing slices were there
    lowest = min(slices, key=lambda item: float(np.dot(item.position or (), direction[:, 2])))
    return Geometry.from_lps(
        (count, first.rows, first.columns),
        spacing=(first.spacing[1], first.spacing[0], extent / (count - 1)),
        origin=tuple(lowest.position or ()),  # type: ignore[arg-type]
        direction=direction,
    )


def heights_of(slices: Sequence[DicomObject]) -> np.ndarray | None:
    """Positions along the normal of the first slice in mm, ascending; None where a slice has none, or they differ in
    size, spacing or direction."""
    first = slices[0]
    if first.orientation is None or first.spacing is None:
        return None
    for item in slices:
        if item.position is None or item.orientation is None or item.spacing is None or item.frames > 1:
            return None
        same = np.allclose(item.orientation, first.orientation, atol=1e-3) and np.allclose(item.spacing, first.spacing)
        if not same or (item.rows, item.columns) != (first.rows, first.columns):
            return None
    normal = np.cross(first.orientation[:3], first.orientation[3:])
    return np.sort(np.array([item.position for item in slices]) @ normal)


def about_gaps(heights: np.ndarray) -> str:
    """What is wrong with the distances of slices at ``heights`` (mm, ascending), in words; empty when nothing is."""
    gaps = np.diff(heights)
    if len(gaps) < 2:
        return ""
    doubled = int(np.count_nonzero(gaps < _ROUNDING_MM / 2))
    if doubled:
        return f"{doubled} slice position{'s are' if doubled > 1 else ' is'} there twice"
    usual = float(np.median(gaps))
    odd = np.abs(gaps - usual) > max(_UNEVEN * usual, _ROUNDING_MM)
    if not odd.any():
        return ""
    steps = gaps[odd] / usual
    if np.all(np.abs(steps - np.rint(steps)) < _UNEVEN) and np.all(steps > 1.5):
        missing = int(np.rint(steps).sum() - len(steps))
        return f"{missing} slice{'s are' if missing > 1 else ' is'} missing (they are {usual:g} mm apart)"
    return f"its slices are {gaps.min():g} to {gaps.max():g} mm apart"


def plane_of(geometry: Geometry) -> str:
    """The plane of a slice (along i and j) in the patient: axial, coronal, sagittal or oblique."""
    normal = np.abs(geometry.directions[:, 2])
    axis = int(normal.argmax())
    return ("sagittal", "coronal", "axial")[axis] if normal[axis] >= _UPRIGHT else "oblique"
