"""Positions and orientations in the words that a radiologist uses."""

import numpy as np

from .volume import LPS_TO_RAS, Geometry

_WORDS = (("left", "right"), ("posterior", "anterior"), ("superior", "inferior"))
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))  # along +RAS, along −RAS
_TILT_DEG = 0.5  # less is rounding in a header


def to_lps(ras: np.ndarray) -> tuple[float, float, float]:
    """A point (3,) in RAS mm as DICOM's LPS mm."""
    left, posterior, superior = (LPS_TO_RAS[:3, :3] @ np.asarray(ras, dtype=np.float64)).tolist()
    return left, posterior, superior


def in_words(lps: tuple[float, float, float]) -> str:
    """A point in LPS mm in words, from the origin of the scanner's frame: "34 mm left, 12 mm anterior, …"."""
    return ", ".join(f"{abs(value):.0f} mm {word[value < 0]}" for value, word in zip(lps, _WORDS, strict=True))


def toward(direction: np.ndarray) -> str:
    """The letter, of L, R, A, P, S and I, that a direction (3,) in RAS points nearest to."""
    axis = int(np.abs(direction).argmax())
    return _LETTERS[axis][int(direction[axis] < 0)]


def orientation_in_words(geometry: Geometry) -> str:
    """How a grid lies in the patient: where columns, rows and slices are counted to, and how far it is tilted."""
    columns, rows, slices = (toward(axis) for axis in geometry.directions.T)
    cosine = float(np.abs(geometry.directions).max(axis=0).min())
    tilt = float(np.degrees(np.arccos(min(1.0, cosine))))
    plane = {"S": "axial", "I": "axial", "A": "coronal", "P": "coronal"}.get(slices, "sagittal")
    text = f"{plane}; columns to {columns}, rows to {rows}, slices to {slices}"
    return f"{text}; tilted by {tilt:.0f}°" if tilt >= _TILT_DEG else text
