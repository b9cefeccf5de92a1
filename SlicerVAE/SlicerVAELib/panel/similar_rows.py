"""The patients that were found, the doses and the contours, as the tables of the panel tell them."""

import dataclasses
from typing import TYPE_CHECKING

from ..core.percentiles import DistanceScale
from ..library.achievable import Achievable
from ..library.intake import is_target
from ..library.matched_picture import MatchedLevel
from ..library.neighbours import Neighbour
from ..library.records import PlanFacts
from ..scene.similarity_table import figure_of
from .translation import tr as _

if TYPE_CHECKING:  # needs SQLAlchemy
    from ..library.contour_check import ContourFinding

LEVELS = {
    "lungs": _("{level} of the lungs' middle"),
    "vertex": _("{level} of the vertex"),
    "scan": _("{level} of the scan's middle"),
}


@dataclasses.dataclass(frozen=True)
class PatientRow:
    """A similar patient in words; ``picture`` is a PNG, empty where the library keeps none, ``meaning`` what the KL
    means."""

    pseudonym: str
    picture: bytes
    closer_than: str
    divergence: str
    level: str
    slices: str
    geometry: str
    plan: str
    structures: str
    doses: str
    meaning: str


@dataclasses.dataclass(frozen=True)
class TableRow:
    """A line of a table; a marked one is what a person should look at."""

    cells: tuple[str, ...]
    is_marked: bool


def patient_row(one: Neighbour, level: MatchedLevel, scale: DistanceScale | None, query_slices: int) -> PatientRow:
    """Tell of a neighbour; doses are physical, D95 of targets and the mean of organs."""
    distance, facts = one.match.distance, one.facts.series[one.series]
    names = [structure.name for structure in facts.structures]
    return PatientRow(
        pseudonym=one.pseudonym,
        picture=level.picture.png if level.picture is not None else b"",
        closer_than=scale.percent_in_words(distance) if scale is not None else "–",
        divergence=f"{distance:,.0f}" if distance >= 1000 else f"{distance:.4g}",
        level=LEVELS[level.origin].format(level=f"{abs(level.position_mm):.0f} mm {'SI'[level.position_mm < 0]}"),
        slices=_("{matched} of {all}").format(matched=len(one.match.pairs), all=query_slices),
        geometry="–" if one.geometry_mm is None else f"{one.geometry_mm:.1f} mm",
        plan=_plan_in_words(one.plan),
        structures=f"{len(names)}: {', '.join(names)}" if names else "–",
        doses=_doses_in_words(one.plan),
        meaning=scale.in_words(distance)
        if scale is not None
        else _("The library is too small to say what a KL means."),
    )


def achievable_row(each: Achievable) -> TableRow:
    """Tell of an organ's dose; marked where the patient's own lies outside of the quartiles."""
    own = "–" if each.own is None else f"{each.own:.1f}"
    quartiles = f"{each.lower_quartile:.1f} – {each.upper_quartile:.1f}"
    cells = (each.organ, each.figure, f"{each.median:.1f}", quartiles, own, each.place, str(each.patients))
    return TableRow(cells, each.is_outside)


def contour_row(finding: "ContourFinding") -> TableRow:
    """Tell of a quantity of a structure; marked where it is an outlier."""
    z = "–" if finding.robust_z is None else f"{finding.robust_z:+.1f}"
    own, median = finding.in_words(finding.own), finding.in_words(finding.median)
    return TableRow((finding.structure, finding.quantity, own, median, z, str(finding.patients)), finding.is_outlier)


def _plan_in_words(plan: PlanFacts | None) -> str:
    if plan is None:
        return "–"
    dose = "" if plan.prescription_gy is None else f"{plan.prescription_gy:g} Gy"
    fractions = "" if plan.fractions is None else _(" in {fractions}").format(fractions=plan.fractions)
    site = " ".join(filter(None, (plan.laterality, plan.site)))
    return ", ".join(filter(None, (site, plan.technique, dose + fractions))) or "–"


def _doses_in_words(plan: PlanFacts | None) -> str:
    if plan is None or not plan.doses:
        return "–"
    return ", ".join(
        f"{dose.structure}{' D95' if is_target(dose.structure) else ''} {figure_of(dose)}" for dose in plan.doses
    )
