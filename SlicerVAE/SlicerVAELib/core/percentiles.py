"""What a distance between patients means: where it stands among pairs of different patients, and of repeat scans.

A divergence in nats tells a person nothing: it grows with the number of latents and with how sure the encoder is.
"""

import dataclasses

import numpy as np

from .errors import UserError

LEAST_PAIRS = 20  # of different patients: with fewer, a percentage would promise too much


@dataclasses.dataclass(frozen=True, eq=False)
class DistanceScale:
    """Distances that others are held against: ``unlike`` (N,) between different patients, ``repeats`` (M,) between two
    scans of one patient, of which there may be none; both in the same unit as what is asked. Kept sorted."""

    unlike: np.ndarray
    repeats: np.ndarray

    def __post_init__(self) -> None:
        for name in ("unlike", "repeats"):
            object.__setattr__(self, name, np.sort(np.asarray(getattr(self, name), dtype=np.float64)))
        if len(self.unlike) < LEAST_PAIRS:
            raise UserError(
                f"There are {len(self.unlike)} pairs of different patients to compare with, and {LEAST_PAIRS} are "
                "needed; add more patients."
            )

    def closer_than(self, distance: float) -> float:
        """Share, 0 to 1, of the pairs of different patients that lie further apart; of equal ones half."""
        below, up_to = (np.searchsorted(self.unlike, distance, side) for side in ("left", "right"))
        return 1 - float(below + up_to) / 2 / len(self.unlike)

    @property
    def repeat_median(self) -> float | None:
        """Median distance of repeat scans; None when there are none."""
        return float(np.median(self.repeats)) if len(self.repeats) else None

    def percent_in_words(self, distance: float) -> str:
        """That share as "97 %"; what is not all is never rounded to all."""
        share = self.closer_than(distance)
        return f"{min(round(100 * share), 99) if share < 1 else 100} %"

    def in_words(self, distance: float) -> str:
        """A sentence for a person, as "Closer than 97 % of pairs of different patients; repeat scans of one patient:
        median 12.3, this 40.1"."""
        words = f"Closer than {self.percent_in_words(distance)} of pairs of different patients"
        if self.repeat_median is None:
            return f"{words}; no repeat scans are known to compare with."
        return f"{words}; repeat scans of one patient: median {self.repeat_median:.4g}, this {distance:.4g}."
