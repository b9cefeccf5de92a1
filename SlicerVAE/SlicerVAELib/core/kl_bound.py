"""A float32 product that is never above the divergence, so that one fast pass tells what can't be among the nearest.

Posteriors are lifted to vectors of which D = xᵀy (see ``core.similarity``), with three measures that keep the product
tight. The means are centred, which leaves a divergence as it is. Each column is scaled by a power of two, which is
exact, so that its numbers in queries and items are of one size. And two columns are added: the query's constant beside
a 1, and the item's norm beside what rounding can be worth at most. That follows from |fl(xᵀy) − xᵀy| ≤ γ_n |x|ᵀ|y| for
any order of summation, γ_n = n·u/(1 − n·u), u = 2⁻²⁴ (Higham, Accuracy and Stability of Numerical Algorithms, §3.1), in
which the roundings of x and y count as further factors (1 + u), and from |x|ᵀ|y| ≤ ‖x‖‖y‖ (Cauchy and Schwarz).
"""

import dataclasses

import numpy as np

from .errors import UserError
from .similarity import Direction, Posteriors, blocks, lifted_items, lifted_queries

UNIT = 2.0**-24  # u of float32
ROUNDINGS = 16  # factors (1 + u) that a column of y and of x has at most: 6 of exp, 3 of μ², the products, x itself
TINY = 1e-30  # far above the absolute error of numbers below float32's normal range
LOG_VARIANCE_LIMIT, MEAN_LIMIT = 24.0, 1e6  # within which float32 neither over- nor underflows
SAMPLE = 4096  # posteriors from which centre and scale are taken; any choice is right, a good one is tight
ELEMENTS_AT_ONCE = 1 << 19  # float32 that are lifted at once: 2 MB, which stays in the processor's cache
RELATIVE_SLACK = 1e-12  # what float64 rounds in the plain formula, as a share of its terms


@dataclasses.dataclass(frozen=True, eq=False)
class Lifting:
    """How posteriors of J latents become float32 vectors: ``centre`` is float32 (J,), ``scale`` float32 (C + 1,) with
    C = ``lifted_columns``, all powers of two."""

    direction: Direction
    centre: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, posteriors: Posteriors, direction: Direction) -> "Lifting":
        """The lifting that is tight for posteriors like these. Raises UserError for what ``items`` refuses."""
        size = posteriors.size
        sample = posteriors[np.linspace(0, len(posteriors) - 1, min(SAMPLE, len(posteriors))).astype(np.int64)]
        _check(sample)
        mean, log_variance = sample.mean.astype(np.float64), sample.log_variance.astype(np.float64)
        centre = mean.mean(axis=0).astype(np.float32) if len(sample) else np.zeros(size, np.float32)
        mean -= centre
        queries, constants = lifted_queries(mean, log_variance, direction)
        of_queries = _root_mean_square(np.column_stack([queries, constants]))
        of_items = _root_mean_square(np.column_stack([lifted_items(mean, log_variance, direction), np.ones(len(mean))]))
        scale = np.exp2(np.round(np.log2(of_items / of_queries) / 2)).astype(np.float32)
        return cls(direction, centre, scale)

    @property
    def columns(self) -> int:
        """Numbers in each vector: C + 2."""
        return len(self.scale) + 1

    def items(self, posteriors: Posteriors, out: np.ndarray | None = None) -> np.ndarray:
        """Stored posteriors (M, J) as vectors, float32 (M, ``columns``), in ``out`` where that is given.

        Raises UserError for values that are not numbers, and for variances that no float32 holds.
        """
        if out is None:
            out = np.empty((len(posteriors), self.columns), np.float32)
        for rows in blocks(len(posteriors), ELEMENTS_AT_ONCE // self.columns):
            self._lift(posteriors[rows], out[rows])
        return out

    def _lift(self, posteriors: Posteriors, out: np.ndarray) -> None:
        _check(posteriors)
        factors = 1 / self.scale
        vectors = out[:, :-1]
        lifted_items(posteriors.mean - self.centre, posteriors.log_variance, self.direction, vectors[:, :-1])
        vectors[:, -1] = 1
        vectors *= factors
        norms = np.sqrt(np.einsum("mc,mc->m", vectors, vectors))
        if self.direction == "kl":
            # Of Σ(ln σ² + μ²/σ²) the logarithms can cancel what the rest was rounded by.
            norms += 2 * factors[-2] * np.abs(posteriors.log_variance).sum(axis=1)
        if not np.isfinite(norms).all():
            raise UserError(_UNUSABLE)
        out[:, -1] = norms + np.float32(TINY)

    def queries(self, posteriors: Posteriors) -> np.ndarray:
        """Queries (N, J) as vectors, float32 (N, ``columns``), of which x @ y ≤ D, in nats, with ``items`` y.

        That holds for the value of the plain formula in float64 too. Raises UserError for what ``items`` refuses.
        """
        _check(posteriors)
        mean = posteriors.mean.astype(np.float64) - self.centre
        log_variance = posteriors.log_variance.astype(np.float64)
        queries, constants = lifted_queries(mean, log_variance, self.direction)
        # The plain formula's own rounding: beside |x|ᵀ|y| it can have logarithms that cancel in the lifted form.
        constants -= RELATIVE_SLACK * (np.abs(log_variance).sum(axis=1) + LOG_VARIANCE_LIMIT * posteriors.size + 1)
        vectors = np.column_stack([queries, constants]) / 2 * self.scale
        growth = (self.columns + ROUNDINGS) * UNIT
        worst = growth / (1 - 3 * growth) * (1 + growth)  # of the product, and of the norms and this column themselves
        margin = -(worst + RELATIVE_SLACK) * np.linalg.norm(vectors, axis=1)
        return np.column_stack([vectors, np.nextafter(margin.astype(np.float32), -np.inf)]).astype(np.float32)


_UNUSABLE = (
    "The posteriors hold values that are not numbers, or variances beyond all measure; encode these images again, "
    "with a model that reconstructs them."
)


def _check(posteriors: Posteriors) -> None:
    if not len(posteriors):
        return
    for values, limit in ((posteriors.log_variance, LOG_VARIANCE_LIMIT), (posteriors.mean, MEAN_LIMIT)):
        # Written so that NaN fails.
        if not (values.min() >= -limit and values.max() <= limit):
            raise UserError(_UNUSABLE)


def _root_mean_square(columns: np.ndarray) -> np.ndarray:
    """Of each column, and 1 where it is all zero, (C,)."""
    found = np.sqrt(np.square(columns).mean(axis=0)) if len(columns) else np.zeros(columns.shape[1])
    return np.where(found > 0, found, 1.0)
