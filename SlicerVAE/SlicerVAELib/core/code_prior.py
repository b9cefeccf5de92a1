"""A learned prior over the codes of a VQ-VAE: which codes stand beside each other in pictures of anatomy.

The codes of an image are drawn in stages: first every eighth or fourth place of the coarsest grid, say, then every
second, then all, then the same on the next grid. Within a stage they come place by place, so that

    p(codes) = Π_stages Π_places p(code | codes of the stage before it, codes of earlier stages),

each factor a gated PixelCNN's. The first stages decide the outline of the whole picture; a single one in reading order
would not know at the top what comes at the bottom. Uniform codes, the prior that a VQ-VAE is trained with, have no
order at all, which is why decoding them gives noise.
"""

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from .code_prior_layers import CoarserCodes, GatedPixelCNN
from .latent import Latent

SMALLEST_SIDE = 8  # of the grid of a stage, in codes


@dataclasses.dataclass(frozen=True)
class CodePriorSettings:
    """``filters`` F and ``layers`` of each stage's network; ``dropout`` is the share of maps left out in training."""

    filters: int = dataclasses.field(default=48, metadata={"min": 4, "max": 1024})
    layers: int = dataclasses.field(default=6, metadata={"min": 1, "max": 64})
    dropout: float = dataclasses.field(default=0.2, metadata={"min": 0.0, "max": 0.9})


class Stage(nn.Module):
    """Every ``stride``-th row and column of the codes of a ``level``, given those of every second of these, where there
    is such a stage before, and of all coarser levels."""

    def __init__(self, latent: Latent, level: int, stride: int, is_first: bool, settings: CodePriorSettings) -> None:
        super().__init__()
        self.level, self.stride, self.is_first = level, stride, is_first
        rows, columns = latent.grids[level]
        self.grid = (rows // stride, columns // stride)
        codes, filters = latent.codebook_size, settings.filters
        self.network = GatedPixelCNN(codes, self.grid, filters, settings.layers, settings.dropout)
        sources = level + (not is_first)
        self.coarser = CoarserCodes(codes, sources, filters) if sources else None

    def codes_of(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """The stage's codes (N, H, W) of those of all levels."""
        return levels[self.level][:, :: self.stride, :: self.stride]

    def known(self, levels: Sequence[torch.Tensor]) -> torch.Tensor | None:
        """What earlier stages tell of each place, (N, F, H, W), from the codes of all levels up to this one."""
        if self.coarser is None:
            return None
        sources = list(levels[: self.level])
        if not self.is_first:
            sources.append(self.codes_of(levels)[:, ::2, ::2])
        return self.coarser(sources, self.grid)

    def given(self) -> torch.Tensor:
        """Boolean (H, W): the places whose codes an earlier stage has drawn."""
        given = torch.zeros(self.grid, dtype=torch.bool)
        if not self.is_first:
            given[::2, ::2] = True
        return given

    @property
    def places(self) -> int:
        """How many codes it draws."""
        return int((~self.given()).sum())

    def nats(self, levels: Sequence[torch.Tensor]) -> torch.Tensor:
        """−ln p of each code in nats, (N, H, W), 0 where it was given."""
        codes = self.codes_of(levels)
        nats = functional.cross_entropy(self.network(codes, self.known(levels)), codes, reduction="none")
        return nats.masked_fill(self.given().to(nats.device), 0.0)


class CodePrior(nn.Module):
    """The prior over codes on ``latent.grids``."""

    def __init__(self, latent: Latent, settings: CodePriorSettings) -> None:
        super().__init__()
        self.settings, self.grids = settings, latent.grids
        self.stages = nn.ModuleList(
            Stage(latent, level, stride, index == 0, settings)
            for level, grid in enumerate(latent.grids)
            for index, stride in enumerate(_strides(*grid))
        )

    @torch.no_grad()
    def surprise(self, indices: torch.Tensor, *finer: torch.Tensor) -> torch.Tensor:
        """How unexpected each code is: −ln p in nats per code, (N, H, W), on the finest grid.

        ``indices`` (N, H, W) are the codes; of several levels the coarsest comes first and the ``finer`` ones follow.
        A coarser level's nats are shared equally among the finer places that it covers, so that the sum over the grid
        is always −ln p of all codes of the image.
        """
        levels = [indices, *finer]
        rows, columns = self.grids[-1]
        total = torch.zeros(len(indices), rows, columns, device=indices.device)
        for stage in self.stages:
            assert isinstance(stage, Stage)
            of_level = torch.zeros(levels[stage.level].shape, device=indices.device)
            of_level[:, :: stage.stride, :: stage.stride] = stage.nats(levels)
            share = of_level[0].numel() / total[0].numel()
            total += share * functional.interpolate(of_level[:, None], (rows, columns), mode="nearest")[:, 0]
        return total


def _strides(rows: int, columns: int) -> list[int]:
    """…, 4, 2, 1: those that leave a grid of ``SMALLEST_SIDE`` or more."""
    strides = [1]
    while all(side % (2 * strides[0]) == 0 and side // (2 * strides[0]) >= SMALLEST_SIDE for side in (rows, columns)):
        strides.insert(0, 2 * strides[0])
    return strides
