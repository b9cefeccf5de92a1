"""What all figures have in common."""

import dataclasses
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...pictures import GRID, INK

CYCLE = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#975a16", "#2c7a7b", "#4a5568")
SIDE_INCHES = 1.15
GAP = 0.03  # between pictures, of their side
# SVG that is the same for the same figure, with letters that can be searched and edited.
_SETTINGS = {"svg.hashsalt": "slicervae", "svg.fonttype": "none", "font.size": 9, "axes.edgecolor": INK}


def styled() -> AbstractContextManager[None]:
    """What figures are made and written under."""
    return plt.rc_context(_SETTINGS)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, eq=False)
class Signed:
    """A picture (H, W) of values above and below zero: ``reach`` is shown in full red, its negative in full blue."""

    values: torch.Tensor
    reach: float


Picture = torch.Tensor | Signed | None


def grid(
    pictures: Sequence[Sequence[Picture]],
    *,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
) -> Figure:
    """Rows of pictures: (H, W) in [0, 1] in grey, signed ones in colour, an empty place for None.

    They make one image, of the largest one's resolution: hundreds of axes would take a minute to lay out.
    """
    side = max(len(_values(picture)) for row in pictures for picture in row if picture is not None)
    pitch = side + max(1, round(GAP * side))
    rows, columns = len(pictures), max(len(row) for row in pictures)
    mosaic = np.ones((rows * pitch - (pitch - side), columns * pitch - (pitch - side), 3), dtype=np.float32)
    for line, row in enumerate(pictures):
        for column, picture in enumerate(row):
            if picture is not None:
                place = (slice(line * pitch, line * pitch + side), slice(column * pitch, column * pitch + side))
                mosaic[place] = _coloured(picture, side)
    with styled():
        figure, axis = plt.subplots(figsize=(SIDE_INCHES * columns, SIDE_INCHES * rows))
    axis.imshow(mosaic, interpolation="none")
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0, labelsize=8, labelcolor=INK, labeltop=True, labelbottom=False)
    middles = [side / 2 + n * pitch - 0.5 for n in range(max(rows, columns))]
    axis.set_xticks(middles[: len(column_titles)], column_titles)
    axis.set_yticks(middles[: len(row_titles)], row_titles)
    return figure


def charts(count: int, *, width: float = 4.6, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A row of ``count`` empty charts."""
    with styled():
        figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, layout="constrained")
    for axis in axes[0]:
        axis.grid(color=GRID, linewidth=0.7)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes[0])


def to_bytes(figure: Figure) -> tuple[bytes, bytes]:
    """The figure as PNG and as SVG; it is closed."""
    png, svg = io.BytesIO(), io.BytesIO()
    with styled():
        common = {"bbox_inches": "tight", "facecolor": "white"}
        figure.savefig(png, format="png", dpi=150, **common)  # type: ignore[arg-type]
        figure.savefig(svg, format="svg", dpi=150, metadata={"Date": None}, **common)  # type: ignore[arg-type]
    plt.close(figure)
    return png.getvalue(), svg.getvalue()


def _values(picture: torch.Tensor | Signed) -> torch.Tensor:
    return picture.values if isinstance(picture, Signed) else picture


def _coloured(picture: torch.Tensor | Signed, side: int) -> np.ndarray:
    """RGB (side, side, 3) in [0, 1]."""
    values = torch.nn.functional.interpolate(_values(picture)[None, None].float(), (side, side))[0, 0].numpy()
    if isinstance(picture, Signed):
        return matplotlib.colormaps["RdBu_r"](values / (2 * picture.reach) + 0.5)[..., :3]
    return np.repeat(values.clip(0, 1)[..., None], 3, axis=2)
