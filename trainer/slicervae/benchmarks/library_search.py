"""How fast similar slices and patients are found, exactly, beside the bare product that any search has to make.

What is compared is timed in turn within one run, and ratios are medians, because machines are shared. The posteriors
are random, which is as hard as it gets: nothing in them tells a search where to look first.
"""

import dataclasses
import importlib
import statistics
import time
import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.distributions import Normal, kl_divergence

from SlicerVAELib.core.kl_search import SearchMatrix, nearest
from SlicerVAELib.core.patient_similarity import PatientRanking, rank_patients, recall, similar_on_the_whole
from SlicerVAELib.core.patient_stacks import PatientStacks, SliceStack, moment_matched
from SlicerVAELib.core.progress import Listener, Meter
from SlicerVAELib.core.similarity import Posteriors, lifted_columns, lifted_items, lifted_queries

from .figure import Figure
from .timing import timed

SLICE_STEP_MM = 3.0
COARSE_SHARES = (0.01, 0.1)  # of the patients, which the coarse pass leaves


@dataclasses.dataclass(frozen=True)
class Scale:
    """How much is searched: numbers of posteriors, and patients with their slices; J latents, the nearest ``count``."""

    posteriors: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    patients: int = 10_000
    slices: int = 100
    latents: int = 50
    count: int = 100
    matches: int = 10


def measure(runs: int, listener: Listener, scale: Scale | None = None) -> list[Figure]:
    """Measure with ``runs`` repetitions of each."""
    scale = scale or Scale()
    meter = Meter(listener, "searching", (len(scale.posteriors) + 1) * runs + 1)
    figures = [
        figure
        for count in scale.posteriors
        for figure in _slices(count, scale, runs, meter, is_full=count == max(scale.posteriors))
    ]
    return figures + _patients(scale, runs, meter)


def _random(random: np.random.Generator, count: int, latents: int) -> Posteriors:
    mean = random.standard_normal((count, latents), dtype=np.float32)
    log_variance = random.standard_normal((count, latents), dtype=np.float32)
    log_variance -= 4
    return Posteriors(mean, log_variance)


def _slices(count: int, scale: Scale, runs: int, meter: Meter, *, is_full: bool) -> list[Figure]:
    random = np.random.default_rng(count)
    stored = _random(random, count, scale.latents)
    making, matrix = timed(lambda: SearchMatrix.of(stored, "kl"))
    by_torch = Normal(torch.from_numpy(stored.mean), torch.from_numpy(stored.log_variance).div(2).exp())
    by_faiss = _FaissIndex.of(stored)
    seconds: dict[str, list[float]] = {}
    shares = []
    for _ in range(runs):
        query = _random(random, 1, scale.latents)
        vector = matrix.lifting.queries(query)[0]
        seconds.setdefault("product", []).append(timed(partial(np.matmul, matrix.items, vector))[0])
        taken, found = timed(partial(nearest, query, matrix, stored, scale.count))
        seconds.setdefault("search", []).append(taken)
        seconds.setdefault("torch", []).append(timed(partial(_by_torch, query, by_torch, scale.count))[0])
        if by_faiss is not None:
            taken, indices = timed(partial(by_faiss.search, query, scale.count))
            seconds.setdefault("faiss", []).append(taken)
            shares.append(len(np.intersect1d(indices, found.indices[0])) / found.indices.shape[1])
        meter.advance(1)
    what = f"{scale.count} nearest of {count:,} posteriors of {scale.latents} latents"
    ratios = {
        name: statistics.median(a / b for a, b in zip(seconds[name], seconds[other], strict=True))
        for name, other in (("search", "product"), ("torch", "search"), ("faiss", "search"))
        if name in seconds
    }
    figures = [
        Figure(f"{what}, to a bare float32 product", ratios["search"], "×", 1.5 if is_full else None),
        Figure(f"{what}, torch.distributions to it", ratios["torch"], "×", 40.0 if is_full else None, "at least"),
    ]
    if by_faiss is not None:
        figures += [
            Figure(f"{what}, faiss.IndexFlatIP to it", ratios["faiss"], "×"),
            Figure(f"{what}, found by faiss.IndexFlatIP", 100 * statistics.mean(shares), "%"),
        ]
    return [
        *figures,
        Figure(what, 1000 * statistics.median(seconds["search"]), "ms"),
        Figure(f"search matrix of {count:,} posteriors made", making, "s"),
    ]


def _by_torch(query: Posteriors, stored: Normal, count: int) -> torch.Tensor:
    posterior = Normal(torch.from_numpy(query.mean), torch.from_numpy(query.log_variance).div(2).exp())
    return kl_divergence(posterior, stored).sum(dim=1).topk(count, largest=False).indices


