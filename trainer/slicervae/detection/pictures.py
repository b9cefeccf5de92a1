"""Slices with anomalies and the maps of them, for the report."""

import dataclasses

import matplotlib.pyplot as plt
import numpy as np

from ..pictures import INK, axial_view, to_png
from .cases import Case
from .scores import BASELINES, Answer

MOST_CASES = 6
MOST_MAPS = 8


@dataclasses.dataclass(eq=False)
class Gallery:
    """Collects one slice of each of the first cases, that with the largest part of the anomaly, under the ``names`` of
    the scores beside the baselines."""

    names: list[str]
    pictures: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)

    def show(self, case: Case, answer: Answer, maps: list[np.ndarray]) -> None:
        """Draw the image, the truth and the maps."""
        if len(self.pictures) >= MOST_CASES or not case.truth.any():
            return
        geometry = case.volume.geometry
        truth = axial_view(case.truth, geometry)
        k = int(truth.sum(axis=(1, 2)).argmax())
        named = list(zip([*(score.name for score in BASELINES), *self.names], maps, strict=True))[1 : 1 + MOST_MAPS]
        columns = 3
        rows = -(-(len(named) + 1) // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(3.1 * columns, 3.1 * rows), squeeze=False)
        shown = [("image", answer.image, (0.0, 1.0), "gray"), *((name, map_, None, "inferno") for name, map_ in named)]
        for axis in axes.flat:
            axis.axis("off")
        for axis, (name, array, limits, colours) in zip(axes.flat, shown, strict=False):
            plane = axial_view(array, geometry)[k]
            body = axial_view(case.body, geometry)[k]
            low, high = limits or np.percentile(plane[body] if body.any() else plane, (50, 99.8))
            shown_plane = plane if limits else np.where(body, plane, low)  # what counts is within the body
            axis.imshow(shown_plane, cmap=colours, vmin=low, vmax=max(high, low + 1e-9))
            axis.contour(truth[k], levels=[0.5], colors="lime", linewidths=0.8)
            axis.set_title(name, color=INK, fontsize=9)
        figure.subplots_adjust(0.01, 0.01, 0.99, 0.94, wspace=0.03, hspace=0.12)
        self.pictures.append((f"{case.name}: what is to be found is outlined in green.", to_png(figure)))
