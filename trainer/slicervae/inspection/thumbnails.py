"""A small picture of a volume: its three middle slices."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from SlicerVAELib.core.preprocessing import HounsfieldWindow
from SlicerVAELib.core.volume import Modality, Volume

from ..pictures import axial_view, to_png

_PANEL_INCHES = 1.7
_LETTERS = (("axial", "R", "L"), ("coronal", "R", "L"), ("sagittal", "A", "P"))


def thumbnail(volume: Volume) -> bytes:
    """The middle axial, coronal and sagittal slice as a PNG, to scale, seen as in radiology: the patient's right on the
    left. A projection as it was stored, without sides, of which its grid says nothing. CT in the window of the thorax,
    anything else between the 1st and 99th percentile of what is not zero."""
    if volume.modality is Modality.XRAY:
        return _projection(volume)
    view = axial_view(volume.array, volume.geometry)
    s, r, c = (n // 2 for n in view.shape)
    planes = (view[s], view[::-1, r], view[::-1, :, c])
    per_slice, per_row, per_column = _spacing_of_view(volume)
    aspects = (per_row / per_column, per_slice / per_column, per_slice / per_row)
    low, high = _window(volume)
    figure, axes = plt.subplots(1, 3, figsize=(3 * _PANEL_INCHES, _PANEL_INCHES))
    for axis, plane, aspect, (_, left, right) in zip(axes, planes, aspects, _LETTERS, strict=True):
        axis.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=aspect)
        axis.axis("off")
        for place, letter in ((0.03, left), (0.97, right)):
            axis.text(
                place, 0.5, letter, color="yellow", fontsize=7, ha="center", va="center", transform=axis.transAxes
            )
    figure.subplots_adjust(0, 0, 1, 1, wspace=0.02)
    return to_png(figure)


def _projection(volume: Volume) -> bytes:
    low, high = _window(volume)
    figure, axis = plt.subplots(figsize=(_PANEL_INCHES, _PANEL_INCHES))
    per_column, per_row, _ = volume.geometry.spacing
    axis.imshow(volume.array[0], cmap="gray", vmin=low, vmax=high, aspect=per_row / per_column)
    axis.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    return to_png(figure)


def _spacing_of_view(volume: Volume) -> np.ndarray:
    """Distance of slices, rows and columns of ``axial_view`` in mm: that view of what each axis is counted in."""
    spacing = volume.geometry.spacing
    axes = np.abs(volume.geometry.directions)
    i = int(axes[0].argmax())
    k = int(axes[2].argmax()) if int(axes[2].argmax()) != i else int(axes[1].argmax())
    return spacing[[k, 3 - i - k, i]]


def _window(volume: Volume) -> tuple[float, float]:
    if volume.modality is Modality.CT:
        window = HounsfieldWindow()
        return window.lower, window.upper
    values = volume.array[volume.array != 0]
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values[:: max(1, values.size // 500_000)], (1, 99))
    return (0.0 if low > 0 else float(low)), float(max(high, low + 1e-6))
