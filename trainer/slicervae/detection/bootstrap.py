"""Intervals from a bootstrap over patients: voxels of one patient are no independent observations."""

import dataclasses
from collections.abc import Callable

import numpy as np

DRAWS = 1000
_AT_ONCE = 50


@dataclasses.dataclass(frozen=True)
class Interval:
    """The middle 95 % of the draws; NaN where fewer than two patients were there to draw from."""

    low: float
    high: float


def patient_weights(patients: int, seed: int, draws: int = DRAWS) -> np.ndarray:
    """How often each patient is drawn, (draws, patients), with replacement; the same for whatever is compared."""
    return np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=draws)


def drawn(figure: Callable[[np.ndarray], np.ndarray], weights: np.ndarray) -> np.ndarray:
    """``figure(weights)`` for every draw (D,), a few draws at a time so that counts of all thresholds fit memory."""
    return np.concatenate([figure(part) for part in np.array_split(weights, max(1, len(weights) // _AT_ONCE))])


def interval(values: np.ndarray, patients: int) -> Interval:
    """Of the values of all draws; those without a value (no anomaly was drawn) are left out."""
    known = values[np.isfinite(values)]
    if patients < 2 or not len(known):
        return Interval(float("nan"), float("nan"))
    low, high = np.percentile(known, (2.5, 97.5))
    return Interval(float(low), float(high))
