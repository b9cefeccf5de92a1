"""Arrays as bytes, little-endian and without headers; the tables say what they are."""

import numpy as np

from ..core.dvh import Curve
from ..core.volume import Geometry
from .records import PosteriorStack


def pack_geometry(geometry: Geometry) -> bytes:
    """The three sizes K, J, I as int32 and the 4×4 matrix to RAS mm as float64."""
    return np.array(geometry.shape, "<i4").tobytes() + geometry.ijk_to_ras.astype("<f8").tobytes()


def unpack_geometry(content: bytes) -> Geometry:
    """The geometry that was packed; ValueError for other bytes."""
    k, j, i = np.frombuffer(content, "<i4", 3).tolist()
    return Geometry((k, j, i), np.frombuffer(content, "<f8", offset=12).reshape(4, 4))


def pack_posteriors(stack: PosteriorStack) -> bytes:
    """The N centres in LPS as float64, then as float32 all means (N, J), all log variances (N, J), and the N positions
    along the body."""
    return b"".join(
        array.tobytes() for array in (stack.slice_positions_mm, stack.mean, stack.log_variance, stack.positions_mm)
    )


def moments_at(slices: str, latents: int, number: str) -> tuple[str, str]:
    """Where, in bytes from the beginning of packed posteriors, mean and log variance of a slice stand: SQL of the SQL
    for the number of ``slices`` and for the slice's."""
    mean = f"24 * {slices} + {4 * latents} * {number}"
    return mean, f"{mean} + {4 * latents} * {slices}"


def unpack_posteriors(content: bytes, slices: int, latents: int, origin: str) -> PosteriorStack:
    """The stack that was packed; ValueError where the bytes are not as many."""
    numbers, centres = slices * latents, 3 * slices
    if slices < 1 or len(content) != 8 * centres + 4 * (2 * numbers + slices):
        raise ValueError(f"{len(content)} bytes are no posteriors of {slices} slices and {latents} latents")
    rest = np.frombuffer(content, "<f4", offset=8 * centres)
    moments = rest[: 2 * numbers].reshape(2, slices, latents)
    return PosteriorStack(
        moments[0],
        moments[1],
        rest[2 * numbers :],
        origin,
        np.frombuffer(content, "<f8", centres).reshape(slices, 3),
    )


def pack_histogram(curve: Curve) -> bytes:
    """The volumes in cm³ as float64; the doses follow from the bin width."""
    return curve.volume_cm3.astype("<f8").tobytes()


def unpack_histogram(content: bytes, bin_width_gy: float) -> Curve:
    """The histogram that was packed; ValueError for bytes that are no whole numbers of it."""
    volumes = np.frombuffer(content, "<f8")
    return Curve(bin_width_gy * np.arange(len(volumes)), volumes)