@dataclasses.dataclass(frozen=True, eq=False)
class _FaissIndex:
    """Faiss' flat index of the lifted vectors, which ranks by their float32 products alone."""

    index: Any

    @classmethod
    def of(cls, stored: Posteriors) -> "_FaissIndex | None":
        """The index, None where Faiss is not installed."""
        try:
            faiss = importlib.import_module("faiss")  # for the comparison alone, and so no requirement
        except ImportError:
            return None
        index = faiss.IndexFlatIP(lifted_columns(stored.size, "kl"))
        index.add(lifted_items(stored.mean, stored.log_variance, "kl"))
        return cls(index)

    def search(self, query: Posteriors, count: int) -> np.ndarray:
        """Indices of the nearest; Faiss looks for the largest product."""
        vectors, _ = lifted_queries(query.mean, query.log_variance, "kl")
        return self.index.search(-vectors, count)[1][0]


def _patients(scale: Scale, runs: int, meter: Meter) -> list[Figure]:
    random = np.random.default_rng(0)
    library = _cohort(random, scale)
    seconds, of_processor, ratios = [], [], []
    for _ in range(runs):
        query = _scanned_again(random, library[int(random.integers(len(library)))])
        began = time.process_time()
        seconds.append(timed(partial(rank_patients, query, library, scale.matches))[0])
        of_processor.append(time.process_time() - began)
        ratios.append(seconds[-1] / timed(partial(_bare_products, scale))[0])
        meter.advance(1)
    coarse = _coarse(query, library, scale)
    tracemalloc.start()
    ranking: PatientRanking = rank_patients(query, library, scale.matches)
    working = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    meter.advance(1)
    held = library.posteriors.mean.nbytes + library.posteriors.log_variance.nbytes + library.positions_mm.nbytes
    matrix = len(library.posteriors) * lifted_columns(scale.latents, "kl") * np.dtype(np.float32).itemsize
    what = f"{scale.patients:,} patients of {scale.slices} slices ranked for one of {scale.slices}"
    return [
        Figure(f"{what}, to the bare float32 products", statistics.median(ratios), "×"),
        Figure(what, statistics.median(seconds), "s", 2.0),
        Figure(f"{what}, time of the processor", statistics.median(of_processor), "s"),
        Figure(f"{what}, memory to the lifted float32 matrix", (held + working) / matrix, "×", 1.5),
        Figure(f"{what}, compared in float64", ranking.evaluated, "patients"),
        *coarse,
    ]


def _coarse(query: SliceStack, library: PatientStacks, scale: Scale) -> list[Figure]:
    """What the coarse pass finds of the exact ranking, and how long it takes with the passes that follow it."""
    summaries = moment_matched(library)
    exact = rank_patients(query, library, scale.matches)
    figures = []
    for share in COARSE_SHARES:
        kept = max(scale.matches, int(share * len(library)))
        what = f"coarse pass that leaves {kept:,} of {len(library):,} patients"
        seconds, found = timed(partial(_in_two_passes, query, library, summaries, kept, scale.matches))
        figures += [
            Figure(f"{what}: recall at {scale.matches}", recall(found, exact)),
            Figure(f"{what}, with the exact ranking of these", seconds, "s"),
        ]
    return figures


def _in_two_passes(
    query: SliceStack, library: PatientStacks, summaries: Posteriors, kept: int, count: int
) -> PatientRanking:
    return rank_patients(query, library, count, among=similar_on_the_whole(query, summaries, kept))


def _bare_products(scale: Scale) -> None:
    """The products of as many slices as the ranking lifts, without anything before or after them."""
    columns = lifted_columns(scale.latents, "symmetric-kl")
    queries = np.ones((scale.slices, columns), np.float32)
    items = np.ones((scale.patients, columns), np.float32)
    for _ in range(scale.slices):
        queries @ items.T


def _cohort(random: np.random.Generator, scale: Scale) -> PatientStacks:
    """Patients that are alike at one level of the body, and each a little different all along it."""
    shape = (scale.patients, scale.slices, scale.latents)
    levels = random.standard_normal(shape[1:], dtype=np.float32)
    mean = np.float32(0.1) * random.standard_normal(shape, dtype=np.float32)
    mean += levels
    mean += np.float32(0.7) * random.standard_normal((scale.patients, 1, scale.latents), dtype=np.float32)
    log_variance = np.float32(0.5) * random.standard_normal(shape, dtype=np.float32) - np.float32(5)
    positions = SLICE_STEP_MM * (np.arange(scale.slices) - scale.slices / 2) + 10 * random.standard_normal(
        (scale.patients, 1)
    )
    return PatientStacks(
        Posteriors(mean.reshape(-1, scale.latents), log_variance.reshape(-1, scale.latents)),
        positions.astype(np.float32).ravel(),
        np.arange(scale.patients + 1) * scale.slices,
        np.full(scale.patients, "lungs"),
    )


def _scanned_again(random: np.random.Generator, stack: SliceStack) -> SliceStack:
    noise = np.float32(0.05) * random.standard_normal(stack.posteriors.mean.shape, dtype=np.float32)
    again = Posteriors(stack.posteriors.mean + noise, stack.posteriors.log_variance)
    return SliceStack(again, stack.positions_mm + np.float32(4), stack.origin)
