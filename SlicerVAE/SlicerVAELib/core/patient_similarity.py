"""How like two patients are, slice by slice at the same level of the body, and the most similar of many.

The distance from a query A to a candidate B is the mean over A's slices of the smallest divergence to a slice of B
whose body position lies within a window; what is told is the mean of that and of the distance from B to A. Between
slices the symmetric divergence is the default: one product then serves both ways, where the others take two.

All patients are judged by float32 products that are never above the divergences (``core.kl_bound``), so that a
patient's distance has a lower bound; the plain float64 formula is evaluated from the smallest bound up, until the next
bound lies above the last distance that is wanted. The ranking is exactly that of the plain formula.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from .kl_bound import Lifting
from .kl_search import SearchMatrix, nearest
from .patient_stacks import PatientStacks, SliceStack, moment_matched
from .progress import Cancel, Listener, Meter, ignore
from .similarity import OPPOSITE, Direction, Posteriors, paired_divergences

WINDOW_MM = 30.0
LEAST_SHARE_MATCHED = 0.5
BOUNDS_AT_ONCE = 1 << 22  # elements of a block of bounds, 16 MB: smaller products leave the threads of a BLAS waiting
ROUNDING = 1e-9  # of a bound: far above what float64 rounds in the means


@dataclasses.dataclass(frozen=True)
class SlicePair:
    """A slice of the query, the slice of the candidate that is nearest to it, and their divergence in nats."""

    query: int
    candidate: int
    divergence: float


@dataclasses.dataclass(frozen=True)
class PatientMatch:
    """A patient of the library (its index) beside the query; ``distance`` in nats is the smaller the more alike.

    ``pairs`` are the query's slices that have a slice within the window, each with its nearest, and ``share_matched``
    says how many of the query's slices these are. ``in_window`` is False where the origins of body positions differ,
    so that the whole scan was the window.
    """

    patient: int
    distance: float
    share_matched: float
    in_window: bool
    pairs: tuple[SlicePair, ...]

    @property
    def remark(self) -> str:
        """What a person should know of the comparison, empty when nothing."""
        if self.in_window:
            return ""
        return "The level in the body is not known in the same way for both, so each slice was compared with all."


@dataclasses.dataclass(frozen=True)
class LeftOut:
    """A patient too little of whom lies where the query does to be compared."""

    patient: int
    share_matched: float

    @property
    def reason(self) -> str:
        """A sentence for a person."""
        return f"Only {self.share_matched:.0%} of the slices have one at the same level of the body to compare with."


@dataclasses.dataclass(frozen=True)
class PatientRanking:
    """The most similar patients, the most similar first, and those that could not be compared.

    ``evaluated`` tells for how many patients the plain formula was needed.
    """

    matches: tuple[PatientMatch, ...]
    left_out: tuple[LeftOut, ...]
    evaluated: int


def compare(
    query: SliceStack,
    candidate: SliceStack,
    patient: int = 0,
    *,
    direction: Direction = "symmetric-kl",
    window_mm: float = WINDOW_MM,
) -> PatientMatch | LeftOut:
    """The candidate, called ``patient``, beside the query, by the plain formula in float64."""
    in_window = query.origin == candidate.origin
    apart = _apart(query.positions_mm, _positions(candidate.positions_mm, np.array(in_window)), window_mm)
    here, there = np.nonzero(~apart)
    share = len(np.unique(here)) / len(query.posteriors)
    if share < LEAST_SHARE_MATCHED:
        return LeftOut(patient, share)
    first, second = query.posteriors[here], candidate.posteriors[there]
    onwards = np.full(apart.shape, np.inf)
    onwards[here, there] = paired_divergences(first, second, direction)
    back = onwards
    if OPPOSITE[direction] != direction:
        back = np.full(apart.shape, np.inf)
        back[here, there] = paired_divergences(first, second, OPPOSITE[direction])
    closest = onwards.argmin(axis=1)
    pairs = tuple(SlicePair(int(n), int(closest[n]), float(onwards[n, closest[n]])) for n in np.unique(here))
    from_query = np.mean([pair.divergence for pair in pairs])
    from_candidate = back.min(axis=0)[np.unique(there)].mean()
    return PatientMatch(patient, float(from_query + from_candidate) / 2, share, in_window, pairs)


def rank_patients(
    query: SliceStack,
    library: PatientStacks,
    count: int = 10,
    *,
    direction: Direction = "symmetric-kl",
    window_mm: float = WINDOW_MM,
    among: np.ndarray | None = None,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> PatientRanking:
    """The ``count`` patients that are most like the query, equal ones in the order of their indices.

    ``among`` are the indices of the patients to consider, all when None. Raises UserError for values that are not
    numbers, Cancelled.
    """
    if count < 1:
        raise ValueError(f"a ranking holds one patient or more, not {count}")
    cancel = cancel or Cancel()
    patients = np.arange(len(library)) if among is None else np.unique(np.asarray(among, dtype=np.int64))
    scan = _Scan.of(query, library, direction, window_mm)
    meter = Meter(progress, "comparing patients", len(patients))
    bounds, shares = np.empty(len(patients)), np.empty(len(patients))
    for run in _runs(np.diff(library.starts)[patients], BOUNDS_AT_ONCE // len(query.posteriors)):
        cancel.check()
        bounds[run], shares[run] = scan.bounds(patients[run])
        meter.advance(run.stop - run.start)
    enough = shares >= LEAST_SHARE_MATCHED
    left_out = tuple(LeftOut(int(patients[n]), float(shares[n])) for n in np.flatnonzero(~enough))
    compared = np.flatnonzero(enough)
    found: list[PatientMatch] = []
    evaluated = 0
    for n in compared[np.argsort(bounds[compared], kind="stable")]:
        if len(found) == count and bounds[n] > found[-1].distance:
            break
        cancel.check()
        patient = int(patients[n])
        match = compare(query, library[patient], patient, direction=direction, window_mm=window_mm)
        assert isinstance(match, PatientMatch)
        evaluated += 1
        found = sorted([*found, match], key=lambda match: (match.distance, match.patient))[:count]
    return PatientRanking(tuple(found), left_out, evaluated)


def similar_on_the_whole(query: SliceStack, summaries: Posteriors, count: int) -> np.ndarray:
    """Indices, ascending, of the ``count`` patients whose Gaussian in ``summaries`` (``moment_matched``) is nearest to
    the query's, symmetric KL.

    A coarse first pass for libraries that are too large for ``rank_patients`` over all; pass its answer as ``among``.
    What it misses is missed: measure ``recall`` on the library at hand.
    """
    own = moment_matched(PatientStacks.of([query]))
    matrix = SearchMatrix.of(summaries, "symmetric-kl")
    return np.sort(nearest(own, matrix, summaries, count).indices[0])


def recall(found: PatientRanking, exact: PatientRanking) -> float:
    """The share of the exact ranking's patients that were found; 1 when there are none."""
    wanted = {match.patient for match in exact.matches}
    return len(wanted & {match.patient for match in found.matches}) / len(wanted) if wanted else 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class _Scan:
    """What a query needs to find a lower bound of its distance to each patient."""

    query: SliceStack
    library: PatientStacks
    window_mm: float
    onwards: tuple[Lifting, np.ndarray]
    back: tuple[Lifting, np.ndarray] | None  # None where it would be the same

    @classmethod
    def of(cls, query: SliceStack, library: PatientStacks, direction: Direction, window_mm: float) -> "_Scan":
        liftings = [Lifting.of(library.posteriors, each) for each in dict.fromkeys([direction, OPPOSITE[direction]])]
        lifted = [(lifting, lifting.queries(query.posteriors)) for lifting in liftings]
        return cls(query, library, window_mm, lifted[0], lifted[1] if len(lifted) > 1 else None)

    def bounds(self, patients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each patient, float64 (P,): what its distance can't be below, and the share of the query's slices that
        have one within the window."""
        rows = self.library.rows_of(patients)
        posteriors = self.library.posteriors[rows]
        counts = np.diff(self.library.starts)[patients]
        starts = np.concatenate([[0], np.cumsum(counts[:-1])])
        in_window = np.repeat(self.library.origins[patients] == self.query.origin, counts)
        apart = _apart(self.query.positions_mm, _positions(self.library.positions_mm[rows], in_window), self.window_mm)
        onwards = _table(self.onwards, posteriors, apart)
        back = onwards if self.back is None else _table(self.back, posteriors, apart)
        smallest = np.minimum.reduceat(onwards, starts, axis=1)
        matched = np.isfinite(smallest)
        from_query = _mean(np.where(matched, smallest, 0).sum(axis=0, dtype=np.float64), matched.sum(axis=0))
        smallest = back.min(axis=0)
        finite = np.isfinite(smallest)
        sums = np.add.reduceat(np.where(finite, smallest, 0).astype(np.float64), starts)
        bound = (from_query + _mean(sums, np.add.reduceat(finite.astype(np.int64), starts))) / 2
        return bound - ROUNDING * np.abs(bound), matched.mean(axis=0)


def _table(lifted: tuple[Lifting, np.ndarray], posteriors: Posteriors, apart: np.ndarray) -> np.ndarray:
    """Float32 (Q, N), not above the divergences between the query's slices and these; infinite where ``apart``."""
    lifting, queries = lifted
    table = queries @ lifting.items(posteriors).T
    np.copyto(table, np.inf, where=apart)
    return table


def _apart(here: np.ndarray, there: np.ndarray, window_mm: float) -> np.ndarray:
    """Boolean (N, M): whether two positions in mm lie further apart than the window; never for NaN."""
    distance = there[None, :] - here[:, None]
    return np.abs(distance, out=distance) > window_mm


def _positions(positions_mm: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The positions, and NaN where they are not known in the query's terms."""
    return np.where(known, positions_mm, np.float32(np.nan))


def _mean(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return total / np.maximum(count, 1)


def _runs(counts: np.ndarray, most: int) -> Iterator[slice]:
    """Slices of things that have ``counts`` parts each, with at most ``most`` parts in all or a single thing."""
    start, total = 0, 0
    for n, count in enumerate(counts):
        if n > start and total + count > most:
            yield slice(start, n)
            start, total = n, 0
        total += count
    if start < len(counts):
        yield slice(start, len(counts))
