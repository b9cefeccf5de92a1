"""A codebook: the vectors that codes stand for, and the nearest one to each vector of an encoder.

How a codebook is learned is the objective's matter (k-means start, moving average, restart of dead codes); here it is
looked up.
"""

import abc
from collections.abc import Sequence

import torch
from torch import nn

from ..encoding import Codes
from ..latent import Latent
from .interface import Network

ROWS_AT_ONCE = 8192  # K distances to each are held in memory while the nearest is looked for


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
        # ‖z − e‖² = ‖z‖² − 2 z·e + ‖e‖², of which the first term is the same for every code. Half precision would
        # take near codes for one another.
        with torch.no_grad(), torch.autocast(rows.device.type, enabled=False):
            vectors = self.vectors.float()
            norms = vectors.square().sum(dim=1)
            parts = rows.float().split(ROWS_AT_ONCE)
            return torch.cat([torch.addmm(norms, part, vectors.T, alpha=-2).argmin(dim=1) for part in parts])

    def look_up(self, indices: torch.Tensor) -> torch.Tensor:
        """Vectors (N, D, *grid) of codes (N, *grid)."""
        return self.vectors[indices].movedim(-1, 1)


class CodeNetwork(Network):
    """A network whose encoder gives codes: ``encode`` returns Codes, or CodeLevels where there are several codebooks.

    The codebooks stand beside ``encoder`` and ``decoder``, in whose numbers of weights they don't count.
    """

    @property
    @abc.abstractmethod
    def codebooks(self) -> list[Codebook]:
        """Its codebooks, the coarsest first, in the order of ``latent.grids`` and of the levels of an encoding."""

    def draw(self, generator: torch.Generator, temperature: float = 1.0) -> torch.Tensor:  # noqa: ARG002
        """The vectors of codes drawn uniformly and independently, the prior of a VQ-VAE, (*latent.shape), on the CPU.

        There is no temperature to a uniform distribution.
        """
        drawn = [
            torch.randint(codebook.size, (1, *grid), generator=generator)
            for codebook, grid in zip(self.codebooks, self.latent.grids, strict=True)
        ]
        return self.vectors_of(drawn)[0]

    def vectors_of(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """The vectors (N, *latent.shape) of the codes (N, *grid) of every level, on the CPU."""
        looked_up = [
            codebook.vectors.detach().cpu()[indices].movedim(-1, 1).flatten(1)
            for codebook, indices in zip(self.codebooks, levels, strict=True)
        ]
        return torch.cat(looked_up, dim=1).reshape(-1, *self.latent.shape)


class OneCodebookNetwork(CodeNetwork):
    """A network with a single ``codebook``, which the encoder's vectors go to."""

    codebook: Codebook
    _latent: Latent

    @property
    def latent(self) -> Latent:
        """A square of codes."""
        return self._latent

    @property
    def codebooks(self) -> list[Codebook]:
        """The only one."""
        return [self.codebook]

    def encode(self, images: torch.Tensor) -> Codes:
        """Codes of the images (N, C, H, W)."""
        return self.codebook(self.encoder(images))


def rows_of(vectors: torch.Tensor) -> torch.Tensor:
    """(N, D, *grid) as rows (N·grid, D)."""
    return vectors.movedim(1, -1).reshape(-1, vectors.shape[1])
