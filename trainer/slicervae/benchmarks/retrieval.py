"""Whether the nearest posterior is the right patient's: the sources' experiment, on phantoms.

The sources trained on slice 1 of each patient and encoded slice 3: was the nearest stored posterior that of the same
patient? Here slice 1 is the middle one of a phantom and slice 3 two further to the head. Then whole patients are
compared as the library compares them, every second of some slices with those in between. As the anatomy of phantoms is
known, all distances are also held against how unlike two patients are in truth. Beside the divergence stand baselines.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.decomposition import PCA

from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.patient_similarity import WINDOW_MM
from SlicerVAELib.core.patient_stacks import SliceStack
from SlicerVAELib.core.progress import Cancel, Listener, Meter, ignore, part_of
from SlicerVAELib.core.similarity import OPPOSITE, Direction, Posteriors, lifted_items, lifted_queries

from .figure import Figure
from .retrieval_cohort import Prepared, draw, gaussian_model, prepared
from .retrieval_training import RECIPE, trained_on

APART = 2  # slices 1 and 3
THINNED = 3  # of whole patients every third slice is compared
COMPONENTS = 50
DIRECTIONS: tuple[Direction, ...] = ("kl", "reverse-kl", "symmetric-kl")
TARGETS = {"kl": 0.95, "reverse-kl": 0.95}  # sources: 9 of 10
DRAWING = 0.6  # of the time


@dataclasses.dataclass(frozen=True, eq=False)
class Slices:
    """Slices of N patients, patient after patient from ``starts`` (N,): posteriors (K, J), pixels (K, P), and body
    positions (K,)."""

    posteriors: Posteriors
    pixels: np.ndarray
    positions_mm: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, stacks: Sequence[SliceStack], pixels: Sequence[np.ndarray], rows: slice) -> "Slices":
        """The same rows of each patient."""
        posteriors = [stack.posteriors[rows] for stack in stacks]
        counts = [len(each) for each in posteriors]
        return cls(
            Posteriors(
                np.concatenate([each.mean for each in posteriors]),
                np.concatenate([each.log_variance for each in posteriors]),
            ),
            np.concatenate([each[rows] for each in pixels]),
            np.concatenate([stack.positions_mm[rows] for stack in stacks]),
            np.cumsum([0, *counts[:-1]]),
        )


@dataclasses.dataclass(frozen=True)
class Retrieval:
    """How well a measure finds phantoms again.

    ``slice_found`` is the share of patients whose slice 3 lies nearest to their own slice 1, ``own`` and ``others`` are
    the mean distances from it to their own and to other patients' slice 1, and ``patient_found`` is the share who are
    found by other slices of theirs. ``slice_rank`` and ``patient_rank`` are Spearman's correlations of the distances of
    slices 1, and of whole patients, with those of the true anatomies.
    """

    model: str
    measure: str
    slice_found: float
    own: float
    others: float
    slice_rank: float
    patient_found: float
    patient_rank: float


def retrievals(
    bundles: Sequence[Path],
    epochs: int,
    patients: int,
    size: int,
    slices: int,
    listener: Listener,
    cancel: Cancel,
) -> tuple[list[Retrieval], float]:
    """How well some thorax CT models find phantoms of so many pixels a side and slices again, and a ``vae50`` that saw
    nothing but slice 1 of them for so many ``epochs``, none for 0; and the distance of their slices in mm.

    Raises UserError for a model without Gaussian posteriors, Cancelled.
    """
    models = [gaussian_model(bundle) for bundle in bundles]
    phantoms = draw(patients, size, slices, part_of(listener, 0.0, DRAWING), cancel)
    truth = _euclidean(phantoms.anatomy, phantoms.anatomy)
    parts = [DRAWING + (1 - DRAWING) * n / (2 * len(models) + 1) for n in range(2 * len(models) + 2)]
    listeners = iter([part_of(listener, begin, end) for begin, end in itertools.pairwise(parts)])
    found = []
    for number, (name, preprocessing, network) in enumerate(models):
        cohort = prepared(phantoms, preprocessing, next(listeners), cancel)
        found += _of_model(name, network, cohort, truth, next(listeners), cancel)
        if number == 0 and epochs:
            first = torch.stack([patient.images[len(patient.images) // 2] for patient in cohort])
            network = trained_on(first, epochs, next(listeners), cancel)
            found += _of_model(f"{RECIPE} of slice 1 alone", network, cohort, truth, ignore, cancel)
    return found, phantoms.step_mm


def figures(found: Sequence[Retrieval], patients: int, step_mm: float) -> list[Figure]:
    """The shares that have a target."""
    return [
        Figure(
            f"{each.model}, {each.measure}: slice 3, {APART * step_mm:.0f} mm from slice 1, finds it among {patients}",
            each.slice_found,
            "",
            TARGETS[each.measure],
            "at least",
        )
        for each in found
        if each.measure in TARGETS
    ]


def table(found: Sequence[Retrieval]) -> str:
    """All of them as a Markdown table."""
    names = (
        *("model", "measure", "slice 1 found", "mean distance: same", "others", "rank correlation"),
        *("patient found", "rank correlation of patients"),
    )
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    for each in found:
        cells = [each.model, each.measure, f"{each.slice_found:.2f}", f"{each.own:.4g}", f"{each.others:.4g}"]
        cells += [f"{value:.2f}" for value in (each.slice_rank, each.patient_found, each.patient_rank)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _of_model(
    name: str, network: Network, cohort: Sequence[Prepared], truth: np.ndarray, listener: Listener, cancel: Cancel
) -> list[Retrieval]:
    stacks = [patient.encoded(network) for patient in cohort]
    middle = len(cohort[0].images) // 2

    def chosen(rows: slice) -> Slices:
        return Slices.of(stacks, [patient.pixels for patient in cohort], rows)

    first, third = (chosen(slice(level, level + 1)) for level in (middle, middle + APART))
    even, odd, thinned = (
        chosen(slice(begin, None, step)) for begin, step in ((0, 2 * THINNED), (THINNED, 2 * THINNED), (0, THINNED))
    )
    components = PCA(min(COMPONENTS, len(stacks) - 1), random_state=0).fit(first.pixels)
    meter = Meter(listener, "comparing phantoms", 4)
    tables = []
    for queries, stored in ((third, first), (first, first), (odd, even), (thinned, thinned)):
        cancel.check()
        tables.append(distances(queries, stored, components))
        meter.advance(1)
    to_first, of_first, halves, whole = tables
    is_own = np.eye(len(stacks), dtype=bool)
    return [
        Retrieval(
            name,
            measure,
            top_1(table),
            float(table[is_own].mean()),
            float(table[~is_own].mean()),
            rank_correlation(of_first[measure], truth),
            top_1(patient_distances(both_ways(halves, measure), odd, even)),
            rank_correlation(patient_distances(both_ways(whole, measure), thinned, thinned), truth),
        )
        for measure, table in to_first.items()
    ]


def distances(queries: Slices, stored: Slices, components: PCA) -> dict[str, np.ndarray]:
    """The distances of all pairs of slices, float64 (Q, M), by name of the measure."""
    return {
        **{direction: _divergences(queries.posteriors, stored.posteriors, direction) for direction in DIRECTIONS},
        "mean-vector L2": _euclidean(queries.posteriors.mean, stored.posteriors.mean),
        "pixel MSE": _euclidean(queries.pixels, stored.pixels),  # its root, which ranks alike
        f"PCA-{COMPONENTS}": _euclidean(components.transform(queries.pixels), components.transform(stored.pixels)),
    }


def both_ways(tables: dict[str, np.ndarray], measure: str) -> tuple[np.ndarray, np.ndarray]:
    """The table of a measure from queries to stored, and of the same from stored to queries."""
    back = next((OPPOSITE[direction] for direction in DIRECTIONS if direction == measure), measure)
    return tables[measure], tables[back]


def patient_distances(tables: tuple[np.ndarray, np.ndarray], queries: Slices, stored: Slices) -> np.ndarray:
    """Distances of patients, float64 (N, N), as ``core.patient_similarity`` makes them of those of their slices."""
    apart = np.abs(stored.positions_mm[None, :] - queries.positions_mm[:, None]) > WINDOW_MM
    onwards, back = (np.where(apart, np.inf, table) for table in tables)
    from_queries = np.minimum.reduceat(onwards, stored.starts, axis=1)
    from_stored = np.minimum.reduceat(back, queries.starts, axis=0)
    return (_mean_of(from_queries, queries.starts, 0) + _mean_of(from_stored, stored.starts, 1)) / 2


def _mean_of(smallest: np.ndarray, starts: np.ndarray, axis: int) -> np.ndarray:
    is_matched = np.isfinite(smallest)
    total = np.add.reduceat(np.where(is_matched, smallest, 0), starts, axis=axis)
    count = np.add.reduceat(is_matched.astype(np.float64), starts, axis=axis)
    return np.divide(total, count, out=np.full_like(total, np.inf), where=count > 0)


def _divergences(queries: Posteriors, stored: Posteriors, direction: Direction) -> np.ndarray:
    """As ``core.similarity.divergences``, by one product: in float64 it rounds what is near zero only."""
    here, there = ((each.mean.astype(np.float64), each.log_variance.astype(np.float64)) for each in (queries, stored))
    vectors, constants = lifted_queries(*here, direction)
    items = lifted_items(*there, direction)
    return (vectors @ items.T + constants[:, None]) / 2


def top_1(table: np.ndarray) -> float:
    """Share of queries n (rows) whose nearest stored patient (column) is n."""
    return float((table.argmin(axis=1) == np.arange(len(table))).mean())


def rank_correlation(table: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's rank correlation of two tables of distances (N, N) over all pairs of different patients, of which a
    divergence has one for each order."""
    pairs = ~np.eye(len(table), dtype=bool)
    return float(stats.spearmanr(table[pairs], truth[pairs]).statistic)


def _euclidean(queries: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Euclidean distances of all pairs, float64 (Q, M)."""
    queries, stored = queries.astype(np.float64), stored.astype(np.float64)
    squares = np.square(queries).sum(axis=1)[:, None] + np.square(stored).sum(axis=1) - 2 * queries @ stored.T
    return np.sqrt(np.maximum(squares, 0))
