"""The patients of a library who are most like one, by their images, by where the organs lie, or by both."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ..core.errors import UserError
from ..core.patient_similarity import WINDOW_MM, PatientMatch, compare, rank_patients
from ..core.patient_stacks import SliceStack
from ..core.percentiles import DistanceScale
from ..core.planning_similarity import PlanGeometry, geometric_distance, rank_sum
from ..core.progress import Cancel, Listener, Meter, ignore, part_of
from ..core.similarity import Direction
from .distance_scale import distance_scale
from .records import PatientFacts, PlanFacts
from .structure_geometry import plan_geometry_of

if TYPE_CHECKING:
    from .search_matrix import SearchIndex
    from .selection import Selection
    from .store import Library

By = Literal["kl", "geometry", "both"]
BOTH_AMONG = 100  # or ten times as many as are wanted: the most alike by KL, which rank by both sorts anew
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
    small for that."""

    nearest: tuple[Neighbour, ...]
    wanted: int
    own_pseudonym: str
    left_out: int
    scale: DistanceScale | None

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


def find_neighbours(
    library: "Library",
    query: Query,
    count: int = 10,
    *,
    by: By = "kl",
    direction: Direction = "symmetric-kl",
    window_mm: float = WINDOW_MM,
    filters: "Selection | None" = None,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> Neighbours:
    """The ``count`` patients most like the query, of those whom ``filters`` let through. Of a patient with several
    series the most similar one counts. The query's own entry is left out where the library is open with its key.

    By "geometry", only patients whose scan covers the query's levels and who have an organ in common are ranked. By
    "both", the sum of the ranks counts, among the 100 (or ten times ``count``) most similar by KL. Raises UserError
    where nobody is left to compare with, and for a ranking by geometry without the query's; Cancelled.
    """
    if by != "kl" and query.geometry is None:
        raise UserError(
            "Ranking by geometry needs a target and an organ with standard names; give structures with a PTV, CTV or "
            "GTV, or rank by kl."
        )
    cancel = cancel or Cancel()
    index = library.search_index(direction, part_of(progress, 0.0, 0.3), cancel)
    own = _own_pseudonym(library, query.patient_id)
    allowed = set(library.pseudonyms(filters)) - {own}
    search = _Search(library, index, query, direction, window_mm, cancel, _series_by_patient(index))
    search.refuse_nobody(allowed)
    ranking = part_of(progress, 0.3, 0.8)
    if by == "geometry":
        found, left_out = search.by_geometry(allowed, count, ranking)
    elif by == "both":
        found, left_out = search.by_both(allowed, count, ranking)
    else:
        found, left_out = search.by_divergence(allowed, count, ranking)
    measuring = part_of(progress, 0.8, 1.0)
    scale = distance_scale(index, query.stack.origin, direction, window_mm, progress=measuring, cancel=cancel)
    return Neighbours(found, count, own, left_out, scale)


_Ranked: TypeAlias = tuple[tuple[Neighbour, ...], int]  # and how many patients were left out


@dataclasses.dataclass(frozen=True, eq=False)
class _Search:
    library: "Library"
    index: "SearchIndex"
    query: Query
    direction: Direction
    window_mm: float
    cancel: Cancel
    series: Mapping[str, Sequence[int]]

    def refuse_nobody(self, allowed: Collection[str]) -> None:
        if not self._series_of(allowed).size:
            raise UserError(f"No other patient of the library {self.library.address} fits; loosen the filters.")

    def by_divergence(self, allowed: Collection[str], count: int, progress: Listener) -> _Ranked:
        """The ``count`` most similar patients, each with the most similar series."""
        among = self._series_of(allowed)
        wanted = count
        while True:
            ranking = rank_patients(
                self.query.stack,
                self.index.stacks,
                wanted,
                direction=self.direction,
                window_mm=self.window_mm,
                among=among,
                progress=progress,
                cancel=self.cancel,
            )
            best: dict[str, PatientMatch] = {}
            for match in ranking.matches:
                best.setdefault(self._pseudonym(match.patient), match)
            if len(best) >= count or len(ranking.matches) < wanted or wanted >= len(among):
                break
            wanted *= 2  # some patients took several places with several series
        left_out = {self._pseudonym(series.patient) for series in ranking.left_out} - best.keys()
        return self._with_facts(dict(list(best.items())[:count])), len(left_out)

    def by_both(self, allowed: Collection[str], count: int, progress: Listener) -> _Ranked:
        """Of the most similar patients by divergence, the first by the sum of both ranks."""
        candidates, left_out = self.by_divergence(allowed, max(BOTH_AMONG, 10 * count), progress)
        placed = [one for one in candidates if one.geometry_mm is not None]
        divergence = np.array([one.match.distance for one in placed])
        geometry = np.array([one.geometry_mm for one in placed])
        return tuple(placed[n] for n in rank_sum(divergence, geometry)[:count]) if placed else (), left_out

    def by_geometry(self, allowed: Collection[str], count: int, progress: Listener) -> _Ranked:
        """The first by geometry of those whose scans cover the query's levels."""
        distances = {facts: self._geometry_mm(facts) for facts in self.library.facts(sorted(allowed))}
        placed = {facts: distance for facts, distance in distances.items() if distance is not None}
        meter = Meter(progress, "comparing patients", count)
        found: list[Neighbour] = []
        left_out = 0
        for facts in sorted(placed, key=lambda facts: (placed[facts], facts.pseudonym)):
            self.cancel.check()
            match = self._closest_series(facts)
            if match is None:
                left_out += 1
                continue
            found.append(self._neighbour(match, facts, placed[facts]))
            meter.advance(1)
            if len(found) == count:
                break
        return tuple(found), left_out

    def _with_facts(self, matches: Mapping[str, PatientMatch]) -> tuple[Neighbour, ...]:
        known = self.library.facts(list(matches))
        return tuple(
            self._neighbour(match, facts, self._geometry_mm(facts))
            for match, facts in zip(matches.values(), known, strict=True)
        )

    def _closest_series(self, facts: PatientFacts) -> PatientMatch | None:
        matches = [
            compare(
                self.query.stack,
                self.index.stacks[n],
                int(n),
                direction=self.direction,
                window_mm=self.window_mm,
            )
            for n in self._series_of([facts.pseudonym])
        ]
        return min(
            (match for match in matches if isinstance(match, PatientMatch)),
            key=lambda match: match.distance,
            default=None,
        )

    def _neighbour(self, match: PatientMatch, facts: PatientFacts, geometry_mm: float | None) -> Neighbour:
        first = int(self.index.stacks.starts[match.patient])
        return Neighbour(
            facts,
            self.index.entries[match.patient].number,
            match,
            geometry_mm,
            self.query.slice_positions_mm[[pair.query for pair in match.pairs]],
            np.array(self.index.slice_positions_mm[[first + pair.candidate for pair in match.pairs]]),
        )

    def _geometry_mm(self, facts: PatientFacts) -> float | None:
        """The smallest distance of the patient's planned geometries from the query's."""
        own = self.query.geometry
        if own is None:
            return None
        names = {organ.name for organ in own.organs}
        others = (plan_geometry_of(series.structures) for series in facts.series)
        comparable = (other for other in others if other and names & {organ.name for organ in other.organs})
        return min((geometric_distance(own, other) for other in comparable), default=None)

    def _pseudonym(self, series: int) -> str:
        return self.index.entries[series].pseudonym

    def _series_of(self, pseudonyms: Collection[str]) -> np.ndarray:
        return np.array([n for name in pseudonyms for n in self.series.get(name, ())], dtype=np.int64)


def _series_by_patient(index: "SearchIndex") -> dict[str, list[int]]:
    series: dict[str, list[int]] = {}
    for n, entry in enumerate(index.entries):
        series.setdefault(entry.pseudonym, []).append(n)
    return series


def _own_pseudonym(library: "Library", patient_id: str) -> str:
    is_known = bool(patient_id) and library.has_key and library.holds(patient_id)
    return library.key.pseudonym(patient_id) if is_known else ""


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
    if found.left_out:
        patients = "1 patient has" if found.left_out == 1 else f"{found.left_out} patients have"
        yield f"{patients} too little at the same level of the body to be compared."
    if found.scale is None:
        yield "The library is too small to say what a KL means; compare the figures with each other only."
    yield from dict.fromkeys(one.match.remark for one in found.nearest if one.match.remark)
