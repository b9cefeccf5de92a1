"""A codebook: the vectors that codes stand for, and the nearest one to each vector of an encoder.

How a codebook is learned is the objective's matter (k-means start, moving average, restart of dead codes); here it is
looked up.
"""

import torch
from torch import nn

from ..encoding import Codes


class Codebook(nn.Module):
    """K vectors of D numbers, ``vectors`` (K, D)."""

    def __init__(self, size: int, dimension: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(size, dimension) / dimension**0.5)

    @property
    def size(self) -> int:
        """K."""
        return len(self.vectors)

    @property
    def dimension(self) -> int:
        """D."""
        return self.vectors.shape[1]

    def forward(self, continuous: torch.Tensor) -> Codes:
        """Quantise vectors (N, D, *grid) to the nearest codes by Euclidean distance, in single precision."""
        continuous = continuous.float()
        indices = self.nearest(rows_of(continuous)).reshape(len(continuous), *continuous.shape[2:])
        return Codes(continuous, self.look_up(indices), indices)

    def nearest(self, rows: torch.Tensor) -> torch.Tensor:
        """Index of the nearest code to each row of (M, D), (M,)."""
        # ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖², of which the first term is the same for every code.
        vectors = self.vectors.detach()
        return (vectors.square().sum(dim=1) - 2 * rows.detach() @ vectors.T).argmin(dim=1)

    def look_up(self, indices: torch.Tensor) -> torch.Tensor:
        """Vectors (N, D, *grid) of codes (N, *grid)."""
        return self.vectors[indices].movedim(-1, 1)


def rows_of(vectors: torch.Tensor) -> torch.Tensor:
    """(N, D, *grid) as rows (N·grid, D)."""
    return vectors.movedim(1, -1).reshape(-1, vectors.shape[1])
