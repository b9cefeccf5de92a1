"""NIfTI files as arrays, with the affine that counts."""

import contextlib
import gzip
import math
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..core.errors import UserError
from .values import rescaled

_GZIP = b"\x1f\x8b"
_AGREEMENT_MM = 0.1
_CHUNK = 1 << 20
_TIGHTEST = 1040  # gzip packs no better


def read_nifti(path: Path, frame: int | None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Values (K, J, I) of the only volume, or of ``frame`` (from 1) of a time series; the 4×4 matrix from voxel indices
    to RAS mm; and notes of what is doubtful about it.

    Of two affines the one that nibabel prefers, the sform, is taken. Raises UserError when the file is damaged or cut
    off, holds no grey volume, or several without a ``frame``.
    """
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
    damage = (ImageFileError, HeaderDataError, EOFError, ValueError, LookupError, OverflowError, zlib.error)
    try:
        with LoggingOutputSuppressor(), np.errstate(all="ignore"):
            image: Any = nibabel.load(path, mmap=False)
            n = _frame_index(path, image, frame)
            stored = _read_frame(path, image, n)
            slope, intercept = image.dataobj.slope, image.dataobj.inter
            notes = _doubts(image)
    except (*damage, OSError, MemoryError) as error:
        raise damaged(path) from error
    return rescaled(stored, slope, intercept), np.array(image.affine), notes


def refuse_dimensions(path: Path, dimensions: int, has_several_values: bool) -> None:
    """Raise UserError that names the file unless it has three dimensions and one value a voxel."""
    if has_several_values:
        raise UserError(f"{path} holds colour or several values per voxel; give an image with one grey value a voxel.")
    if dimensions > 3:
        raise UserError(f"{path} is an image of {dimensions} dimensions (a time series?); save one of its volumes.")
    if dimensions < 3:
        raise UserError(f"{path} is a flat, {dimensions}-dimensional image, but a volume is needed.")


def damaged(path: Path) -> UserError:
    """What to say of a file that does not hold what its header promises."""
    return UserError(f"{path} is damaged or cut off, so it can't be read; copy it anew.")


def _frame_index(path: Path, image: Any, frame: int | None) -> int:
    count = math.prod(image.shape[3:])
    refuse_dimensions(path, min(len(image.shape), 3), image.get_data_dtype().fields is not None)
    if count == 1 and frame in (None, 1):  # a time series of one is a volume
        return 0
    if frame is None:
        raise UserError(
            f"{path} is an image of {len(image.shape)} dimensions, a series of {count} volumes; choose one with "
            f"--frame 1 to {count}."
        )
    if not 1 <= frame <= count:
        raise UserError(f"{path} has no frame {frame}; choose one of its {count} with --frame 1 to {count}.")
    return frame - 1


def _read_frame(path: Path, image: Any, frame: int) -> np.ndarray:
    """Stored values (K, J, I) of one frame. Raises ValueError unless the file ends with its last frame: what is left
    over shows that the header is wrong about the sizes."""
    kind = image.get_data_dtype()
    shape = image.shape[:3]
    size = math.prod(shape) * kind.itemsize
    frames = math.prod(image.shape[3:])
    with path.open("rb") as raw:
        is_packed = raw.read(2) == _GZIP
        raw.seek(0)
        if frames * size > path.stat().st_size * (_TIGHTEST if is_packed else 1):
            raise ValueError("more values than the file can hold")
        file: Any = gzip.GzipFile(fileobj=raw) if is_packed else raw
        _skip(file, int(image.dataobj.offset) + frame * size)
        data = bytearray(size)
        count = file.readinto(data)
        rest = _skip(file, None)  # gzip checks its sum at the end
    if count != size or rest != (frames - frame - 1) * size:
        raise ValueError("not as many values as the header tells of")
    return np.frombuffer(data, dtype=kind).reshape(shape[::-1])


def _skip(file: IO[bytes], count: int | None) -> int:
    """Read over ``count`` bytes, or all that are left when None; return how many there were."""
    skipped = 0
    while count is None or skipped < count:
        chunk = file.read(_CHUNK if count is None else min(_CHUNK, count - skipped))
        if not chunk:
            break
        skipped += len(chunk)
    return skipped


def _doubts(image: Any) -> tuple[str, ...]:
    """Notes about the affine that was taken, from the other one that the header holds."""
    header = image.header
    has_sform, has_qform = int(header["sform_code"]) > 0, int(header["qform_code"]) > 0
    if not has_sform and not has_qform:
        return ("the file does not say how the image lies in the patient, so its sides are not certain",)
    if not has_sform or not has_qform:
        return ()
    with contextlib.suppress(ValueError, ArithmeticError):
        other = header.get_qform()
        ends = [(-0.5, n - 0.5) for n in image.shape[:3]]
        corners = np.array([[i, j, k, 1] for i in ends[0] for j in ends[1] for k in ends[2]])
        apart = float(np.linalg.norm(((image.affine - other) @ corners.T)[:3], axis=0).max())
        if apart <= _AGREEMENT_MM:
            return ()
        return (f"its two affines disagree by {apart:.3g} mm at a corner; the sform was taken",)
    return ("its second affine, the qform, is damaged; the sform was taken",)
