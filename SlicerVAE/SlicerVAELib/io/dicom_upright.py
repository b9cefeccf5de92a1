"""Slices that a tilted gantry shifted sideways, or some of which are missing, as an upright and complete stack."""

import math

import numpy as np


def shifted(stack: np.ndarray, shifts: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Lay each slice of ``stack`` (N, J, I) on a wider grid (N, *shape[1:]), ``shifts`` (N, 2) pixels along i and j
    from its corner, interpolated linearly. What no slice covers gets the lowest value of the stack."""
    lowest = stack.min()
    result = np.full((len(stack), *shape[1:]), lowest, dtype=stack.dtype)
    for pixels, shift, target in zip(stack, shifts, result, strict=True):
        moved = pixels.astype(np.float64)
        corner = []
        for axis, amount in ((1, shift[0]), (0, shift[1])):
            whole = math.floor(amount)
            moved = _moved(moved, amount - whole, axis, float(lowest))
            corner.append(whole)
        left, top = corner
        target[top : top + moved.shape[0], left : left + moved.shape[1]] = _as_type(moved, stack.dtype)
    return result


def _moved(pixels: np.ndarray, fraction: float, axis: int, outside: float) -> np.ndarray:
    """``pixels`` moved by a fraction of a pixel towards higher indices, which makes them one pixel longer."""
    if fraction == 0:
        return pixels
    ends = [(0, 0), (0, 0)]
    ends[axis] = (1, 1)
    padded = np.pad(pixels, ends, constant_values=outside)
    before, after = (slice(None, -1), slice(1, None))
    index = (slice(None),) * axis
    return (1 - fraction) * padded[(*index, after)] + fraction * padded[(*index, before)]


def completed(stack: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Put the slices of ``stack`` (N, J, I) at ``places`` (N, ascending from 0) and interpolate linearly between."""
    result = np.empty((int(places[-1]) + 1, *stack.shape[1:]), dtype=stack.dtype)
    result[places] = stack
    for n in np.flatnonzero(np.diff(places) > 1):
        low, high = int(places[n]), int(places[n + 1])
        for k in range(low + 1, high):
            weight = (k - low) / (high - low)
            between = (1 - weight) * stack[n].astype(np.float64) + weight * stack[n + 1].astype(np.float64)
            result[k] = _as_type(between, stack.dtype)
    return result


def _as_type(values: np.ndarray, kind: np.dtype) -> np.ndarray:
    """``values`` in ``kind``, rounded where that is whole numbers."""
    return (np.rint(values) if np.issubdtype(kind, np.integer) else values).astype(kind)
