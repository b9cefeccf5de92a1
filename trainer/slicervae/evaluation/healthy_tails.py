"""Fitting how often healthy patients reach a value, tissue by tissue."""

import numpy as np
from scipy.special import ndtr

from SlicerVAELib.core.healthy_tails import SCORES, Tails

PIXELS_BEYOND = 5  # fewer are no measure of how rare something is
FARTHEST = 1e4  # standard deviations
_SLOPE_OVER = 3  # knots, by which a tail is continued
_STEEPEST, _FLATTEST = 1.0, 1e3  # standard deviations a score
_CLOSEST = 1e-4  # that knots may be to each other, in standard deviations


def fit_tails(values: np.ndarray, groups: np.ndarray, count: int) -> Tails:
    """The values that have the normal scores ``SCORES``, of each of ``count`` groups, from standardised values (M,) and
    the group of each.

    Where too few pixels lie beyond a quantile to tell it, a tail goes on as before, though never more steeply than a
    normal one, so that what was never seen does not seem rarer than it can be known to be. A group of too few pixels
    has the tails of all, and those of a normal variable where these are too few as well.
    """
    values = np.clip(values, -FARTHEST, FARTHEST)
    of_all = _knots(np.sort(values))
    common = SCORES if of_all is None else of_all
    order = np.argsort(groups, kind="stable")
    begins = np.cumsum(np.bincount(groups, minlength=count))[:-1]
    own = [_knots(np.sort(part)) for part in np.split(values[order], begins)]
    return Tails(np.stack([common if knots is None else knots for knots in own]))


def _knots(ordered: np.ndarray) -> np.ndarray | None:
    """Values with the normal scores ``SCORES`` among ``ordered`` ones; None for too few."""
    shares = ndtr(SCORES)
    known = np.flatnonzero(np.minimum(shares, 1 - shares) * len(ordered) >= PIXELS_BEYOND)
    if len(known) <= 1:
        return None
    first, last = known[0], known[-1]
    knots = np.empty(len(SCORES))
    knots[first : last + 1] = np.quantile(ordered, shares[first : last + 1])
    for end, inner, beyond in (
        (last, max(first, last - _SLOPE_OVER), slice(last + 1, None)),
        (first, min(last, first + _SLOPE_OVER), slice(0, first)),
    ):
        slope = (knots[end] - knots[inner]) / (SCORES[end] - SCORES[inner])
        knots[beyond] = knots[end] + np.clip(slope, _STEEPEST, _FLATTEST) * (SCORES[beyond] - SCORES[end])
    return knots + _CLOSEST * np.arange(len(knots))  # equal values, as in air, would not rise
