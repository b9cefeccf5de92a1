"""NIfTI, NRRD and MetaImage files as arrays on a grid."""

import re
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from ..core.errors import UserError
from ..core.volume import LPS_TO_RAS, Geometry
from .values import rescaled

NIFTI = (".nii", ".nii.gz")
ITK_IMAGES = (".nrrd", ".nhdr", ".mha", ".mhd")
VOLUME_FILES = NIFTI + ITK_IMAGES
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff")

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
    refuse_unreadable(path)
    array, matrix = _read_nifti(path) if ending(path, NIFTI) else _read_itk(path)
    return array, geometry_of(path, array.shape, matrix)


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


def _read_nifti(path: Path) -> tuple[np.ndarray, np.ndarray]:
    # ITK would read a cut-off .nii.gz as zeros without complaint, and prefers another of a file's two affines.
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
        from nibabel.imageglobals import LoggingOutputSuppressor
        from nibabel.spatialimages import HeaderDataError
    except ImportError as error:
        raise UserError(
            f"{path} can't be read without the Python package nibabel; install it, or convert the file to NRRD."
        ) from error
    damage = (ImageFileError, HeaderDataError, EOFError, ValueError, zlib.error, MemoryError)
    try:
        with LoggingOutputSuppressor():
            image = nibabel.load(path, mmap=False)
            is_single = all(count == 1 for count in image.shape[3:])  # a time series of one is a volume
            dimensions = min(image.ndim, 3) if is_single else image.ndim
            _refuse_dimensions(path, dimensions, image.get_data_dtype().fields is not None)
            proxy = image.dataobj
            stored = proxy.get_unscaled().T.reshape(image.shape[2::-1])
            return rescaled(stored, proxy.slope, proxy.inter), np.array(image.affine)
    except (*damage, OSError) as error:
        raise _damaged(path) from error


def _read_itk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
        _refuse_dimensions(path, reader.GetDimension(), reader.GetNumberOfComponents() > 1)
        image = reader.Execute()
    except RuntimeError as error:
        raise _damaged(path) from error
    return sitk.GetArrayFromImage(image), itk_matrix(image)


def _refuse_dimensions(path: Path, dimensions: int, has_several_values: bool) -> None:
    if has_several_values:
        raise UserError(f"{path} holds colour or several values per voxel; give an image with one grey value a voxel.")
    if dimensions > 3:
        raise UserError(f"{path} is an image of {dimensions} dimensions (a time series?); save one of its volumes.")
    if dimensions < 3:
        raise UserError(f"{path} is a flat, {dimensions}-dimensional image, but a volume is needed.")


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged or cut off, so it can't be read; copy it anew.")
