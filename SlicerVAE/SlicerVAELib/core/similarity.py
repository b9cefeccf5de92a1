"""Kullback–Leibler divergence between diagonal Gaussian posteriors, plainly and as an inner product.

Of a query q = N(μ_q, diag σ_q²) and a stored posterior p, in nats:

``kl``            D(q‖p) = ½ Σ [ln σ_p²/σ_q² − 1 + (σ_q² + (μ_q − μ_p)²)/σ_p²]
``reverse-kl``    D(p‖q)
``symmetric-kl``  D(q‖p) + D(p‖q)

Only numpy is needed, so that Slicer's own process and the patient library can search without torch.
"""

import dataclasses
from collections.abc import Iterator
from typing import Literal

import numpy as np

Direction = Literal["kl", "reverse-kl", "symmetric-kl"]
OPPOSITE: dict[Direction, Direction] = {"kl": "reverse-kl", "reverse-kl": "kl", "symmetric-kl": "symmetric-kl"}

BLOCK_ELEMENTS = 1 << 17  # numbers of float64 that are worked on at once: a MB, which stays in the processor's cache


@dataclasses.dataclass(frozen=True, eq=False)
class Posteriors:
    """N posteriors N(μ, diag σ²): ``mean`` and ``log_variance`` (ln σ²) are float32 (N, J), and may be mapped files."""

    mean: np.ndarray
    log_variance: np.ndarray

    def __post_init__(self) -> None:
        if self.mean.ndim != 2 or self.mean.shape != self.log_variance.shape:
            raise ValueError(f"means {self.mean.shape} and log variances {self.log_variance.shape} are not both (N, J)")
        if self.mean.dtype != np.float32 or self.log_variance.dtype != np.float32:
            raise ValueError(f"posteriors are float32, not {self.mean.dtype} and {self.log_variance.dtype}")

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: slice | np.ndarray) -> "Posteriors":
        return Posteriors(self.mean[rows], self.log_variance[rows])

    @property
    def size(self) -> int:
        """Latent dimensions, J."""
        return self.mean.shape[1]


@dataclasses.dataclass(frozen=True, eq=False)
class _Moments:
    """Posteriors in float64, (N, J) each or, of a single one, (J,)."""

    mean: np.ndarray
    log_variance: np.ndarray
    precision: np.ndarray

    @classmethod
    def of(cls, posteriors: Posteriors) -> "_Moments":
        log_variance = posteriors.log_variance.astype(np.float64)
        return cls(posteriors.mean.astype(np.float64), log_variance, np.exp(-log_variance))

    def __getitem__(self, rows: int | slice | np.ndarray) -> "_Moments":
        return _Moments(self.mean[rows], self.log_variance[rows], self.precision[rows])


