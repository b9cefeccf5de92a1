"""A gated PixelCNN over a grid of codes (van den Oord et al. 2016), causal in reading order.

Two stacks of convolutions run side by side. The vertical one sees the rows above, whole; the horizontal one the places
to the left in the same row, and takes in what the vertical one found. Together they see all that was read before and
nothing else. Convolutions are dilated by 1, 2, 4, 8 and so on again, so that few layers reach across the grid.
"""

import torch
from torch import nn
from torch.nn import functional

COLUMNS = 3  # of the vertical stack's convolutions, which are two rows high


class GatedLayer(nn.Module):
    """One layer of both stacks: vertical and horizontal maps (N, F, H, W) to the same."""

    def __init__(self, filters: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.vertical = nn.Conv2d(filters, 2 * filters, (2, COLUMNS), dilation=dilation)
        self.horizontal = nn.Conv2d(filters, 2 * filters, (1, 2), dilation=(1, dilation))
        self.across = nn.Conv2d(2 * filters, 2 * filters, 1)
        self.context = nn.Conv2d(filters, 2 * filters, 1, bias=False)
        self.output = nn.Conv2d(filters, filters, 1)
        self.dropout = nn.Dropout2d(dropout)

    def forward(
        self, vertical: torch.Tensor, horizontal: torch.Tensor, context: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``context`` (N or 1, F, H, W) is what is known of every place beforehand."""
        reach = self.dilation
        features = self.vertical(functional.pad(vertical, (reach, reach, reach, 0)))
        left = self.horizontal(functional.pad(horizontal, (reach, 0, 0, 0)))
        gated = gate(left + self.across(features) + self.context(context))
        return vertical + gate(features), horizontal + self.dropout(self.output(gated))


class GatedPixelCNN(nn.Module):
    """Logits of the code at every place of a grid, given those before it and a context."""

    def __init__(self, codes: int, grid: tuple[int, int], filters: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.grid = grid
        self.embedding = nn.Embedding(codes, filters)
        self.places = nn.Parameter(0.1 * torch.randn(1, filters, *grid))
        self.layers = nn.ModuleList(
            GatedLayer(filters, dilation, dropout) for dilation in _dilations(layers, max(grid))
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(filters, filters, 1), nn.ReLU(), nn.Conv2d(filters, codes, 1))

    def forward(self, indices: torch.Tensor, known: torch.Tensor | None = None) -> torch.Tensor:
        """Logits (N, K, H, W) for codes (N, H, W); ``known`` (N, F, H, W) is added to the context."""
        embedded = self.embedding(indices).movedim(-1, 1)
        context = self.places if known is None else self.places + known
        # Shifted by a row and by a place, the stacks' inputs hold nothing that is not read yet.
        vertical = functional.pad(embedded, (0, 0, 1, 0))[:, :, :-1] + self.places
        horizontal = functional.pad(embedded, (1, 0, 0, 0))[:, :, :, :-1] + context
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal, context)
        return self.head(horizontal)


class CoarserCodes(nn.Module):
    """What codes that are known already, on coarser grids, tell of each place of a finer one."""

    def __init__(self, codes: int, sources: int, filters: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(codes, filters) for _ in range(sources))
        self.mix = nn.Sequential(
            nn.Conv2d(sources * filters, filters, 3, padding=1), nn.ReLU(), nn.Conv2d(filters, filters, 3, padding=1)
        )

    def forward(self, coarser: list[torch.Tensor], grid: tuple[int, int]) -> torch.Tensor:
        """Features (N, F, *grid) of the codes (N, H, W) of each source."""
        maps = [
            functional.interpolate(embedding(indices).movedim(-1, 1), grid, mode="nearest")
            for embedding, indices in zip(self.embeddings, coarser, strict=True)
        ]
        return self.mix(torch.cat(maps, dim=1))


def gate(features: torch.Tensor) -> torch.Tensor:
    """tanh of the first half of the channels times the logistic function of the second."""
    first, second = features.chunk(2, dim=1)
    return torch.tanh(first) * torch.sigmoid(second)


def _dilations(layers: int, side: int) -> list[int]:
    """1, 2, 4, 8, 1, 2, …, none as large as the grid's side."""
    cycle = [dilation for dilation in (1, 2, 4, 8) if dilation < side] or [1]
    return [cycle[index % len(cycle)] for index in range(layers)]
