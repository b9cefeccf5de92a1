"""NRRD and MetaImage files, and NIfTI files of one volume, as arrays on a grid."""

import re
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import UserError
from ..core.volume import LPS_TO_RAS, Geometry
from .nifti import damaged, read_nifti, refuse_dimensions

NIFTI = (".nii", ".nii.gz")
ITK_IMAGES = (".nrrd", ".nhdr", ".mha", ".mhd")
VOLUME_FILES = NIFTI + ITK_IMAGES

DETACHED_HEADERS = (".nhdr", ".mhd")

_LONGEST_HEADER = 1 << 20
_DATA_FILE = re.compile(r"^(?:ElementDataFile\s*=|data ?file\s*:)\s*(.+)$", re.IGNORECASE | re.MULTILINE)
_SHEAR_TOLERANCE = 1e-3  # cosine between two axes


def ending(path: Path, endings: tuple[str, ...]) -> str:
    """Which of ``endings`` the file's name has, whatever its case; empty when none."""
    return next((known for known in endings if path.name.lower().endswith(known)), "")


def stem(path: Path) -> str:
    """The file's name without a volume's ending."""
    known = ending(path, VOLUME_FILES)
    return path.name[: -len(known)] if known else path.stem


def parts_of(path: Path) -> tuple[Path, ...]:
    """The file and, where it is only a header (.nhdr, .mhd), the files beside it that hold the values."""
    if not ending(path, DETACHED_HEADERS):
        return (path,)
    with path.open("rb") as file:
        text = file.read(_LONGEST_HEADER).decode("utf-8", "replace")
    named = _DATA_FILE.search(text)
    name = named[1].strip() if named else ""
    if name.upper() == "LOCAL":
        return (path,)
    if (path.parent / name).is_file():
        return (path, path.parent / name)
    # A list of files, or a pattern with numbers: taken as anything beside it, rather than missing one.
    return (path, *sorted(other for other in path.parent.iterdir() if other.is_file() and other != path))


def refuse_unreadable(path: Path) -> None:
    """Raise OSError when the file may not be read, which libraries confuse with damage."""
    path.open("rb").close()


def read_image(path: Path) -> tuple[np.ndarray, Geometry]:
    """Values (K, J, I) of a volume file in their stored type, and their grid.

    Raises UserError that names the file when it is damaged or cut off, or holds something else than one grey volume;
    OSError when it may not be read.
    """
    array, geometry, _ = read_noted_image(path, None)
    return array, geometry


def read_noted_image(path: Path, frame: int | None) -> tuple[np.ndarray, Geometry, tuple[str, ...]]:
    """As ``read_image``, of the ``frame`` (from 1) of a NIfTI time series, and with notes of what is doubtful."""
    refuse_unreadable(path)
    notes: tuple[str, ...] = ()
    if ending(path, NIFTI):
        array, matrix, notes = read_nifti(path, frame)
    elif frame is not None:
        raise UserError(f"{path} is one volume without frames; leave --frame out.")
    else:
        array, matrix = _read_itk(path)
    return array, geometry_of(path, array.shape, matrix), notes


def geometry_of(path: Path, shape: tuple[int, ...], matrix: np.ndarray) -> Geometry:
    """The grid of ``shape`` (K, J, I) with ``matrix`` (4×4) to RAS mm. Raises UserError that names the file when the
    axes are not at right angles to each other, or useless."""
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    if not np.isfinite(matrix).all() or lengths.min() < 1e-6:
        raise UserError(f"{path} has no usable spacing or directions; export it anew with its geometry.")
    axes = matrix[:3, :3] / lengths
    if np.abs(axes.T @ axes - np.eye(3)).max() > _SHEAR_TOLERANCE:
        raise UserError(f"{path} has axes that are not at right angles to each other; resample it to an upright grid.")
    return Geometry((shape[0], shape[1], shape[2]), matrix)


def itk_matrix(image: sitk.Image) -> np.ndarray:
    """The 4×4 matrix from voxel indices of an ITK image to RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return LPS_TO_RAS @ matrix


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        refuse_dimensions(path, reader.GetDimension(), reader.GetNumberOfComponents() > 1)
        image = reader.Execute()
    except RuntimeError as error:
        raise damaged(path) from error
    return sitk.GetArrayFromImage(image), itk_matrix(image)
