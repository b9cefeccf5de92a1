"""Samples in a grid, and those that come nearest to a training image beside it."""

import torch
from matplotlib.figure import Figure

from .style import grid

COLUMNS, ROWS = 8, 4


def draw(samples: torch.Tensor) -> Figure:
    """The first samples of (N, H, W)."""
    shown = samples[: COLUMNS * ROWS]
    return grid([list(row) for row in shown.split(COLUMNS)])


def draw_closest(samples: torch.Tensor, training: torch.Tensor, distance: torch.Tensor) -> Figure:
    """Samples (n, H, W) over the training images nearest to them, with their distances (n,)."""
    titles = [f"{value:.3f}" for value in distance.tolist()]
    return grid([list(samples), list(training)], row_titles=["sample", "nearest\ntraining"], column_titles=titles)
