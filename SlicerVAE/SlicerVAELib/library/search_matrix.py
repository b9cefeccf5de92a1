"""All posteriors and structures of a library as mapped files, ready to be searched, kept until the library changes."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from ..core.errors import UserError
from ..core.kl_bound import Lifting
from ..core.kl_search import SearchMatrix
from ..core.patient_stacks import PatientStacks, SliceStack, moment_matched
from ..core.progress import Cancel, Listener, Meter, ignore
from ..core.similarity import Direction, Posteriors
from . import schema
from .address import Address
from .cache_places import CachePlaces
from .complaints import damaged
from .reading import Reader
from .sealed_folder import is_whole, new_sealed_folder
from .structure_index import StructureIndex, read_structures, write_structures

_SERIES_AT_ONCE = 32
_TRIES = 5


@dataclasses.dataclass(frozen=True)
class SeriesEntry:
    """A series of the search: whose it is, and its number among that patient's series."""

    pseudonym: str
    number: int


@dataclasses.dataclass(frozen=True, eq=False)
class SearchIndex:
    """What is searched. Number n of ``stacks`` is the series ``entries[n]``; ``matrix`` has a row for each slice of all
    stacks, one after the other, and ``slice_positions_mm`` float64 (slices, 3) its centre in LPS. ``structures`` are
    those of the series by the same numbers, and ``summaries`` have one Gaussian for each of them."""

    stacks: PatientStacks
    matrix: SearchMatrix
    entries: tuple[SeriesEntry, ...]
    slice_positions_mm: np.ndarray
    structures: StructureIndex
    summaries: Posteriors


def open_index(
    connection: sa.Connection,
    address: Address,
    direction: Direction,
    progress: Listener = ignore,
    cancel: Cancel | None = None,
) -> SearchIndex:
    """The search of the library as ``connection`` sees it, made anew where it changed since.

    Raises UserError for an empty or damaged library and where nothing can be written, Cancelled.
    """
    row = connection.execute(sa.select(schema.library)).one()
    places = CachePlaces.of(address, row.library_id)
    reader = Reader(connection, address, row.latent_size)
    making = _Making(connection, reader, row.latent_size, progress, cancel or Cancel())
    for _ in range(_TRIES):
        folder = places.current(row.state)
        if folder is None:
            wanted = [place / row.state for place in places.folders]
            folder = _first_possible(wanted, places.mode, making.write_stacks, address)
            places.tidy(row.state)
        try:
            return _opened(folder, direction, places.mode, address)
        except (OSError, ValueError, KeyError):
            # Another program, for which the library is in another state already, removed them; or they are damaged.
            shutil.rmtree(folder, ignore_errors=True)
    raise UserError(f"The search files {folder} were removed or changed again and again; try later.")


