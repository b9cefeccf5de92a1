"""What a divergence between patients means in a library: how far apart its own patients are."""

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.patient_similarity import WINDOW_MM, PatientMatch, compare
from ..core.percentiles import LEAST_PAIRS, DistanceScale
from ..core.progress import Cancel, Listener, Meter, ignore
from ..core.similarity import Direction

if TYPE_CHECKING:
    from .search_matrix import SearchIndex

MOST_PAIRS = 200  # of each kind: a share of them is known to 3.5 percentage points, and they take a second or two
_SEED = 0


def distance_scale(
    index: "SearchIndex",
    landmark: str,
    direction: Direction,
    window_mm: float = WINDOW_MM,
    *,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> DistanceScale | None:
    """The distances of pairs of different patients, and of pairs of series of one patient, of a library, all with
    their body positions from ``landmark``: of each kind all pairs, or 200 drawn by chance but always the same.

    None where there are fewer than ``LEAST_PAIRS`` of different patients. Raises Cancelled.
    """
    cancel = cancel or Cancel()
    numbers = np.flatnonzero(index.stacks.origins == landmark).tolist()
    unlike, repeats = _unlike_pairs(index, numbers), _repeats(index, numbers)
    meter = Meter(progress, "measuring the library", len(unlike) + len(repeats))

    def distances(pairs: Sequence[tuple[int, int]]) -> np.ndarray:
        found = []
        for first, second in pairs:
            cancel.check()
            match = compare(index.stacks[first], index.stacks[second], direction=direction, window_mm=window_mm)
            if isinstance(match, PatientMatch):
                found.append(match.distance)
            meter.advance(1)
        return np.array(found)

    between = distances(unlike)
    return DistanceScale(between, distances(repeats)) if len(between) >= LEAST_PAIRS else None


def _unlike_pairs(index: "SearchIndex", numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs, among the series with these numbers, of different patients."""
    drawn = (_pair(k) for k in _drawn(math.comb(len(numbers), 2)))
    pairs = [(numbers[first], numbers[second]) for first, second in drawn]
    return [pair for pair in pairs if not _is_one_patient(index, *pair)]


def _repeats(index: "SearchIndex", numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of a patient's series and the next one of the same patient."""
    successive = itertools.pairwise(numbers)  # a patient's series follow each other
    same = [pair for pair in successive if _is_one_patient(index, *pair)]
    return [same[k] for k in _drawn(len(same))]


def _drawn(count: int) -> list[int]:
    """Numbers below ``count`` in their order: all, or ``MOST_PAIRS`` different ones."""
    if count <= MOST_PAIRS:
        return list(range(count))
    return sorted(np.random.default_rng(_SEED).choice(count, MOST_PAIRS, replace=False).tolist())


def _pair(k: int) -> tuple[int, int]:
    """Number k of the pairs (0, 1), (0, 2), (1, 2), (0, 3), … without making a list of what may be 10¹⁰ of them."""
    second = (1 + math.isqrt(1 + 8 * k)) // 2
    return k - second * (second - 1) // 2, second


def _is_one_patient(index: "SearchIndex", first: int, second: int) -> bool:
    return index.entries[first].pseudonym == index.entries[second].pseudonym
