"""Pictures along ways through the latent space: traversals, a plane, interpolations."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import torch
from matplotlib.figure import Figure

from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel

from .decoding import decoded
from .style import Signed, grid

TRAVERSAL = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
PLANE_SIDE = 12
STEPS = 9


def draw_traversals(placement: Placement, start: torch.Tensor, latents: Sequence[int], cancel: Cancel) -> Figure:
    """A row for each of some latents: it goes from −1 to 1 while the others stay as in ``start`` (J,).

    The last column is the last picture minus the first, in one scale for all rows.
    """
    ways = start.repeat(len(latents), len(TRAVERSAL), 1)
    for row, latent in enumerate(latents):
        ways[row, :, latent] = torch.tensor(TRAVERSAL)
    pictures = decoded(placement, ways.flatten(0, 1), cancel).unflatten(0, ways.shape[:2])
    changes = pictures[:, -1] - pictures[:, 0]
    reach = max(float(changes.abs().max()), 1e-6)
    rows = [[*row, Signed(change, reach)] for row, change in zip(pictures, changes, strict=True)]
    titles = [*(_signed(value) for value in TRAVERSAL), f"change\n(red: +{reach:.2g})"]
    return grid(rows, row_titles=[f"z{n + 1}" for n in latents], column_titles=titles)


def draw_plane(placement: Placement, start: torch.Tensor, first: int, second: int, cancel: Cancel) -> Figure:
    """The plane of two latents where the prior has its mass, the others as in ``start`` (J,).

    Rows and columns are the values (i + ½)/n of the prior's cumulative distribution, the first latent to the right and
    the second one up.
    """
    latent = placement.network.latent
    normal = NormalDist(0.0, math.sqrt(latent.prior_variance))
    values = torch.tensor([normal.inv_cdf((i + 0.5) / PLANE_SIDE) for i in range(PLANE_SIDE)])
    points = start.repeat(PLANE_SIDE, PLANE_SIDE, 1)
    points[:, :, first] = values
    points[:, :, second] = values.flip(0)[:, None]
    pictures = decoded(placement, points.flatten(0, 1), cancel).unflatten(0, points.shape[:2])
    figure = grid([list(row) for row in pictures])
    (axis,) = figure.axes
    axis.set_xlabel(f"z{first + 1} from {_signed(float(values[0]))} to {_signed(float(values[-1]))}", fontsize=18)
    axis.set_ylabel(f"z{second + 1} from {_signed(float(values[0]))} to {_signed(float(values[-1]))}", fontsize=18)
    return figure


def draw_interpolations(
    placement: Placement, ends: Sequence[tuple[str, torch.Tensor, torch.Tensor]], cancel: Cancel
) -> Figure:
    """A row from one end (J,) to another (J,) in a straight line, for each pair of a name and two ends."""
    shares = torch.linspace(0, 1, STEPS)[:, None]
    ways = torch.stack([torch.lerp(first, second, shares) for _, first, second in ends])
    pictures = decoded(placement, ways.flatten(0, 1), cancel).unflatten(0, ways.shape[:2])
    titles = [f"{share:.0%}" for share in shares[:, 0].tolist()]
    return grid([list(row) for row in pictures], row_titles=[name for name, _, _ in ends], column_titles=titles)


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−") if value else "0"