def divergences(queries: Posteriors, stored: Posteriors, direction: Direction) -> np.ndarray:
    """The divergence between each of N queries and each of M stored posteriors, float64 (N, M) in nats, never negative.

    Each value depends on its two posteriors alone, to the last bit, whatever they are computed with.
    """
    here = _Moments.of(queries)
    table = np.empty((len(queries), len(stored)))
    for rows in blocks(len(stored), BLOCK_ELEMENTS // max(1, stored.size)):
        there = _Moments.of(stored[rows])
        for n in range(len(queries)):
            table[n, rows] = _between(here[n], there, direction)
    return table


def paired_divergences(queries: Posteriors, stored: Posteriors, direction: Direction) -> np.ndarray:
    """The divergence between query n and stored posterior n, float64 (N,) in nats; see ``divergences``."""
    found = np.empty(len(queries))
    for rows in blocks(len(queries), BLOCK_ELEMENTS // max(1, queries.size)):
        found[rows] = _between(_Moments.of(queries[rows]), _Moments.of(stored[rows]), direction)
    return found


def kl(first: Posteriors, second: Posteriors) -> np.ndarray:
    """D(first‖second) of all pairs, float64 (N, M) in nats."""
    return divergences(first, second, "kl")


def reverse_kl(first: Posteriors, second: Posteriors) -> np.ndarray:
    """D(second‖first) of all pairs, float64 (N, M) in nats."""
    return divergences(first, second, "reverse-kl")


def symmetric_kl(first: Posteriors, second: Posteriors) -> np.ndarray:
    """D(first‖second) + D(second‖first) of all pairs, float64 (N, M) in nats."""
    return divergences(first, second, "symmetric-kl")


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices that cut ``count`` things into runs of at most ``size``, and of at least one."""
    size = max(1, size)
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _between(queries: _Moments, stored: _Moments, direction: Direction) -> np.ndarray:
    """½ Σ over the last axis of what the direction adds up, in a form in which near duplicates do not cancel."""
    difference = queries.log_variance - stored.log_variance
    squared = np.square(queries.mean - stored.mean)
    if direction == "kl":
        terms = np.expm1(difference) - difference + squared * stored.precision
    elif direction == "reverse-kl":
        terms = np.expm1(-difference) + difference + squared * queries.precision
    else:  # the logarithms cancel, and eᵈ + e⁻ᵈ − 2 = 4 sinh²(d/2)
        terms = 4 * np.square(np.sinh(difference / 2)) + squared * (queries.precision + stored.precision)
    return np.maximum(terms.sum(axis=-1) / 2, 0)


def lifted_columns(size: int, direction: Direction) -> int:
    """Numbers in a lifted posterior of ``size`` J latents: 2J + 1, or 4J + 1 for the symmetric divergence."""
    return (4 if direction == "symmetric-kl" else 2) * size + 1


def lifted_items(
    mean: np.ndarray, log_variance: np.ndarray, direction: Direction, out: np.ndarray | None = None
) -> np.ndarray:
    """Stored posteriors (M, J) as vectors y of which 2 D = xᵀy + c, with x and c from ``lifted_queries``, (M, C).

    kl: [1/σ_p², μ_p/σ_p², Σ(ln σ_p² + μ_p²/σ_p²)]; reverse-kl: [σ_p² + μ_p², μ_p, Σ ln σ_p²]; symmetric-kl:
    [1/σ_p², μ_p/σ_p², σ_p² + μ_p², μ_p, Σ μ_p²/σ_p²]. C is ``lifted_columns``. Every number is computed in the type of
    ``mean``, but the sums in float64, and written into ``out`` where that is given.
    """
    count, size = mean.shape
    if out is None:
        out = np.empty((count, lifted_columns(size, direction)), mean.dtype)
    total = np.zeros(count)
    if direction != "reverse-kl":
        precision, weighted = out[:, :size], out[:, size : 2 * size]
        np.exp(-log_variance, out=precision)
        np.multiply(mean, precision, out=weighted)
        total += (mean * weighted).sum(axis=1, dtype=np.float64)
    if direction != "kl":
        second_moment, first_moment = out[:, -2 * size - 1 : -size - 1], out[:, -size - 1 : -1]
        np.exp(log_variance, out=second_moment)
        second_moment += np.square(mean)
        first_moment[:] = mean
    if direction != "symmetric-kl":
        total += log_variance.sum(axis=1, dtype=np.float64)
    out[:, -1] = total
    return out


def lifted_queries(mean: np.ndarray, log_variance: np.ndarray, direction: Direction) -> tuple[np.ndarray, np.ndarray]:
    """Queries (N, J) as vectors x (N, C) and constants c (N,), of which 2 D = xᵀy + c with ``lifted_items`` y.

    kl: [σ_q² + μ_q², −2μ_q, 1], c = −Σ ln σ_q² − J; reverse-kl: [1/σ_q², −2μ_q/σ_q², −1],
    c = Σ(ln σ_q² + μ_q²/σ_q²) − J; symmetric-kl: [σ_q² + μ_q², −2μ_q, 1/σ_q², −2μ_q/σ_q², 1], c = Σ μ_q²/σ_q² − 2J.
    """
    count, size = mean.shape
    precision = np.exp(-log_variance)
    for_kl = [np.exp(log_variance) + np.square(mean), -2 * mean]
    for_reverse = [precision, -2 * mean * precision]
    log_determinant = log_variance.sum(axis=1)
    mahalanobis = (np.square(mean) * precision).sum(axis=1)
    ones = np.ones((count, 1), mean.dtype)
    if direction == "kl":
        return np.hstack([*for_kl, ones]), -log_determinant - size
    if direction == "reverse-kl":
        return np.hstack([*for_reverse, -ones]), log_determinant + mahalanobis - size
    return np.hstack([*for_kl, *for_reverse, ones]), mahalanobis - 2 * size
