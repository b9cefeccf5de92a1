"""How often healthy patients reach a value, which makes of a map's values scores that are standard normal in them.

A residual is no normal variable: at edges and vessels it has tails so heavy that six standard deviations are common in
one tissue and never seen in another. A score tells how rare a value is in its own tissue, so that tissues compare.
"""

import dataclasses
from statistics import NormalDist

import numpy as np
import torch

RARITIES = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 5e-4, 2e-4, 1e-4)  # shares of the pixels, on either side
LARGEST_SCORE = 40.0
_UPPER = [-NormalDist().inv_cdf(rarity) for rarity in RARITIES]
SCORES = np.array([-LARGEST_SCORE, *(-score for score in reversed(_UPPER)), 0.0, *_UPPER, LARGEST_SCORE])
_FARTHEST = 1e6


@dataclasses.dataclass(frozen=True, eq=False)
class Tails:
    """``knots`` (G, K), float64, rising: of each of G groups of pixels the values that have the normal scores
    ``SCORES`` (K,). Between knots a score is interpolated; beyond the outermost it is ±40."""

    knots: np.ndarray

    def __post_init__(self) -> None:
        if self.knots.ndim != 2 or self.knots.shape[1] != len(SCORES) or self.knots.dtype != np.float64:
            raise ValueError("the knots of the tails are not as many as there are scores")
        if not (np.diff(self.knots, axis=1) > 0).all() or not (abs(self.knots) < _FARTHEST).all():
            raise ValueError("the knots of the tails do not rise")

    def normal_scores(self, values: torch.Tensor, groups: torch.Tensor) -> torch.Tensor:
        """Φ⁻¹ of the share of a group's healthy pixels that lie below a value, for each of ``values`` (…,) of the
        ``groups`` (…,), int64; float32, on their device."""
        # One search for all groups: each has a stretch of a line for itself, which double precision resolves.
        knots = torch.from_numpy(self.knots).to(values.device)
        count = knots.shape[1]
        offsets = torch.arange(len(knots), device=values.device, dtype=torch.float64) * (2 * _FARTHEST)
        line = (knots + offsets[:, None]).flatten()
        found = torch.searchsorted(line, values.clamp(-_FARTHEST, _FARTHEST).double() + offsets[groups])
        upper = (found - groups * count).clamp_(1, count - 1)
        scores = torch.from_numpy(SCORES).to(values.device)
        low, high = (knots.flatten()[groups * count + end] for end in (upper - 1, upper))
        share = ((values - low) / (high - low)).clamp_(0, 1)
        return torch.lerp(scores[upper - 1], scores[upper], share).float()
