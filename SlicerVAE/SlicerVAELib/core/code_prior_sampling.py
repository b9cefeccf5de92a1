"""Drawing codes from a learned prior: place by place, with everything kept that the next place needs again.

Run anew for each of 32×32 places, the networks would compute every picture a thousand times. Here the vertical stack is
computed once a row and the horizontal one once a place, which gives the same logits.

Numbers are double here: a picture drawn alone and in company differ by rounding, and in single precision that would
choose another code, and from there on another picture, once in some thousand pictures.
"""

import copy

import torch
from torch.nn import functional

from .code_prior import CodePrior, Stage
from .code_prior_layers import GatedLayer, gate
from .progress import Cancel, Meter

TOGETHER = 32  # pictures drawn side by side


def draw_codes(
    prior: CodePrior, count: int, generator: torch.Generator, temperature: float, meter: Meter, cancel: Cancel
) -> list[torch.Tensor]:
    """Codes (count, H, W) of every level, the coarsest first.

    Draw n depends on the generator's beginning and n alone. Logits are divided by ``temperature``; at 0 the most
    probable code is taken everywhere. ``meter`` counts pictures. Raises Cancelled.
    """
    places = sum(rows * columns for rows, columns in prior.grids)
    # A row a draw, so that asking for more keeps the first ones.
    noise = torch.stack([torch.rand(places, generator=generator, dtype=torch.float64) for _ in range(count)])
    precise = copy.deepcopy(prior).to("cpu", torch.float64).eval()
    parts = []
    with torch.no_grad():
        for part in noise.split(TOGETHER):
            parts.append(_draw(precise, part, temperature, cancel))
            meter.advance(len(part))
    return [torch.cat(level) for level in zip(*parts, strict=True)]


def _draw(prior: CodePrior, noise: torch.Tensor, temperature: float, cancel: Cancel) -> list[torch.Tensor]:
    sizes = [rows * columns for rows, columns in prior.grids]
    uniform = [part.unflatten(1, grid) for part, grid in zip(noise.split(sizes, dim=1), prior.grids, strict=True)]
    levels = [torch.zeros(part.shape, dtype=torch.int64) for part in uniform]
    for stage in prior.stages:
        assert isinstance(stage, Stage)
        drawing = _Drawing(stage, levels)
        drawing.run(stage.codes_of(uniform), temperature, cancel)
        stage.codes_of(levels)[:] = drawing.codes
    return levels


class _Drawing:
    """Pictures' codes of one stage, as far as they are drawn."""

    def __init__(self, stage: Stage, levels: list[torch.Tensor]) -> None:
        self.network, self.given = stage.network, stage.given()
        self.codes = stage.codes_of(levels).clone()
        known = stage.known(levels)
        places = self.network.places.expand(len(self.codes), -1, -1, -1)
        self.context = places if known is None else places + known
        self.layers = [
            _Layer(layer, len(self.codes), stage.grid) for layer in self.network.layers if isinstance(layer, GatedLayer)
        ]

    def run(self, uniform: torch.Tensor, temperature: float, cancel: Cancel) -> None:
        """Draw ``codes`` (N, H, W) by numbers (N, H, W) that are uniform in [0, 1)."""
        rows, columns = self.given.shape
        for row in range(rows):
            cancel.check()
            self._begin_row(row)
            for column in range(columns):
                features = self._features(row, column)
                if not self.given[row, column]:
                    logits = self.network.head(features[:, :, None, None])[:, :, 0, 0]
                    self.codes[:, row, column] = _choose(logits, uniform[:, row, column], temperature)

    def _begin_row(self, row: int) -> None:
        """The vertical stack's maps of a row, from the rows above."""
        maps = self.network.places[:, :, row].expand(len(self.codes), -1, -1)
        if row:
            maps = maps + self.network.embedding(self.codes[:, row - 1]).movedim(-1, 1)
        for layer in self.layers:
            maps = layer.begin_row(row, maps, self.context[:, :, row])

    def _features(self, row: int, column: int) -> torch.Tensor:
        """The horizontal stack's features (N, F) of a place."""
        features = self.context[:, :, row, column]
        if column:
            features = features + self.network.embedding(self.codes[:, row, column - 1])
        for layer in self.layers:
            features = layer.step(column, features)
        return features


class _Layer:
    """A GatedLayer with what it saw of the rows above and of this row."""

    def __init__(self, layer: GatedLayer, count: int, grid: tuple[int, int]) -> None:
        self.layer = layer
        filters = layer.output.in_channels
        rows, columns = grid
        self.above = torch.zeros(rows, count, filters, columns, dtype=torch.float64)
        self.left = torch.zeros(columns, count, filters, dtype=torch.float64)
        self.given: list[torch.Tensor] = []  # by column, what the vertical stack and the context tell, (N, 2F)
        self.nothing = torch.zeros(count, filters, dtype=torch.float64)
        self.horizontal = layer.horizontal.weight[:, :, 0].movedim(2, 1).flatten(1)  # (2F, left and own features)
        self.output = layer.output.weight[:, :, 0, 0]

    def begin_row(self, row: int, maps: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Take a row's vertical maps (N, F, W) and return those of the next layer."""
        layer, reach = self.layer, self.layer.dilation
        self.above[row] = maps
        higher = self.above[row - reach] if row >= reach else torch.zeros_like(maps)
        # The two rows lie side by side here, so that there is no dilation between them.
        rows = functional.pad(torch.stack([higher, maps], dim=2), (reach, reach))
        features = functional.conv2d(rows, layer.vertical.weight, layer.vertical.bias, dilation=(1, reach))
        given = layer.across(features)[:, :, 0] + layer.context(context[:, :, None])[:, :, 0]
        assert layer.horizontal.bias is not None
        self.given = list(given.movedim(2, 0) + layer.horizontal.bias)
        return maps + gate(features)[:, :, 0]

    def step(self, column: int, features: torch.Tensor) -> torch.Tensor:
        """Take a place's horizontal features (N, F) and return those of the next layer."""
        reach = self.layer.dilation
        self.left[column] = features
        left = self.left[column - reach] if column >= reach else self.nothing
        both = torch.cat([left, features], dim=1)
        gated = gate(torch.addmm(self.given[column], both, self.horizontal.T))
        return features + functional.linear(gated, self.output, self.layer.output.bias)


def _choose(logits: torch.Tensor, uniform: torch.Tensor, temperature: float) -> torch.Tensor:
    """Codes (N,) at the ``uniform`` (N,) quantiles of the distributions of logits (N, K)."""
    if temperature == 0:
        return logits.argmax(dim=1)
    cumulative = torch.softmax(logits / temperature, dim=1).cumsum(dim=1)
    reached = torch.searchsorted(cumulative, (uniform * cumulative[:, -1])[:, None], right=True)[:, 0]
    return reached.clamp_max(logits.shape[1] - 1)
