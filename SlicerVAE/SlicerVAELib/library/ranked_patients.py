"""A query, the patients found to be like it, and what a person should know of the comparison."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from ..core.patient_similarity import PatientMatch
from ..core.patient_stacks import SliceStack
from ..core.percentiles import DistanceScale
from ..core.planning_similarity import PlanGeometry
from .records import PatientFacts, PlanFacts

SAME_IMAGES_NATS = 1e-8  # below: the very images, encoded again, if need be on another computer
_UNEQUAL_GY = 0.05  # per fraction


@dataclasses.dataclass(frozen=True, eq=False)
class Query:
    """Whom others are compared with: the slices, their centres (Q, 3) in LPS mm, and, where they are known, the
    geometry of target and organs, and the patient's ID, by which a library that is open with its key knows the patient
    again."""

    stack: SliceStack
    slice_positions_mm: np.ndarray
    geometry: PlanGeometry | None = None
    patient_id: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbour:
    """A patient beside the query. ``series`` is the number of the series that is most alike, ``match`` how alike it is
    (``match.distance`` in nats), ``geometry_mm`` the distance of ``core.planning_similarity``, None where the two have
    no geometry to compare.

    ``query_levels_mm`` and ``levels_mm``, float64 (M, 3) in LPS, are the centres of the matched slices of both.
    """

    facts: PatientFacts
    series: int
    match: PatientMatch
    geometry_mm: float | None
    query_levels_mm: np.ndarray
    levels_mm: np.ndarray

    @property
    def pseudonym(self) -> str:
        """What the library calls the patient."""
        return self.facts.pseudonym

    @property
    def has_same_images(self) -> bool:
        """Whether these are the query's own images, so that the patient is the same one."""
        return self.match.distance < SAME_IMAGES_NATS

    @property
    def plan(self) -> PlanFacts | None:
        """The plan made on that series, otherwise another one of the patient; None without any."""
        own = [plan for plan in self.facts.plans if plan.series == self.series]
        return next(iter([*own, *self.facts.plans]), None)


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """The most similar patients, the most similar first, of whom ``wanted`` were asked for. ``own_pseudonym`` is the
    query's, who is not among them, empty where the library is not known to hold the patient. ``left_out`` patients have
    too little at the query's levels of the body. ``scale`` tells what a distance means, None where the library is too
    small for that. ``passed_over`` patients were left out by the coarse pass, some perhaps wrongly."""

    nearest: tuple[Neighbour, ...]
    wanted: int
    own_pseudonym: str
    left_out: int
    scale: DistanceScale | None
    passed_over: int = 0

    @property
    def of_query(self) -> frozenset[str]:
        """All pseudonyms that are known to be the query's, by the site's key or by the very same images."""
        same = {one.pseudonym for one in self.nearest if one.has_same_images}
        return frozenset(same | {self.own_pseudonym} - {""})

    @property
    def notices(self) -> tuple[str, ...]:
        """What a person should know of the comparison, in sentences."""
        return tuple(_notices(self))

    @property
    def unequal_fractions(self) -> str:
        """A sentence where their plans give different doses per fraction, otherwise empty."""
        plans = [one.plan for one in self.nearest if one.plan is not None and one.plan.doses]
        each = [plan.prescription_gy / plan.fractions for plan in plans if plan.prescription_gy and plan.fractions]
        if len(each) == len(plans) and (not each or max(each) - min(each) <= _UNEQUAL_GY):
            return ""
        return (
            "The plans differ in dose per fraction, or do not tell it; their physical doses stand side by side and "
            "can't be compared, only as EQD2."
        )


def _notices(found: Neighbours) -> Iterator[str]:
    count = len(found.nearest)
    if not count:
        yield "Nobody of the library could be compared."
    elif count < found.wanted:
        yield f"Only {count} patient{'s' if count > 1 else ''} of the library could be compared."
    if found.own_pseudonym:
        yield f"The library holds this very patient, {found.own_pseudonym}, who is left out of the ranking."
    for one in found.nearest:
        if one.has_same_images:
            yield (
                f"{one.pseudonym} has the very images that were given, so it is this patient; with the site's key a "
                "patient is recognised and left out."
            )
    if found.passed_over:
        yield (
            f"{found.passed_over} patients were passed over for being less alike on the whole; some of them may be "
            "more alike slice by slice."
        )
    if found.left_out:
        patients = "1 patient has" if found.left_out == 1 else f"{found.left_out} patients have"
        yield f"{patients} too little at the same level of the body to be compared."
    if found.scale is None:
        yield "The library is too small to say what a KL means; compare the figures with each other only."
    yield from dict.fromkeys(one.match.remark for one in found.nearest if one.match.remark)
