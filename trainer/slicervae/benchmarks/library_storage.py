"""How fast patients go into a library, a large one is opened, and a server with pgvector searches beside the library's
own search files.

The posteriors are like those of a trained model: along a patient they change smoothly, and differ between patients.
"""

import dataclasses
import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from SlicerVAELib.core.kl_search import nearest
from SlicerVAELib.core.progress import Listener, Meter
from SlicerVAELib.core.similarity import Direction, Posteriors
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.library import pgvector
from SlicerVAELib.library.access import create_library, create_site_key, open_library
from SlicerVAELib.library.keys import SiteKey
from SlicerVAELib.library.records import (
    BundleIdentity,
    PatientIdentity,
    PatientRecord,
    PosteriorStack,
    SeriesFacts,
    SeriesIdentity,
    SeriesRecord,
)
from SlicerVAELib.library.store import Library
from SlicerVAELib.library.vector_table import VectorTable

from .figure import Figure
from .timing import timed

DIRECTIONS: tuple[Direction, ...] = ("kl", "symmetric-kl")
Answer = TypeVar("Answer")
BARE_WRITES = 100
WAVES = 6  # by which a patient's posteriors change along the body


@dataclasses.dataclass(frozen=True)
class StorageScale:
    """How much is stored: patients of so many slices and J latents in a file, and fewer on a server; and how often the
    nearest ``count`` are searched."""

    patients: int = 10_000
    server_patients: int = 1_000
    slices: int = 100
    latents: int = 50
    queries: int = 20
    count: int = 100


def measure(
    runs: int, listener: Listener, scale: StorageScale | None = None, server: str | None = None
) -> list[Figure]:
    """Measure with ``runs`` openings. ``server`` is the address of an empty database on a PostgreSQL server with
    pgvector, which then holds a library of invented patients; without it the server is left out."""
    scale = scale or StorageScale()
    meter = Meter(listener, "storing", scale.patients + (scale.server_patients if server else 0) + runs)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        key = create_site_key(folder / "keys" / "site.key")
        figures = _on_file(folder / "library" / "library.sqlite", key, scale, runs, meter)
        if server:
            figures += _on_server(server, key, scale, meter)
    return figures


