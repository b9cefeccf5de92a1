"""Cumulative dose–volume histograms, exact from the doses of a structure's voxels.

Definitions follow ICRU Report 83: D_V is the lowest dose of the hottest part of volume V; V_D is the volume that
receives at least D; near-maximum and near-minimum are D_2% and D_98%; homogeneity is (D_2% − D_98%) / D_50%.
"""

import dataclasses
from collections.abc import Mapping

import numpy as np

from .errors import UserError

_ROUNDING = 1e-9  # of a volume, left by adding voxels up


@dataclasses.dataclass(frozen=True)
class DoseStatistics:
    """What is usually asked of one structure: volume in cm³, doses in Gy, shares 0 to 1. None where it has no meaning:
    D_0.03cc of a smaller structure, homogeneity without dose."""

    volume_cm3: float
    covered_share: float
    mean_gy: float
    min_gy: float
    max_gy: float
    d0_03cc_gy: float | None
    d2_gy: float
    d50_gy: float
    d95_gy: float
    d98_gy: float
    homogeneity: float | None


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A binned cumulative histogram: ``volume_cm3[n]`` receives at least ``dose_gy[n]``, which is n times the bin
    width; the last volume is 0."""

    dose_gy: np.ndarray
    volume_cm3: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Dvh:
    """Doses of a structure's voxels in Gy, descending, with the volume in cm³ up to and including each.

    All figures are of the part that the dose grid covers, whose share of the structure is ``covered_share``.
    """

    doses_gy: np.ndarray
    cumulative_cm3: np.ndarray
    covered_share: float
    mean_gy: float

    @property
    def volume_cm3(self) -> float:
        """Volume that has a dose."""
        return float(self.cumulative_cm3[-1])

    @property
    def max_gy(self) -> float:
        """Dose of the hottest voxel."""
        return float(self.doses_gy[0])

    @property
    def min_gy(self) -> float:
        """Dose of the coldest voxel."""
        return float(self.doses_gy[-1])

    @property
    def homogeneity(self) -> float | None:
        """(D_2% − D_98%) / D_50%, 0 for a uniform dose; None where D_50% is not positive."""
        median = self.dose_to_percent(50)
        return (self.dose_to_percent(2) - self.dose_to_percent(98)) / median if median > 0 else None

    def dose_to_percent(self, percent: float) -> float:
        """D_x%: the lowest dose in Gy of the hottest ``percent`` (above 0, to 100) of the volume."""
        if not 0 < percent <= 100:
            raise ValueError(f"a percentage of a volume lies above 0 and up to 100, not {percent}")
        dose = self.dose_to_cm3(percent / 100 * self.volume_cm3)
        assert dose is not None
        return dose

    def dose_to_cm3(self, volume_cm3: float) -> float | None:
        """D_xcc: the lowest dose in Gy of the hottest ``volume_cm3``; None when the structure is smaller than that."""
        if volume_cm3 <= 0:
            raise ValueError(f"a volume is positive, not {volume_cm3}")
        wanted = volume_cm3 * (1 - _ROUNDING)
        if wanted > self.volume_cm3:
            return None
        return float(self.doses_gy[np.searchsorted(self.cumulative_cm3, wanted)])

    def volume_at(self, dose_gy: float) -> float:
        """V_D: the volume in cm³ that receives at least ``dose_gy``."""
        return float(self._volumes_at(np.array([dose_gy]))[0])

    def percent_at(self, dose_gy: float) -> float:
        """V_D in per cent of the volume."""
        return 100 * self.volume_at(dose_gy) / self.volume_cm3

    def curve(self, bin_width_gy: float = 0.05) -> Curve:
        """The histogram at 0, one bin width, two, … to the first above the maximum; exact at each of these doses."""
        doses = bin_width_gy * np.arange(max(int(np.floor(self.max_gy / bin_width_gy)), 0) + 2)
        return Curve(doses, self._volumes_at(doses))

    def statistics(self) -> DoseStatistics:
        """The usual figures."""
        return DoseStatistics(
            volume_cm3=self.volume_cm3,
            covered_share=self.covered_share,
            mean_gy=self.mean_gy,
            min_gy=self.min_gy,
            max_gy=self.max_gy,
            d0_03cc_gy=self.dose_to_cm3(0.03),
            d2_gy=self.dose_to_percent(2),
            d50_gy=self.dose_to_percent(50),
            d95_gy=self.dose_to_percent(95),
            d98_gy=self.dose_to_percent(98),
            homogeneity=self.homogeneity,
        )

    def _volumes_at(self, doses_gy: np.ndarray) -> np.ndarray:
        counts = len(self.doses_gy) - np.searchsorted(self.doses_gy[::-1], doses_gy.astype(self.doses_gy.dtype))
        return np.where(counts > 0, self.cumulative_cm3[np.maximum(counts, 1) - 1], 0.0)


def dvhs(dose: np.ndarray, masks: Mapping[str, np.ndarray], voxel_volume_cm3: float) -> dict[str, Dvh]:
    """The histogram of each structure of which ``dose`` covers anything; see ``dvh``."""
    has_dose = np.isfinite(dose)
    return {name: dvh(dose, mask, voxel_volume_cm3, name) for name, mask in masks.items() if (mask & has_dose).any()}


def dvh(dose: np.ndarray, mask: np.ndarray, voxel_volume_cm3: float, name: str = "The structure") -> Dvh:
    """The histogram of ``dose`` (K, J, I) in Gy, NaN where there is none, within ``mask`` of the same shape.

    ``mask`` is boolean, or the share 0 to 1 of each voxel that belongs to the structure. Raises UserError, calling the
    structure ``name``, when no voxel of it has a dose.
    """
    if dose.shape != mask.shape:
        raise ValueError(f"dose {dose.shape} and mask {mask.shape} differ")
    belongs = mask > 0
    doses = dose[belongs]
    has_dose = np.isfinite(doses)
    if not has_dose.any():
        raise UserError(
            f"{name} has {'no voxel that the dose covers' if doses.size else 'no voxel'}; check that dose and "
            "structures belong to one image."
        )
    if mask.dtype == bool:  # with equal weights, ten times as fast, which counts for a body's millions of voxels
        share = float(has_dose.mean())
        doses = np.sort(doses[has_dose])[::-1]
        return Dvh(doses, np.arange(1, doses.size + 1) * voxel_volume_cm3, share, float(doses.mean(dtype=np.float64)))
    weights = mask[belongs].astype(np.float64)
    share = float(weights[has_dose].sum() / weights.sum())
    doses, weights = doses[has_dose], weights[has_dose]
    order = np.argsort(-doses)
    doses, weights = doses[order], weights[order]
    mean = float(np.average(doses.astype(np.float64), weights=weights))
    return Dvh(doses, np.cumsum(weights) * voxel_volume_cm3, share, mean)
