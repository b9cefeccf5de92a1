"""The doses of the similar patients beside the patient's own: histograms in one plot, and what was achievable."""

import dataclasses
import time

from ...library.achievable import achievable_doses
from ...library.doses import DoseMeasure, measure_for
from ...library.records import DoseFacts, PlanFacts
from ...scene.dvh_plots import DvhPlot, Fractionation, doses_of, plot_dvhs
from ...scene.nodes import VolumeNode
from ...scene.plot_views import show_plot
from ...scene.volumes import volume_from_node
from ..comparison import Comparison
from ..ports import Aside
from ..runs import Step, Task
from ..section import Panel
from ..similar_rows import TableRow, achievable_row
from ..translation import tr as _
from .similar_finding import FIND_FIRST, Finding

OUTSIDE = _("Half of all doses lie outside of the quartiles by chance: a mark is a reason to look, not a verdict.")


@dataclasses.dataclass(frozen=True)
class DosesState:
    """``structures`` are those that can be plotted, ``plotted`` the chosen one, empty for all."""

    hint: str
    structures: tuple[str, ...]
    plotted: str
    rows: tuple[TableRow, ...]
    summary: str


class Doses:
    """Compares doses when it is asked to; what it found belongs to one comparison."""

    def __init__(self, panel: Panel, finding: Finding) -> None:
        self._panel, self._finding = panel, finding
        self._plotted: tuple[VolumeNode, DvhPlot] | None = None  # of which input
        self._compared: Comparison | None = None
        self._rows: tuple[TableRow, ...] = ()
        self._summary = ""

    def state(self) -> DosesState:
        """What to show."""
        comparison = self._finding.comparison
        if comparison is not self._compared:
            self._compared, self._rows, self._summary = None, (), ""
        return DosesState(
            hint=self.hint(),
            structures=_dosed_structures(comparison) if comparison is not None else (),
            plotted=self._panel.parameters.plottedStructure,
            rows=self._rows,
            summary=self._summary,
        )

    def hint(self) -> str:
        """What has to be done first."""
        comparison = self._finding.comparison
        if comparison is None:
            return FIND_FIRST
        return "" if _dosed_structures(comparison) else _("None of these patients has a dose in the library.")

    def forget(self) -> None:
        """Hold on to nothing of the scene."""
        self._plotted, self._compared, self._rows, self._summary = None, None, (), ""

    def compare(self) -> None:
        """Plot the histograms, and put the patient's own doses beside those of the others."""
        if not self.hint():
            self._panel.runs.begin(self._task())

    def _task(self) -> Task:
        began, parameters, comparison = time.monotonic(), self._panel.parameters, self._finding.comparison
        assert comparison is not None, "begun without a look at the hint"
        ranking, node = comparison.ranking, parameters.planDose
        own: tuple[DoseFacts, ...] = ()
        if node is not None:
            own = yield Step(Aside.of(doses_of, ranking, volume_from_node(node)))
            ranking.check_query()  # meanwhile it may have been removed
        fractions = parameters.planFractions or None
        alpha_beta = parameters.alphaBeta if parameters.equivalentDose else None
        known = _dosed_structures(comparison)
        plot = plot_dvhs(
            ranking,
            [parameters.plottedStructure] if parameters.plottedStructure in known else [],
            own=own,
            equivalent=Fractionation(alpha_beta, fractions) if alpha_beta is not None else None,
        )
        if self._plotted is not None and self._plotted[0] is ranking.input.node:
            self._plotted[1].remove()
        self._plotted, self._compared = (ranking.input.node, plot), comparison
        show_plot(plot.chart)
        plan = PlanFacts(0, fractions=fractions, doses=own) if own else None
        measure, others = self._tabulate(comparison, plan, alpha_beta)
        self._summary = _summary(measure, others, plan)
        done = _("Compared in {seconds:.1f} s.").format(seconds=time.monotonic() - began)
        return "\n".join([done, *plot.notices])

    def _tabulate(
        self, comparison: Comparison, plan: PlanFacts | None, alpha_beta_gy: float | None
    ) -> tuple[DoseMeasure, int]:
        """Fill the table; returns what its doses are told in, and how many patients have a part in it."""
        found = comparison.found.neighbours
        plans = [one.plan for one in found.nearest if one.plan is not None and one.pseudonym not in found.of_query]
        measure = measure_for(plan, plans, alpha_beta_gy)
        others = [measure.organs(other) for other in plans if other.doses and measure.compares(other)]
        own = measure.organs(plan) if plan is not None and measure.compares(plan) else {}
        self._rows = tuple(achievable_row(each) for each in achievable_doses(own, others))
        return measure, len(others)


def _dosed_structures(comparison: Comparison) -> tuple[str, ...]:
    plans = [one.plan for one in comparison.found.neighbours.nearest if one.plan is not None]
    return tuple(sorted({dose.structure for plan in plans for dose in plan.doses}))


def _summary(measure: DoseMeasure, others: int, plan: PlanFacts | None) -> str:
    told = _("In {unit}; plans compared: {plans}.")
    if measure.alpha_beta_gy is None and measure.fractions is not None:
        told = _("In {unit}; plans of {fractions} fractions compared: {plans}.")
    sentences = [told.format(unit=measure.unit, plans=others, fractions=measure.fractions)]
    if plan is not None and not measure.compares(plan):
        sentences.append(_("Enter the fractions of this patient's plan to compare its doses."))
    return " ".join([*sentences, OUTSIDE])
