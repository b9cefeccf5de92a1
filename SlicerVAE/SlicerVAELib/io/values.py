"""Stored numbers to real values, and the refusal of values that no model can take."""

import numpy as np

from ..core.errors import UserError
from ..core.volume import Modality


def rescaled(array: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """Return ``array * slope + intercept`` exactly: in the smallest of int16, int32 and int64 that holds the result
    when all is integral, in float32 otherwise. ``array`` itself, in native byte order, when there is nothing to do;
    its memory may be reused."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if slope == 1 and intercept == 0:
        return array
    if not (np.issubdtype(array.dtype, np.integer) and float(slope).is_integer() and float(intercept).is_integer()):
        return (array.astype(np.float64) * slope + intercept).astype(np.float32)
    factor, offset = int(slope), int(intercept)
    ends = [int(end) * factor + offset for end in (array.min(), array.max())]
    kind = next(kind for kind in (np.int16, np.int32, np.int64) if _holds(kind, [*ends, factor, offset]))
    if array.dtype != kind or not array.flags.writeable:
        array = array.astype(kind)
    array *= kind(factor)
    array += kind(offset)
    return array


def _holds(kind: type[np.signedinteger], values: list[int]) -> bool:
    limits = np.iinfo(kind)
    return all(limits.min <= value <= limits.max for value in values)


def refuse_unusable(array: np.ndarray, name: str, modality: Modality) -> None:
    """Raise UserError when ``array`` (K, J, I) is flat, unless it is a projection, or holds values that are not
    finite."""
    extent = array.shape[1:] if modality is Modality.XRAY else array.shape
    if min(extent) < 2:
        raise UserError(f"{name} is a single slice, but a volume needs at least two; give the whole series.")
    if np.issubdtype(array.dtype, np.integer):
        return
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise UserError(
            f"{name} holds {bad} {'value that is' if bad == 1 else 'values that are'} not finite (NaN or infinite); "
            "replace them by the background's value and try again."
        )
