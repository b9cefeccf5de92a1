"""How the pixels of a DICOM file are stored, and where in the file."""

import dataclasses
import struct
from typing import IO

import numpy as np
import pydicom
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

ENCODING_TAGS = ["BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation"]
_PLAIN = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
_PIXEL_DATA = (0x7FE0, 0x0010)
_UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclasses.dataclass(frozen=True, slots=True)
class Encoding:
    """The stored form of an object's pixels. ``offset`` and ``length`` in bytes tell where plain little-endian pixels
    lie in the file; length 0 when there are none, or when they have to be decoded."""

    syntax: UID
    bits_allocated: int
    bits_stored: int
    high_bit: int
    representation: int  # 0 unsigned, 1 signed
    is_inverted: bool  # MONOCHROME1: the lowest value is shown white
    offset: int
    length: int

    @property
    def dtype(self) -> np.dtype:
        """Type of a stored value. Raises ValueError when pixels of that size do not exist."""
        if self.bits_allocated not in (8, 16, 32) or not 0 < self.bits_stored <= self.bits_allocated:
            raise ValueError(f"{self.bits_stored} of {self.bits_allocated} bits are no usable pixels")
        if self.representation not in (0, 1):
            raise ValueError("pixels are neither signed nor unsigned")
        return np.dtype(f"<{'ui'[self.representation]}{self.bits_allocated // 8}")

    @property
    def is_plain(self) -> bool:
        """Whether the values lie in the file as they are in memory."""
        return self.syntax in _PLAIN

    @property
    def mirror_sum(self) -> int:
        """Lowest plus highest value that the stored bits can hold."""
        return -1 if self.representation else 2**self.bits_stored - 1


def encoding_of(dataset: pydicom.Dataset, file: IO[bytes]) -> Encoding:
    """The encoding of ``dataset``, which was read from ``file`` up to its pixels, where ``file`` still stands."""
    syntax = transfer_syntax(dataset)
    offset, length = _plain_pixels(dataset, file) if syntax in _PLAIN else (0, 0)
    bits = int(dataset.get("BitsAllocated") or 0)
    stored = int(dataset.get("BitsStored") or bits)
    high, representation = dataset.get("HighBit"), dataset.get("PixelRepresentation")
    return Encoding(
        syntax=syntax,
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=stored - 1 if high is None else int(high),
        representation=-1 if representation is None else int(representation),
        is_inverted=dataset.get("PhotometricInterpretation") == "MONOCHROME1",
        offset=offset,
        length=length,
    )


def transfer_syntax(dataset: pydicom.Dataset) -> UID:
    """How the pixels are encoded. What the values themselves show comes before what the file says of them, as some
    files say it wrongly or not at all."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named and (UID(named).is_encapsulated or UID(named).is_deflated):
        return UID(named)
    is_implicit, is_little = dataset.original_encoding
    if is_implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian


def _plain_pixels(dataset: pydicom.Dataset, file: IO[bytes]) -> tuple[int, int]:
    """Offset and length of the pixels' value in bytes."""
    is_implicit, _ = dataset.original_encoding
    start = file.read(12)
    if len(start) < 12 or struct.unpack("<HH", start[:4]) != _PIXEL_DATA:
        return 0, 0
    (length,) = struct.unpack("<I", start[4:8] if is_implicit else start[8:])
    if length == _UNDEFINED_LENGTH:
        raise ValueError("plain pixels need a length")
    return file.tell() - (4 if is_implicit else 0), length
