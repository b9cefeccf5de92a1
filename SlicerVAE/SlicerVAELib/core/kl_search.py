"""The nearest of many posteriors, exactly as the plain float64 formula ranks them, at the price of one product.

One float32 product gives a lower bound of every divergence (``core.kl_bound``). Where the bound is small the plain
formula is evaluated; once the bound of everything else lies above the last of those that are wanted, nothing else can
be among them. In the worst case everything is evaluated, which is slow and right.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from .kl_bound import Lifting
from .similarity import Direction, Posteriors, blocks, divergences
from .threads import threads_wanted

QUERIES_AT_ONCE = 16
SHARE_OF_A_THREAD = 1 << 16  # items that take a thread some milliseconds, far longer than it takes to start
RUN = 64  # values that share a minimum where few of many are looked for
FIRST = 64  # evaluated beyond twice the count: fewer are not worth a selection


@dataclasses.dataclass(frozen=True, eq=False)
class SearchMatrix:
    """Lifted posteriors: ``items`` is float32 (N, ``lifting.columns``), contiguous, and may be a mapped file."""

    lifting: Lifting
    items: np.ndarray

    def __post_init__(self) -> None:
        if self.items.dtype != np.float32 or self.items.ndim != 2 or self.items.shape[1] != self.lifting.columns:
            raise ValueError(f"items {self.items.shape} {self.items.dtype} are not (N, {self.lifting.columns}) float32")

    @classmethod
    def of(cls, posteriors: Posteriors, direction: Direction, out: np.ndarray | None = None) -> "SearchMatrix":
        """The matrix of posteriors, in ``out`` (N, ``Lifting.of(posteriors, direction).columns``) where that is given.

        Raises UserError for values that are not numbers.
        """
        lifting = Lifting.of(posteriors, direction)
        return cls(lifting, lifting.items(posteriors, out))

    def __len__(self) -> int:
        return len(self.items)

    @property
    def direction(self) -> Direction:
        """The divergence by which it ranks."""
        return self.lifting.direction


@dataclasses.dataclass(frozen=True, eq=False)
class Neighbours:
    """The nearest of each query, the nearest first: ``indices`` int64 (Q, K) and ``distances`` float64 (Q, K) in nats.

    K is the count asked for, or the number of items when there are fewer. ``evaluated`` (Q,) tells for how many items
    the plain formula was needed.
    """

    indices: np.ndarray
    distances: np.ndarray
    evaluated: np.ndarray


def nearest(queries: Posteriors, matrix: SearchMatrix, posteriors: Posteriors, count: int) -> Neighbours:
    """The ``count`` nearest of the matrix's items to each of Q queries, in the direction of the matrix.

    ``posteriors`` are those that the matrix was made of. The ranking is that of ``similarity.divergences``, equal
    values in the order of their indices. Several queries share a product. Raises UserError for a query with values
    that are not numbers.
    """
    if len(posteriors) != len(matrix):
        raise ValueError(f"{len(posteriors)} posteriors and {len(matrix)} items do not belong together")
    kept = min(max(count, 0), len(matrix))
    shape = (len(queries), kept)
    found = Neighbours(np.empty(shape, np.int64), np.empty(shape), np.zeros(len(queries), np.int64))
    if kept == 0:
        return found
    for rows in blocks(len(queries), QUERIES_AT_ONCE):
        vectors = matrix.lifting.queries(queries[rows])
        bounds = _products(matrix.items, vectors)
        for n, bound in zip(range(rows.start, rows.stop), bounds, strict=True):
            indices, distances = _evaluated(queries[n : n + 1], bound, posteriors, matrix.direction, kept)
            order = np.lexsort((indices, distances))[:kept]
            found.indices[n], found.distances[n] = indices[order], distances[order]
            found.evaluated[n] = len(indices)
    return found


def _products(items: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Float32 (Q, N): each of Q vectors with each of N items."""
    if len(vectors) > 1:
        return vectors @ items.T
    # One product is bound by memory. einsum reads the items about twice as fast as a BLAS does, but in one thread.
    out = np.empty((1, len(items)), np.float32)

    def fill(rows: slice) -> None:
        np.einsum("nc,c->n", items[rows], vectors[0], out=out[0, rows])

    parts = list(blocks(len(items), max(SHARE_OF_A_THREAD, -(-len(items) // threads_wanted()))))
    if len(parts) == 1:
        fill(parts[0])
    else:
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(fill, parts))
    return out


def _evaluated(
    query: Posteriors, bounds: np.ndarray, posteriors: Posteriors, direction: Direction, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and distances of items that hold the ``count`` nearest; ``bounds`` (N,) are not above the distances."""
    indices, distances = np.empty(0, np.int64), np.empty(0)
    wanted, limit = min(2 * count + FIRST, len(bounds)), np.float32(-np.inf)
    while wanted > len(indices):
        below, limit = limit, _smallest(bounds, wanted)
        fresh = np.flatnonzero((bounds > below) & (bounds <= limit))
        indices = np.concatenate([indices, fresh])
        distances = np.concatenate([distances, divergences(query, posteriors[fresh], direction)[0]])
        last = np.partition(distances, count - 1)[count - 1]
        needed = int(np.count_nonzero(bounds <= np.nextafter(np.float32(last), np.float32(np.inf))))
        wanted = min(needed, 8 * len(indices))
    return indices, distances


def _smallest(values: np.ndarray, rank: int) -> np.float32:
    """The ``rank``-th smallest of values (N,), counted from 1; of few of many at the price of reading them twice."""
    runs = len(values) // RUN
    if rank <= runs:  # then at least as many values do not exceed the rank-th smallest minimum of a run
        least = values[: runs * RUN].reshape(runs, RUN).min(axis=1)
        values = values[values <= np.partition(least, rank - 1)[rank - 1]]
    return np.partition(values, rank - 1)[rank - 1]
