"""Doses to organs in one measure: physical where all plans have the same number of fractions, otherwise EQD2."""

import dataclasses
from collections.abc import Sequence

from ..core.dvh import Curve
from ..core.equivalent_dose import OrganDose, eqd2_curve, eqd2_figures
from .records import DoseFacts, PlanFacts


@dataclasses.dataclass(frozen=True, eq=False)
class DosedOrgan:
    """An organ's figures, and its cumulative histogram, in one measure."""

    figures: OrganDose
    curve: Curve


@dataclasses.dataclass(frozen=True)
class DoseMeasure:
    """What doses are told in. ``alpha_beta_gy`` None is physical dose, which compares plans of ``fractions`` only;
    where that is None too, nothing can be compared."""

    alpha_beta_gy: float | None
    fractions: int | None

    @property
    def unit(self) -> str:
        """For headings."""
        return "Gy" if self.alpha_beta_gy is None else f"Gy EQD2, α/β = {self.alpha_beta_gy:g} Gy"

    def compares(self, plan: PlanFacts) -> bool:
        """Whether the plan's doses may be held against others in this measure."""
        if plan.fractions is None:
            return False
        return self.alpha_beta_gy is not None or plan.fractions == self.fractions

    def organs(self, plan: PlanFacts) -> dict[str, DosedOrgan]:
        """Every organ with a dose: in this measure where it ``compares`` the plan, otherwise in physical dose."""
        return {dose.structure: self._organ(dose, plan.fractions) for dose in plan.doses}

    def _organ(self, dose: DoseFacts, fractions: int | None) -> DosedOrgan:
        given = dose.statistics
        physical = OrganDose(given.mean_gy, given.d0_03cc_gy, given.d2_gy, given.d50_gy, given.d95_gy, given.d98_gy)
        if self.alpha_beta_gy is None or fractions is None:
            return DosedOrgan(physical, dose.curve)
        figures = eqd2_figures(physical, dose.curve, fractions, self.alpha_beta_gy)
        return DosedOrgan(figures, eqd2_curve(dose.curve, fractions, self.alpha_beta_gy))


def measure_for(own: PlanFacts | None, others: Sequence[PlanFacts], alpha_beta_gy: float | None) -> DoseMeasure:
    """The measure in which most can be compared: of the fractions of the query's plan, or, where it has none, of the
    most usual ones among the others."""
    if own is not None and own.fractions is not None:
        return DoseMeasure(alpha_beta_gy, own.fractions)
    counts = [plan.fractions for plan in others if plan.fractions is not None]
    return DoseMeasure(alpha_beta_gy, max(sorted(set(counts)), key=counts.count, default=None))
