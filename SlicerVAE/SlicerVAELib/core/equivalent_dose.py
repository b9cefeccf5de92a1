"""Doses given in different fractions, made comparable by the linear–quadratic model.

EQD2 = D (d + α/β) / (2 + α/β): the dose in fractions of 2 Gy with the effect of D in fractions of d = D / n. Early and
late effects of an organ have different α/β, so there is no right one for everything: it is a person's choice.
"""

import dataclasses

import numpy as np

from .dvh import Curve
from .errors import UserError

FRACTION_GY = 2.0


@dataclasses.dataclass(frozen=True)
class OrganDose:
    """Figures of one structure in Gy; near-maximum D_0.03cc is None for a structure that is smaller than that."""

    mean_gy: float
    d0_03cc_gy: float | None
    d2_gy: float
    d50_gy: float
    d95_gy: float
    d98_gy: float


def eqd2(dose_gy: np.ndarray | float, fractions: int, alpha_beta_gy: float) -> np.ndarray:
    """The equivalent of total doses (any shape) that were given in so many equal fractions, Gy, float64.

    Raises UserError where there is no fraction or α/β is not positive.
    """
    if fractions < 1 or not alpha_beta_gy > 0:
        raise UserError(
            f"{fractions} fractions with an α/β of {alpha_beta_gy:g} Gy have no equivalent dose; give an α/β above 0, "
            "as 3 for late effects and 10 for tumours."
        )
    total = np.asarray(dose_gy, dtype=np.float64)
    return total * (total / fractions + alpha_beta_gy) / (FRACTION_GY + alpha_beta_gy)


def eqd2_curve(curve: Curve, fractions: int, alpha_beta_gy: float) -> Curve:
    """A cumulative histogram over equivalent doses, whose bins are no longer evenly spaced."""
    return Curve(eqd2(curve.dose_gy, fractions, alpha_beta_gy), curve.volume_cm3)


def eqd2_figures(figures: OrganDose, curve: Curve, fractions: int, alpha_beta_gy: float) -> OrganDose:
    """The figures in equivalent dose. D_V keeps its meaning, because more dose is more EQD2; the mean of the equivalent
    is not the equivalent of the mean, and is taken from the physical histogram, linear within its bins."""

    def equivalent(dose_gy: float) -> float:
        return float(eqd2(dose_gy, fractions, alpha_beta_gy))

    doses = eqd2(curve.dose_gy, fractions, alpha_beta_gy)
    volumes = curve.volume_cm3
    mean = float((volumes[1:] + volumes[:-1]) @ np.diff(doses) / 2 / volumes[0])
    near_maximum = None if figures.d0_03cc_gy is None else equivalent(figures.d0_03cc_gy)
    doses_at_volumes = (figures.d2_gy, figures.d50_gy, figures.d95_gy, figures.d98_gy)
    return OrganDose(mean, near_maximum, *map(equivalent, doses_at_volumes))