@dataclasses.dataclass
class _Making:
    """Turns a library's rows into files."""

    connection: sa.Connection
    reader: Reader
    latents: int
    progress: Listener
    cancel: Cancel

    def write_stacks(self, folder: Path) -> None:
        """Fill the folder with everything but the matrices."""
        own = schema.posteriors.c
        series, slices = self.connection.execute(
            sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(own.slices), 0))
        ).one()
        if slices == 0:
            raise UserError("The library holds no patient yet; add some first.")
        mean = _new_array(folder, "mean", "<f4", (slices, self.latents))
        log_variance = _new_array(folder, "log_variance", "<f4", (slices, self.latents))
        positions = _new_array(folder, "positions", "<f4", (slices,))
        centres = _new_array(folder, "centres", "<f8", (slices, 3))
        summaries = _new_array(folder, "summaries", "<f4", (2, series, self.latents))
        starts, origins = [0], []
        entries: list[str] = []
        series_ids: list[int] = []
        meter = Meter(self.progress, "preparing the search", series)
        query = (
            sa.select(schema.posteriors, schema.patients.c.pseudonym)
            .join(schema.series, schema.series.c.id == own.series_id)
            .join(schema.patients, schema.patients.c.id == schema.series.c.patient_id)
            .order_by(schema.patients.c.id, schema.series.c.id)
        )
        with self.connection.execute(query, execution_options={"yield_per": _SERIES_AT_ONCE}) as result:
            for row in result:
                self.cancel.check()
                stack = self.reader.stack(row)
                rows = slice(starts[-1], starts[-1] + len(stack))
                if rows.stop > slices:
                    raise damaged(self.reader.address, "it holds more slices than it counts")
                mean[rows], log_variance[rows] = stack.mean, stack.log_variance
                positions[rows], centres[rows] = stack.positions_mm, stack.slice_positions_mm
                of_series = SliceStack(Posteriors(stack.mean, stack.log_variance), stack.positions_mm, stack.origin)
                whole = moment_matched(PatientStacks.of([of_series]))
                summaries[:, len(entries)] = whole.mean[0], whole.log_variance[0]
                starts.append(rows.stop)
                entries.append(row.pseudonym)
                origins.append(stack.origin)
                series_ids.append(row.series_id)
                meter.advance(1)
        if starts[-1] != slices:
            raise damaged(self.reader.address, "it holds fewer slices than it counts")
        np.save(folder / "starts.npy", np.array(starts, "<i8"))
        listing = {"pseudonyms": entries, "origins": origins}
        (folder / "series.json").write_text(json.dumps(listing), encoding="utf-8")
        for array in (mean, log_variance, positions, centres, summaries):
            array.flush()
        write_structures(folder, self.connection, self.reader, series_ids, self.cancel)


def _write_matrix(folder: Path, posteriors: Posteriors, direction: Direction) -> None:
    columns = Lifting.of(posteriors, direction).columns
    items = _new_array(folder, "items", "<f4", (len(posteriors), columns))
    lifting = SearchMatrix.of(posteriors, direction, items).lifting
    np.save(folder / "centre.npy", lifting.centre)
    np.save(folder / "scale.npy", lifting.scale)
    items.flush()


def _opened(folder: Path, direction: Direction, mode: int, address: Address) -> SearchIndex:
    posteriors = Posteriors(_mapped(folder, "mean"), _mapped(folder, "log_variance"))
    matrix = folder / direction
    if not is_whole(matrix):
        _first_possible([matrix], mode, lambda place: _write_matrix(place, posteriors, direction), address)
    listing = json.loads((folder / "series.json").read_text(encoding="utf-8"))
    lifting = Lifting(direction, np.load(matrix / "centre.npy"), np.load(matrix / "scale.npy"))
    numbers: dict[str, int] = {}
    entries = []
    for pseudonym in listing["pseudonyms"]:
        numbers[pseudonym] = numbers.get(pseudonym, -1) + 1
        entries.append(SeriesEntry(pseudonym, numbers[pseudonym]))
    return SearchIndex(
        PatientStacks(
            posteriors, _mapped(folder, "positions"), np.load(folder / "starts.npy"), np.array(listing["origins"])
        ),
        SearchMatrix(lifting, _mapped(matrix, "items")),
        tuple(entries),
        _mapped(folder, "centres"),
        read_structures(folder),
        Posteriors(*_mapped(folder, "summaries")),
    )


def _first_possible(places: list[Path], mode: int, fill: Callable[[Path], None], address: Address) -> Path:
    """Make the first of the folders that can be written."""
    for place in places:
        try:
            with new_sealed_folder(place, mode) as folder:
                fill(folder)
            return place
        except OSError as error:
            problem = error
    raise UserError(
        f"The search files of the library {address} can't be written ({problem.strerror or problem}); free some space, "
        "or name a folder for them with SLICERVAE_CACHE."
    ) from problem


def _new_array(folder: Path, name: str, kind: str, shape: tuple[int, ...]) -> np.memmap:
    return np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.dtype(kind), shape)


def _mapped(folder: Path, name: str) -> np.ndarray:
    return np.load(folder / f"{name}.npy", mmap_mode="r")
