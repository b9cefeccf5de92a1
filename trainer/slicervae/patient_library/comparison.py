"""A patient beside a library: all that the tables and the page tell."""

import dataclasses
from collections.abc import Iterator

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.percentiles import DistanceScale
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.core.similarity import Direction
from SlicerVAELib.library.achievable import Achievable, achievable_doses
from SlicerVAELib.library.contour_check import ContourFinding, Gaps, Placed, check_contours, gaps, placed_structures
from SlicerVAELib.library.doses import DosedOrgan, DoseMeasure, measure_for
from SlicerVAELib.library.matched_picture import matched_level
from SlicerVAELib.library.neighbours import By, Neighbour, Neighbours, find_neighbours
from SlicerVAELib.library.records import Thumbnail
from SlicerVAELib.library.selection import Selection
from SlicerVAELib.library.store import Library

from .query import QueryPatient


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked: how many patients, of those whom ``filters`` let through, by what, how slices are compared,
    the α/β of the doses, None for physical dose, and how many a coarse pass leaves, None without one."""

    count: int
    by: By
    direction: Direction
    window_mm: float
    filters: Selection
    alpha_beta_gy: float | None
    first: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class RankedPatient:
    """A neighbour with doses and a picture. ``organs`` are doses in the measure where ``is_comparable``, otherwise
    physical ones; ``picture`` is the library's nearest to the slice that matches the query's shown one, None where it
    keeps none."""

    neighbour: Neighbour
    organs: dict[str, DosedOrgan]
    is_comparable: bool
    picture: Thumbnail | None

    @property
    def pseudonym(self) -> str:
        """The patient's."""
        return self.neighbour.pseudonym


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """The answer, the most similar patient first; ``scale`` is None where a divergence can't be told as a percentile.
    ``notices`` are about the comparison; those about the query's files, which may name the
    patient, stay with the query."""

    query: QueryPatient
    by: By
    direction: Direction
    patients: tuple[RankedPatient, ...]
    scale: DistanceScale | None
    measure: DoseMeasure
    own_organs: dict[str, DosedOrgan]
    achievable: tuple[Achievable, ...]
    contours: tuple[ContourFinding, ...]
    gaps: tuple[Gaps, ...]
    notices: tuple[str, ...]


def compare_with_library(
    query: QueryPatient, library: Library, question: Question, progress: Listener, cancel: Cancel
) -> Comparison:
    """Answer a question. Raises UserError where nobody can be compared, Cancelled."""
    found = find_neighbours(
        library,
        query.as_query,
        question.count,
        by=question.by,
        direction=question.direction,
        window_mm=question.window_mm,
        filters=question.filters,
        first=question.first,
        progress=progress,
        cancel=cancel,
    )
    if not found.nearest:
        raise UserError(
            "No patient of the library can be compared in this way: too little lies at the same level of the body, or "
            "no target and organs are known; widen --window, or rank by kl."
        )
    own_plan = query.series.plan
    plans = [plan for one in found.nearest if (plan := one.plan) is not None]
    measure = measure_for(own_plan, plans, question.alpha_beta_gy)
    patients = tuple(_ranked(one, query, library, measure) for one in found.nearest)
    own_organs = measure.organs(own_plan) if own_plan is not None and measure.compares(own_plan) else {}
    others = [each.organs for each in patients if each.is_comparable and each.pseudonym not in found.of_query]
    structures = placed_structures(library, question.direction, found.of_query)
    return Comparison(
        query=query,
        by=question.by,
        direction=question.direction,
        patients=patients,
        scale=found.scale,
        measure=measure,
        own_organs=own_organs,
        achievable=tuple(achievable_doses(own_organs, others)),
        contours=tuple(check_contours(_placed_query(query), structures)),
        gaps=tuple(gaps(query.series.volume)),
        notices=tuple(_notices(query, found, patients, measure)),
    )


def _ranked(neighbour: Neighbour, query: QueryPatient, library: Library, measure: DoseMeasure) -> RankedPatient:
    plan = neighbour.plan
    return RankedPatient(
        neighbour=neighbour,
        organs=measure.organs(plan) if plan is not None else {},
        is_comparable=plan is not None and bool(plan.doses) and measure.compares(plan),
        picture=matched_level(library, neighbour, query.shown_slice).picture,
    )


def _placed_query(query: QueryPatient) -> Placed:
    posteriors = query.series.record.posteriors
    origin_mm = float(posteriors.slice_positions_mm[0, 2] - posteriors.positions_mm[0])
    return Placed(query.series.record.facts.structures, posteriors.origin, origin_mm)


def _notices(
    query: QueryPatient, found: Neighbours, patients: tuple[RankedPatient, ...], measure: DoseMeasure
) -> Iterator[str]:
    yield from found.notices
    if found.of_query:
        yield f"Achievable dose and contour check are without {', '.join(sorted(found.of_query))}."
    if query.series.plan is not None and not measure.compares(query.series.plan):
        yield "The patient's plan does not say its fractions, so its doses are compared with nobody's."
    if other := [each for each in patients if each.organs and not each.is_comparable]:
        known = f"other than {measure.fractions} fractions" if measure.fractions is not None else "unknown fractions"
        remedy = "give --alpha-beta to compare EQD2" if measure.alpha_beta_gy is None else "their fractions are unknown"
        yield (
            f"Doses of {', '.join(each.pseudonym for each in other)} were given in {known}: they are shown beside the "
            f"others in physical dose, and have no part in the achievable dose; {remedy}."
        )
