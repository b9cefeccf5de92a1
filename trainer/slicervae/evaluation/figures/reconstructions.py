"""Originals over their reconstructions; the same originals over the reconstructions of several models."""

from collections.abc import Mapping, Sequence

import torch
from matplotlib.figure import Figure

from .style import grid


def draw(originals: torch.Tensor, reconstructions: Mapping[str, torch.Tensor], column_titles: Sequence[str]) -> Figure:
    """A row of originals (n, H, W), and one of reconstructions for each name."""
    rows = [list(originals), *(list(pictures) for pictures in reconstructions.values())]
    return grid(rows, row_titles=["original", *reconstructions], column_titles=column_titles)
