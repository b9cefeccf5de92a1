"""Figures for reports and folders, as PNG."""

import io
import math
from collections.abc import Mapping, Sequence

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from SlicerVAELib.core.dvh import Curve
from SlicerVAELib.core.volume import Geometry

INK, GRID = "#1d2733", "#d7dde4"


def to_png(figure: Figure) -> bytes:
    """The figure as PNG; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight", facecolor="white")
    plt.close(figure)
    return buffer.getvalue()


def axial_view(array: np.ndarray, geometry: Geometry) -> np.ndarray:
    """A view (slice, row, column) of an array (K, J, I): slices to the head, rows to the back, columns to the left.

    Axes are those nearest to the patient's; an oblique image is shown as it was acquired.
    """
    axes = np.abs(geometry.directions)
    i = int(axes[0].argmax())
    k = int(axes[2].argmax()) if int(axes[2].argmax()) != i else int(axes[1].argmax())
    j = 3 - i - k
    view = array.transpose(2 - k, 2 - j, 2 - i)
    directions = geometry.directions
    flips = (directions[2, k] < 0, directions[1, j] > 0, directions[0, i] > 0)
    return view[tuple(slice(None, None, -1) if flip else slice(None) for flip in flips)]


def contact_sheet(images: np.ndarray, window: tuple[float, float], title: str, *, columns: int = 8) -> bytes:
    """Images (N, H, W) side by side, from ``window[0]`` black to ``window[1]`` white."""
    columns = min(columns, len(images))
    rows = math.ceil(len(images) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.4 * columns, 1.4 * rows + 0.3), squeeze=False)
    for index, axis in enumerate(axes.flat):
        axis.axis("off")
        if index < len(images):
            axis.imshow(images[index], cmap="gray", vmin=window[0], vmax=window[1])
    figure.suptitle(title, color=INK, fontsize=10)
    figure.subplots_adjust(wspace=0.03, hspace=0.03)
    return to_png(figure)


def maps_side_by_side(
    arrays: Mapping[str, np.ndarray],
    rows: Sequence[int],
    *,
    window: tuple[float, float],
    unit: str,
    anomaly_unit: str,
    truth: np.ndarray | None,
    row_titles: Sequence[str],
) -> bytes:
    """Input, reconstruction, residual and anomaly map of some slices, each with its scale.

    ``arrays`` holds "input", "reconstruction", "residual" and "anomaly", (K, J, I) with rows running to the patient's
    back; −1 in the anomaly map is shown as not seen. ``truth`` is outlined where given.
    """
    reach = float(np.percentile(np.abs(arrays["residual"][list(rows)]), 99.5)) or 1.0
    highest = float(np.percentile(arrays["anomaly"][list(rows)], 99.8)) or 1.0
    seen = np.ma.masked_less(arrays["anomaly"], 0)
    gray = {"cmap": "gray", "vmin": window[0], "vmax": window[1]}
    columns = [
        ("Input", arrays["input"], gray, unit),
        ("Reconstruction", arrays["reconstruction"], gray, unit),
        (
            "Residual (input − reconstruction)",
            arrays["residual"],
            {"cmap": "RdBu_r", "vmin": -reach, "vmax": reach},
            unit,
        ),
        ("Anomaly map", seen, {"cmap": "inferno", "vmin": 0, "vmax": highest}, anomaly_unit),
    ]
    figure, axes = plt.subplots(len(rows), 4, figsize=(13, 3.05 * len(rows) + 0.6), squeeze=False, layout="constrained")
    for column, (title, array, style, label) in enumerate(columns):
        for line, k in enumerate(rows):
            axis = axes[line][column]
            shown = axis.imshow(array[k], **style)
            axis.set_xticks([])
            axis.set_yticks([])
            if line == 0:
                axis.set_title(title, color=INK, fontsize=10)
            if column == 0:
                axis.set_ylabel(row_titles[line], color=INK, fontsize=9)
                axis.text(0.02, 0.5, "R", color="yellow", transform=axis.transAxes, fontsize=8, va="center")
                axis.text(0.95, 0.5, "L", color="yellow", transform=axis.transAxes, fontsize=8, va="center")
            if truth is not None and truth[k].any():
                axis.contour(truth[k], levels=[0.5], colors="lime", linewidths=0.9)
        figure.colorbar(shown, ax=axes[:, column], location="bottom", shrink=0.8, label=label or "arbitrary units")
    return to_png(figure)


def learning_curve(rows: Sequence[Mapping[str, float]]) -> bytes:
    """Mean squared error and KL divergence over the epochs, training and validation."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axis, name, label in (
        (left, "mse", "mean squared error (intensities 0…1)"),
        (right, "kl", "KL divergence (nats per slice)"),
    ):
        axis.plot(epochs, [row[f"train_{name}"] for row in rows], color="#2b6cb0", label="training")
        if f"validation_{name}" in rows[-1]:
            axis.plot(epochs, [row[f"validation_{name}"] for row in rows], color="#c05621", label="validation")
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(color=GRID)
        axis.legend(frameon=False)
        axis.set_yscale("log")
    return to_png(figure)


def dvh_curves(curves: Mapping[str, Curve]) -> bytes:
    """Cumulative dose–volume histograms: the share of each structure that receives at least a dose."""
    figure, axis = plt.subplots(figsize=(8, 4.5))
    colours = [*(plt.get_cmap("tab10")(n) for n in range(10)), *(plt.get_cmap("Set2")(n) for n in range(8))]
    for index, (name, curve) in enumerate(curves.items()):
        share = 100 * curve.volume_cm3 / curve.volume_cm3[0]
        axis.plot(curve.dose_gy, share, label=name, color=colours[index % len(colours)], linewidth=1.6)
    axis.set(xlabel="dose (Gy)", ylabel="volume (%)", xlim=(0, None), ylim=(0, 102))
    axis.grid(color=GRID)
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    return to_png(figure)
