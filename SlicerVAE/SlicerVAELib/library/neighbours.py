"""The patients of a library who are most like one, by their images, by where the organs lie, or by both."""

import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ..core.errors import UserError
from ..core.patient_similarity import WINDOW_MM, PatientMatch, compare, rank_patients, similar_on_the_whole
from ..core.planning_similarity import geometric_distance, geometric_distances, rank_sum
from ..core.progress import Cancel, Listener, Meter, ignore, part_of
from ..core.similarity import Direction
from .distance_scale import distance_scale
from .ranked_patients import Neighbour, Neighbours, Query
from .records import PatientFacts
from .structure_geometry import plan_geometry_of

if TYPE_CHECKING:
    from .search_matrix import SearchIndex
    from .selection import Selection
    from .store import Library

By = Literal["kl", "geometry", "both"]
BOTH_AMONG = 100  # or ten times as many as are wanted: the most alike by KL, which rank by both sorts anew


def find_neighbours(
    library: "Library",
    query: Query,
    count: int = 10,
    *,
    by: By = "kl",
    direction: Direction = "symmetric-kl",
    window_mm: float = WINDOW_MM,
    filters: "Selection | None" = None,
    first: int | None = None,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> Neighbours:
    """The ``count`` patients most like the query, of those whom ``filters`` let through. Of a patient with several
    series the most similar one counts. The query's own entry is left out where the library is open with its key.
    ``first``, for very large libraries, is how many series a coarse pass leaves to be compared by their slices, those
    that are most alike on the whole (``core.patient_similarity``); what it misses is missed.

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
    compared = allowed
    if first is not None and by != "geometry":
        compared = search.alike_on_the_whole(allowed, first)
    ranking = part_of(progress, 0.3, 0.8)
    if by == "geometry":
        found, left_out = search.by_geometry(allowed, count, ranking)
    elif by == "both":
        found, left_out = search.by_both(compared, count, ranking)
    else:
        found, left_out = search.by_divergence(compared, count, ranking)
    measuring = part_of(progress, 0.8, 1.0)
    scale = distance_scale(index, query.stack.origin, direction, window_mm, progress=measuring, cancel=cancel)
    return Neighbours(found, count, own, left_out, scale, len(allowed) - len(compared))


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

    def alike_on_the_whole(self, allowed: Collection[str], count: int) -> set[str]:
        """Those of the patients who have one of the ``count`` series that are most like the query on the whole."""
        among = self._series_of(allowed)
        nearest = similar_on_the_whole(self.query.stack, self.index.summaries[among], count)
        return {self._pseudonym(series) for series in among[nearest]}

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
        distances = self._geometries_mm(allowed)
        meter = Meter(progress, "comparing patients", count)
        found: dict[str, PatientMatch] = {}
        left_out = 0
        for pseudonym in sorted(distances, key=lambda pseudonym: (distances[pseudonym], pseudonym)):
            self.cancel.check()
            match = self._closest_series(pseudonym)
            if match is None:
                left_out += 1
                continue
            found[pseudonym] = match
            meter.advance(1)
            if len(found) == count:
                break
        return self._with_facts(found), left_out

    def _geometries_mm(self, allowed: Collection[str]) -> dict[str, float]:
        """The smallest distance of each patient's planned geometries from the query's, of those who have any."""
        assert self.query.geometry is not None
        found: dict[str, float] = {}
        distances = geometric_distances(self.query.geometry, self.index.structures.plans)
        for entry, distance in zip(self.index.entries, distances.tolist(), strict=True):
            if entry.pseudonym in allowed and not math.isnan(distance):
                found[entry.pseudonym] = min(distance, found.get(entry.pseudonym, math.inf))
        return found

    def _with_facts(self, matches: Mapping[str, PatientMatch]) -> tuple[Neighbour, ...]:
        known = self.library.facts(list(matches))
        return tuple(self._neighbour(match, facts) for match, facts in zip(matches.values(), known, strict=True))

    def _closest_series(self, pseudonym: str) -> PatientMatch | None:
        matches = [
            compare(
                self.query.stack,
                self.index.stacks[n],
                int(n),
                direction=self.direction,
                window_mm=self.window_mm,
            )
            for n in self._series_of([pseudonym])
        ]
        return min(
            (match for match in matches if isinstance(match, PatientMatch)),
            key=lambda match: match.distance,
            default=None,
        )

    def _neighbour(self, match: PatientMatch, facts: PatientFacts) -> Neighbour:
        first = int(self.index.stacks.starts[match.patient])
        return Neighbour(
            facts,
            self.index.entries[match.patient].number,
            match,
            self._geometry_mm(facts),
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
