"""Split-conformal p-values: how rarely a healthy patient looks as unusual as this one (Vovk et al.; Papadopoulos).

They hold without any assumption but that the patient, if healthy, could have been one of the calibration's.
"""

import math
from collections.abc import Sequence

from .errors import UserError


def p_value(score: float, healthy: Sequence[float]) -> float:
    """p = (1 + #{healthy ≥ score}) / (n + 1): for a healthy patient, at most α with a probability of at most α."""
    return (1 + sum(other >= score for other in healthy)) / (len(healthy) + 1)


def alarm_level(healthy: Sequence[float], rate: float) -> float:
    """The score above which p ≤ ``rate``: the ⌈(1 − rate)(n + 1)⌉th smallest; infinite where n is too small for it."""
    below = math.ceil((1 - rate) * (len(healthy) + 1) - 1e-9)
    return sorted(healthy)[below - 1] if below <= len(healthy) else math.inf


def fewest_patients(rate: float) -> int:
    """The fewest healthy patients with whom p can be as small as ``rate``: n ≥ 1/rate − 1, such as 19 for 5 %."""
    return math.ceil(1 / rate - 1 - 1e-9)


def too_few(count: int, rate: float) -> str:
    """One sentence where ``count`` healthy patients can give no alarm at ``rate``, otherwise an empty text."""
    fewest = fewest_patients(rate)
    if count >= fewest:
        return ""
    return (
        f"With {count} healthy patients to compare with, no p-value is below {1 / (count + 1):.2g}, so there is never "
        f"an alarm at a false-alarm rate of {rate:.3g}; calibrate with at least {fewest}."
    )


def check_rate(rate: float) -> None:
    """Raise UserError for a false-alarm rate that is not between 0 and 1."""
    if not 0 < rate < 1:
        raise UserError(f"A false-alarm rate of {rate:g} makes no sense; give one between 0 and 1, such as 0.05.")
