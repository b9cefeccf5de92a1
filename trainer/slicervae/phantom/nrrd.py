"""A mask as an NRRD file, the same bytes every time."""

import gzip

import numpy as np

from SlicerVAELib.core.volume import Geometry


def nrrd_bytes(mask: np.ndarray, geometry: Geometry) -> bytes:
    """The content of an NRRD file (uint8, gzip) that holds a boolean mask (K, J, I) on its grid."""
    spacing, origin, directions = geometry.lps
    columns = (directions * spacing).T

    def vector(values: np.ndarray) -> str:
        return "(" + ",".join(f"{value:.10g}" for value in values) + ")"

    header = [
        "NRRD0004",
        "type: uint8",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {mask.shape[2]} {mask.shape[1]} {mask.shape[0]}",
        "space directions: " + " ".join(map(vector, columns)),
        "kinds: domain domain domain",
        "encoding: gzip",
        f"space origin: {vector(origin)}",
    ]
    text = "\n".join(header) + "\n\n"
    return text.encode("ascii") + gzip.compress(np.ascontiguousarray(mask, dtype=np.uint8).tobytes(), mtime=0)