def _on_file(path: Path, key: SiteKey, scale: StorageScale, runs: int, meter: Meter) -> list[Figure]:
    path.parent.mkdir()
    with create_library(path, key, _bundle(scale)) as library:
        adding = _fill(library, scale, scale.patients, meter)
        preparing, _ = timed(library.search_index)
    slices = scale.patients * scale.slices
    size = path.stat().st_size
    syncing = _bare_writes(path.with_name("bare"), size // scale.patients)
    opening = []
    for _ in range(runs):
        opening.append(timed(lambda: _opened(path))[0])
        meter.advance(1)
    return [
        *_of_adding(adding, scale),
        Figure("… a patient, to writing and syncing as many bytes", statistics.median(adding.wall_s) / syncing, "×"),
        Figure("… time of the processor alone", slices / adding.processor_s, "slices/s"),
        Figure(f"opening a library of {slices:,} slices, J = {scale.latents}", statistics.median(opening), "s", 3.0),
        Figure("preparing its search, once after it changed", preparing, "s"),
        Figure("size of the file", size / slices, "bytes/slice"),
    ]


def _on_server(address: str, key: SiteKey, scale: StorageScale, meter: Meter) -> list[Figure]:
    with create_library(address, key, _bundle(scale)) as library:
        adding = _fill(library, scale, scale.server_patients, meter)
        slices = scale.server_patients * scale.slices
        rate = slices / sum(adding.wall_s)
        figures = [Figure("adding precomputed posteriors to a PostgreSQL library", rate, "slices/s")]
        for direction in DIRECTIONS:
            figures += _searches(library, direction, scale, slices)
    return figures


def _searches(library: Library, direction: Direction, scale: StorageScale, slices: int) -> list[Figure]:
    table = VectorTable(library, direction)
    filling, _ = timed(table.refresh)
    index = library.search_index(direction)
    queries = [_query(scale, number) for number in range(scale.queries)]
    own_s, own = _per_query(
        lambda query: nearest(query, index.matrix, index.stacks.posteriors, scale.count).distances[0].tolist(), queries
    )
    exact_s, exact = _per_query(lambda query: pgvector.nearest(table, query, scale.count), queries)
    building, _ = timed(table.create_index)
    index_s, found = _per_query(lambda query: pgvector.nearest_by_index(table, query, scale.count), queries)
    same = [[each.divergence for each in there] == here for there, here in zip(exact, own, strict=True)]
    what = f"{direction}, {slices:,} slices, top {scale.count}"
    figures = [
        Figure(
            f"{what}: answers of pgvector's scan that are those of the search files", _mean(same), "", 1.0, "at least"
        ),
        Figure(f"{what}: the search files", 1e3 * own_s, "ms"),
        Figure(f"{what}: pgvector's scan", 1e3 * exact_s, "ms"),
        Figure(f"{what}: pgvector's index", 1e3 * index_s, "ms"),
    ]
    for count in (1, 10, scale.count):
        shares = [len(set(there[:count]) & set(here[:count])) / count for there, here in zip(found, exact, strict=True)]
        figures.append(Figure(f"{what}: recall at {count} of the index", _mean(shares)))
    figures.append(Figure(f"{what}: making the vectors", filling, "s"))
    figures.append(Figure(f"{what}: making the index", building, "s"))
    return figures


def _per_query(search: Callable[[Posteriors], Answer], queries: list[Posteriors]) -> tuple[float, list[Answer]]:
    """The median of the seconds, and the answers; the first query is asked twice, so that caches are warm."""
    search(queries[0])
    timings = [timed(functools.partial(search, query)) for query in queries]
    return statistics.median(seconds for seconds, _ in timings), [answer for _, answer in timings]


def _mean(values: list[float] | list[bool]) -> float:
    return sum(values) / len(values)


def _opened(path: Path) -> int:
    with open_library(path) as library:
        return len(library.search_index().matrix) + len(library.pseudonyms())


@dataclasses.dataclass(frozen=True)
class _Adding:
    """Seconds that adding each patient took, without inventing them, and those of the processor for all."""

    wall_s: list[float]
    processor_s: float


def _fill(library: Library, scale: StorageScale, patients: int, meter: Meter) -> _Adding:
    """Add so many patients."""
    wall_s, processor_s = [], 0.0
    for number in range(patients):
        record, identity = _record(scale, number), _identity(number)
        began = time.process_time()
        wall_s.append(timed(functools.partial(library.add, identity, record))[0])
        processor_s += time.process_time() - began
        meter.advance(1)
    return _Adding(wall_s, processor_s)


def _of_adding(adding: _Adding, scale: StorageScale) -> list[Figure]:
    """How fast the last ones came in before the library had a hundredth, a tenth, and all of its patients."""
    figures = []
    for share in (100, 10, 1):
        held = max(1, scale.patients // share)
        last = adding.wall_s[max(0, held - max(1, scale.patients // 20)) : held]
        what = f"adding precomputed posteriors to a SQLite library of {held * scale.slices:,} slices"
        rate = len(last) * scale.slices / sum(last)
        figures.append(Figure(what, rate, "slices/s", 5000 if share == 1 else None, "at least"))
    return figures


def _bare_writes(path: Path, size: int) -> float:
    """The median of the seconds in which so many bytes get onto the disk."""
    content = os.urandom(size)
    with path.open("wb", buffering=0) as file:

        def write() -> None:
            file.write(content)
            os.fsync(file.fileno())

        seconds = [timed(write)[0] for _ in range(BARE_WRITES)]
    return statistics.median(seconds)


def _bundle(scale: StorageScale) -> BundleIdentity:
    return BundleIdentity("benchmark", "1", "0" * 64, scale.latents, "gaussian", "{}")


def _identity(number: int) -> PatientIdentity:
    return PatientIdentity(f"INVENTED-{number}", (SeriesIdentity(f"2.25.{number + 1}"),))


def _record(scale: StorageScale, number: int) -> PatientRecord:
    posteriors = _posteriors(scale, number)
    positions = 3.0 * np.arange(scale.slices)
    stack = PosteriorStack(
        posteriors.mean,
        posteriors.log_variance,
        positions,
        "lungs",
        np.column_stack([np.zeros((scale.slices, 2)), positions]),
    )
    grid = Geometry((scale.slices, 512, 512), np.diag([1.0, 1.0, 3.0, 1.0]))
    return PatientRecord((SeriesRecord(SeriesFacts("CT", "CHEST", grid, "HFS"), stack),))


def _query(scale: StorageScale, number: int) -> Posteriors:
    """The middle slice of a patient who is in no library."""
    posteriors = _posteriors(scale, 1_000_000 + number)
    middle = scale.slices // 2
    return posteriors[middle : middle + 1]


def _posteriors(scale: StorageScale, number: int) -> Posteriors:
    """A patient's posteriors: waves along the body that all patients share, with phases, an offset and noise of the
    patient's own, and variances that differ most between latents."""
    common, own = np.random.default_rng(0), np.random.default_rng([1, number])
    directions = common.normal(scale=0.8, size=(WAVES, scale.latents))
    typical = np.linspace(-4, 0, scale.latents)
    level = np.linspace(0, np.pi, scale.slices)[:, None]
    waves = np.cos(level * np.arange(1, WAVES + 1) + own.normal(scale=0.3, size=WAVES)) @ directions
    offset = own.normal(scale=0.5, size=scale.latents)
    mean = offset + waves + own.normal(scale=0.1, size=waves.shape)
    log_variance = typical + own.normal(scale=0.3, size=waves.shape)
    return Posteriors(mean.astype(np.float32), log_variance.astype(np.float32))
