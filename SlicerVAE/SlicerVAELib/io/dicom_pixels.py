"""Pixels of DICOM slices as one stack of real values."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.errors import UserError
from ..core.volume import Modality
from .dicom_decode import decode
from .dicom_encoding import Encoding
from .dicom_headers import DAMAGE, Header
from .values import rescaled


def read_stack(headers: Sequence[Header]) -> np.ndarray:
    """Values (K, J, I) of slices in the given order, after rescale slope and intercept; Hounsfield units for CT.

    Integers stay integers where slope and intercept are. MONOCHROME1 slices are inverted within their stored range,
    so that bright means more as in any other, except for CT, whose Hounsfield units do not depend on the display.
    Pixel padding stays as the scanner wrote it, as in Slicer; the window of a model's preprocessing cuts it off.
    Raises UserError that names a file which is cut off or can't be decoded.
    """
    scalings = [_scaling(header) for header in headers]
    stored = read_stored(headers)
    if len(set(scalings)) > 1:
        slices = zip(stored, scalings, strict=True)
        return np.stack([rescaled(pixels.astype(np.float64), *scaling) for pixels, scaling in slices])
    return rescaled(stored, *scalings[0])


def read_stored(headers: Sequence[Header]) -> np.ndarray:
    """Values (K, J, I) as they are stored, in a type that holds those of every slice. Raises UserError."""
    places: dict[Path, list[int]] = {}
    for k, header in enumerate(headers):
        places.setdefault(header.path, []).append(k)
    stack: np.ndarray | None = None
    for path, wanted in places.items():
        try:
            if stack is None:
                kinds = {header.encoding.dtype for header in headers}
                shape = (len(headers), headers[0].rows, headers[0].columns)
                stack = np.empty(shape, np.result_type(*kinds))
            _fill(stack, wanted, [headers[k] for k in wanted])
        except (*DAMAGE, RuntimeError) as error:
            raise _damaged(path) from error
    assert stack is not None
    return stack


def _fill(stack: np.ndarray, wanted: Sequence[int], frames: Sequence[Header]) -> None:
    """Put ``frames``, all of one file, into the places ``wanted`` of ``stack``."""
    first = frames[0]
    encoding = first.encoding
    if encoding.is_plain:
        _refuse_incomplete(first)
        size = first.rows * first.columns
        with first.path.open("rb") as file:
            for k, header in zip(wanted, frames, strict=True):
                file.seek(encoding.offset + header.frame * size * encoding.dtype.itemsize)
                pixels = np.fromfile(file, encoding.dtype, size)
                stack[k] = _used_bits(pixels, encoding).reshape(stack.shape[1:])
        return
    decoded = decode(first.path, encoding.syntax)
    if decoded.shape[1:] != stack.shape[1:] or not _holds(encoding.dtype, decoded):
        raise ValueError("pixels do not fill the slice")
    for k, header in zip(wanted, frames, strict=True):
        stack[k] = decoded[header.frame]


def _refuse_incomplete(header: Header) -> None:
    """Raise ValueError unless the file has the pixels that the header tells of.

    More than that is padding in a slice of a stack, whose size the other slices confirm. In an object that stands alone
    it shows that the size is wrong.
    """
    encoding, frame = header.encoding, header.rows * header.columns * header.encoding.dtype.itemsize
    complete = frame * header.frames_in_file
    stands_alone = header.frames_in_file > 1 or header.kind is Modality.XRAY
    is_too_long = stands_alone and encoding.length >= complete + max(header.columns * encoding.dtype.itemsize, 2)
    if encoding.length < complete or is_too_long:
        raise ValueError("not as many pixels as the header tells of")


def _used_bits(pixels: np.ndarray, encoding: Encoding) -> np.ndarray:
    """The bits that hold the value; old files keep overlays in the others."""
    spare = encoding.bits_allocated - encoding.high_bit - 1
    unused = encoding.bits_allocated - encoding.bits_stored
    if unused == 0:
        return pixels
    if not 0 <= spare <= unused:
        raise ValueError("the bits of a value lie outside it")
    pixels <<= spare
    pixels >>= unused  # brings the sign along
    return pixels


def _holds(kind: np.dtype, values: np.ndarray) -> bool:
    limits = np.iinfo(kind)
    return bool(values.min() >= limits.min and values.max() <= limits.max)


def _scaling(header: Header) -> tuple[float, float]:
    """Slope and intercept, with the mirroring of MONOCHROME1 included."""
    slope, intercept = header.slope, header.intercept
    if not (math.isfinite(slope) and math.isfinite(intercept) and slope != 0):
        raise _damaged(header.path)
    if header.encoding.is_inverted and header.kind is not Modality.CT:
        return -slope, slope * header.encoding.mirror_sum + intercept
    return slope, intercept


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged or cut off, so its pixels can't be read; copy it anew or export it again.")
