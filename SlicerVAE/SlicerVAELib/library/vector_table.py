"""Lifted posteriors as pgvector's vectors in a PostgreSQL server, filled from the posteriors that the library holds."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from ..core.errors import UserError
from ..core.kl_bound import Lifting
from ..core.progress import Cancel, Listener, Meter, ignore
from ..core.similarity import Direction, Posteriors, blocks
from . import schema
from .store import Library

if TYPE_CHECKING:
    import psycopg

LARGEST_STORED, LARGEST_INDEXED = 16_000, 2_000  # columns of a vector
_SAMPLE_SERIES = 64  # of which the lifting is taken: any is right, one that fits is tight
_SERIES_AT_ONCE = 32
_ROOM = 1.25  # of the radius, for longer vectors than those of the sample


@dataclasses.dataclass(frozen=True, eq=False)
class Sphere:
    """``lifting`` with one more column, √(R² − ‖y‖²) in items y and 0 in queries, for the ``radius`` R.

    It leaves the inner product as it is and brings all items to one length. Without it, a graph of inner products leads
    to the longest items whatever is asked for, and finds next to nothing. What is longer than R gets 0.
    """

    lifting: Lifting
    radius: float

    @classmethod
    def of(cls, sample: Posteriors, direction: Direction) -> "Sphere":
        """The sphere for posteriors like these."""
        lifting = Lifting.of(sample, direction)
        longest = np.linalg.norm(lifting.items(sample), axis=1).max(initial=1.0)
        return cls(lifting, float(_ROOM * longest))

    @property
    def columns(self) -> int:
        """Numbers in each vector."""
        return self.lifting.columns + 1

    def items(self, posteriors: Posteriors) -> np.ndarray:
        """Stored posteriors (M, J) as float32 (M, ``columns``)."""
        items = self.lifting.items(posteriors)
        squares = np.square(items, dtype=np.float64).sum(axis=1)
        height = np.sqrt(np.maximum(self.radius**2 - squares, 0)).astype(np.float32)
        return np.column_stack([items, height])

    def query(self, posteriors: Posteriors) -> np.ndarray:
        """The query (1, J) as float32 (``columns``,), of which the *negative* product with an item is the bound: the
        product that pgvector sorts by is negative too."""
        (vector,) = self.lifting.queries(posteriors)
        return np.append(-vector, np.float32(0))


class VectorTable:
    """The vectors of a library on a server, for one direction of the divergence. ``refresh`` it before searching.

    Raises UserError for a library that is a file, and for vectors of more columns than pgvector stores; the library's
    own search index serves both.
    """

    def __init__(self, library: Library, direction: Direction = "symmetric-kl") -> None:
        self.library, self.direction = library, direction
        self.name = f"vectors_{direction.replace('-', '_')}"
        if not library.database.is_server:
            raise UserError(f"The library {library.address} is a file; only a PostgreSQL server searches vectors.")
        self._check_columns(LARGEST_STORED, "stores")

    @property
    def latents(self) -> int:
        """J."""
        return self.library.description.bundle.latent_size

    def refresh(self, progress: Listener = ignore, cancel: Cancel | None = None) -> None:
        """Make the table where it is missing, and add the series that are not in it.

        Raises UserError where the server lacks pgvector. Cancelled leaves the table as it was.
        """
        cancel = cancel or Cancel()
        self._add_extension()
        with self.library.writing() as connection:
            sphere = self._sphere(connection) or self._make(connection)
            missing = connection.execute(
                sa.text(
                    "SELECT series_id FROM posteriors p WHERE NOT EXISTS"
                    f" (SELECT 1 FROM {self.name} v WHERE v.series_id = p.series_id) ORDER BY series_id"
                )
            )
            ids = list(missing.scalars())
            meter = Meter(progress, "preparing the server's search", len(ids))
            for some in blocks(len(ids), _SERIES_AT_ONCE):
                cancel.check()
                self._copy(connection, sphere, ids[some])
                meter.advance(some.stop - some.start)

    def create_index(self) -> None:
        """Make a graph index (HNSW) over the vectors. Raises UserError for more columns than pgvector indexes."""
        self._check_columns(LARGEST_INDEXED, "indexes")
        with self.library.writing() as connection:
            connection.exec_driver_sql(
                f"CREATE INDEX IF NOT EXISTS {self.name}_hnsw ON {self.name} USING hnsw (item vector_ip_ops)"
            )

    def sphere(self, connection: sa.Connection) -> Sphere:
        """How queries become vectors. Raises UserError before the first ``refresh``."""
        found = self._sphere(connection)
        if found is None:
            raise UserError(f"The library {self.library.address} has no vectors for this search; refresh them first.")
        return found

    def _check_columns(self, limit: int, does: str) -> None:
        columns = Sphere.of(_no_posteriors(self.latents), self.direction).columns
        if columns > limit:
            raise UserError(
                f"{self.latents:,} latents make vectors of {columns:,} columns, and pgvector {does} {limit:,}; search "
                "the library without it."
            )

    def _add_extension(self) -> None:
        try:
            with self.library.database.outside_transactions() as connection:
                connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS vector")
        except UserError as error:
            raise UserError(
                f"The server of the library {self.library.address} has no pgvector; ask who runs it for CREATE "
                "EXTENSION vector, or search without it."
            ) from error

    def _sphere(self, connection: sa.Connection) -> Sphere | None:
        if not sa.inspect(connection).has_table(self.name):
            return None
        found = connection.exec_driver_sql(f"SELECT centre, scale, radius FROM {self.name}_sphere").one()
        centre, scale = (np.frombuffer(bytes(part), "<f4") for part in (found.centre, found.scale))
        return Sphere(Lifting(self.direction, centre, scale), found.radius)

    def _make(self, connection: sa.Connection) -> Sphere:
        reader = self.library.reader(connection)
        some = sa.select(schema.posteriors).order_by(sa.func.random()).limit(_SAMPLE_SERIES)
        stacks = [reader.stack(row) for row in connection.execute(some)]
        none = _no_posteriors(self.latents)
        sample = Posteriors(
            np.concatenate([none.mean, *(stack.mean for stack in stacks)]),
            np.concatenate([none.log_variance, *(stack.log_variance for stack in stacks)]),
        )
        sphere = Sphere.of(sample, self.direction)
        connection.exec_driver_sql(
            f"CREATE TABLE {self.name} (series_id integer REFERENCES series (id) ON DELETE CASCADE,"
            f" slice integer, item vector({sphere.columns}) NOT NULL, PRIMARY KEY (series_id, slice))"
        )
        connection.exec_driver_sql(
            f"CREATE TABLE {self.name}_sphere (centre bytea NOT NULL, scale bytea NOT NULL,"
            " radius double precision NOT NULL)"
        )
        parts = sphere.lifting.centre.astype("<f4").tobytes(), sphere.lifting.scale.astype("<f4").tobytes()
        connection.exec_driver_sql(f"INSERT INTO {self.name}_sphere VALUES (%s, %s, %s)", (*parts, sphere.radius))
        return sphere

    def _copy(self, connection: sa.Connection, sphere: Sphere, series_ids: list[int]) -> None:
        own = schema.posteriors
        rows = connection.execute(sa.select(own).where(own.c.series_id.in_(series_ids)).order_by(own.c.series_id)).all()
        reader = self.library.reader(connection)
        copying = f"COPY {self.name} (series_id, slice, item) FROM STDIN WITH (FORMAT BINARY)"
        with vector_connection(connection).cursor() as cursor, cursor.copy(copying) as copy:
            copy.set_types(["int4", "int4", "vector"])
            for row in rows:
                stack = reader.stack(row)
                for number, item in enumerate(sphere.items(Posteriors(stack.mean, stack.log_variance))):
                    copy.write_row((row.series_id, number, item))


def vector_connection(connection: sa.Connection) -> "psycopg.Connection[Any]":
    """psycopg's own connection, which sends arrays as vectors. Raises UserError without the package pgvector."""
    try:
        from pgvector.psycopg import register_vector
    except ImportError:
        raise UserError(
            "Searching on a server needs the package pgvector; install it with: pip install 'slicervae[library-server]'"
        ) from None
    raw: Any = connection.connection.driver_connection
    register_vector(raw)
    own: psycopg.Connection[Any] = raw
    return own


def _no_posteriors(latents: int) -> Posteriors:
    none = np.empty((0, latents), np.float32)
    return Posteriors(none, none)
