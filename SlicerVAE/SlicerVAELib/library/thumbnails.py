"""Small pictures of axial slices, to the same scale for all patients, at the same levels of the body."""

import struct
import zlib

import numpy as np

from ..core.engine import EncodedVolume
from ..core.volume import LPS_TO_RAS, Volume
from .records import Thumbnail

LEVEL_STEP_MM = 20.0  # pictures lie at the multiples of this along the body, so that patients' levels agree
PIXELS = 128


def thumbnails_of(
    volume: Volume, encoded: EncodedVolume, field_of_view_mm: float, window: tuple[float, float]
) -> tuple[Thumbnail, ...]:
    """Pictures of the slices nearest to each level, from the feet to the head.

    They show ``field_of_view_mm`` from ``window[0]`` black to ``window[1]`` white, the patient's right on the left.
    """
    levels = np.unique(np.rint(encoded.positions_mm / LEVEL_STEP_MM)) * LEVEL_STEP_MM
    nearest = {int(np.abs(encoded.positions_mm - level).argmin()) for level in levels}
    return tuple(
        Thumbnail(
            float(encoded.positions_mm[n]),
            slice_png(volume, encoded.slice_positions_mm[n], field_of_view_mm, window),
        )
        for n in sorted(nearest, key=lambda n: float(encoded.positions_mm[n]))
    )


def slice_png(volume: Volume, centre_lps_mm: np.ndarray, field_of_view_mm: float, window: tuple[float, float]) -> bytes:
    """An axial picture about a place, ``PIXELS`` a side; black where the image does not reach."""
    low, high = window
    values = _axial(volume, centre_lps_mm, field_of_view_mm, 2 * PIXELS, low)
    values = values.reshape(PIXELS, 2, PIXELS, 2).mean(axis=(1, 3))  # nearest voxels alone would flicker
    return _grey_png(np.clip((values - low) / (high - low) * 255, 0, 255).astype(np.uint8))


def _axial(volume: Volume, centre_lps_mm: np.ndarray, side_mm: float, count: int, outside: float) -> np.ndarray:
    """The nearest voxels' values, float64 (count, count): rows to the back, columns to the patient's left."""
    offsets = ((np.arange(count) + 0.5) / count - 0.5) * side_mm
    places = np.empty((count, count, 4))
    places[..., 0] = centre_lps_mm[0] + offsets[None, :]
    places[..., 1] = centre_lps_mm[1] + offsets[:, None]
    places[..., 2:] = centre_lps_mm[2], 1.0
    voxels = np.rint(places @ (np.linalg.inv(volume.geometry.ijk_to_ras) @ LPS_TO_RAS).T).astype(int)
    k, j, i = (voxels[..., axis] for axis in (2, 1, 0))
    inside = np.ones(k.shape, dtype=bool)
    for index, size in zip((k, j, i), volume.array.shape, strict=True):
        inside &= (index >= 0) & (index < size)
    values = np.full(k.shape, outside, dtype=np.float64)
    values[inside] = volume.array[k[inside], j[inside], i[inside]]
    return values


def _grey_png(pixels: np.ndarray) -> bytes:
    """An 8-bit grey PNG of uint8 (H, W); written here, because Slicer's own Python has no library for it."""
    height, width = pixels.shape
    lines = np.hstack([np.zeros((height, 1), np.uint8), pixels])  # a filter byte before each line: none
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
