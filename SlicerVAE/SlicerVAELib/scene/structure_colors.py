"""One colour for each structure, wherever it is shown."""

import colorsys
import zlib


def color_of(structure: str) -> tuple[float, float, float]:
    """Red, green and blue, 0 to 1, that follow from the name alone, so that plots and segmentations agree."""
    digest = zlib.crc32(structure.encode("utf-8"))
    return colorsys.hsv_to_rgb((digest % 360) / 360, 0.65 + 0.35 * (digest // 360 % 4) / 3, 0.9)
