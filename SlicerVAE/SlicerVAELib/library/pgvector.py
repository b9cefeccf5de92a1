"""Searching slices by their divergence inside a PostgreSQL server, with the extension pgvector.

The server finds the smallest products of lifted posteriors, which are never above the divergences; the plain float64
formula ranks them, and more are asked for until nothing else can be among the nearest. So an exact scan gives exactly
the answer of ``core.kl_search``. An index is faster and may miss some: measure its recall.

Vectors are of single precision only. Half precision would let more columns be indexed, but ends at 65,504, and
precisions 1/σ² do not.
"""

import dataclasses

import numpy as np
import sqlalchemy as sa

from ..core.similarity import Posteriors, divergences
from . import schema
from .blobs import moments_at
from .vector_table import VectorTable, vector_connection

_FIRST = 64  # candidates beyond twice the count
_LARGEST_EFFORT = 1_000  # of an HNSW search


@dataclasses.dataclass(frozen=True)
class SliceNeighbour:
    """A slice of the library near a query: whose, the number of the series among that patient's, the number of the
    slice in its stack, and the divergence in nats."""

    pseudonym: str
    series: int
    slice: int
    divergence: float


def nearest(table: VectorTable, query: Posteriors, count: int) -> tuple[SliceNeighbour, ...]:
    """The ``count`` slices nearest to the one ``query`` (1, J), exactly as the plain formula ranks them, equal ones in
    the order in which they came. Raises UserError before the table was refreshed."""
    with table.library.database.reading() as connection:
        connection.exec_driver_sql("SET LOCAL enable_indexscan = off")
        vector = table.sphere(connection).query(query)
        wanted = 2 * count + _FIRST
        while True:
            found = _candidates(connection, table, query, vector, wanted)
            last = np.sort(found.divergences)[:count][-1:]
            if len(found.rows) < wanted or found.bounds[-1] > last[0]:
                return _named(connection, found, count)
            wanted = min(8 * wanted, _count_up_to(connection, table, vector, float(last[0])) + 1)


def nearest_by_index(
    table: VectorTable, query: Posteriors, count: int, effort: int = 200
) -> tuple[SliceNeighbour, ...]:
    """About the ``count`` nearest, by the index; the higher the ``effort`` (to 1,000), the fewer are missed."""
    breadth = min(max(effort, 2 * count), _LARGEST_EFFORT)
    with table.library.database.reading() as connection:
        connection.exec_driver_sql(f"SET LOCAL hnsw.ef_search = {breadth}")
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        vector = table.sphere(connection).query(query)
        return _named(connection, _candidates(connection, table, query, vector, breadth), count)


@dataclasses.dataclass(frozen=True, eq=False)
class _Candidates:
    """Slices by ascending bound: rows (series_id, slice), bounds and divergences float64."""

    rows: list[tuple[int, int]]
    bounds: np.ndarray
    divergences: np.ndarray


def _candidates(
    connection: sa.Connection, table: VectorTable, query: Posteriors, vector: np.ndarray, wanted: int
) -> _Candidates:
    """The slices with the smallest bounds, and their divergences."""
    mean_at, log_variance_at = moments_at("p.slices", table.latents, "v.slice")
    length = 4 * table.latents
    asked = (
        f"SELECT v.series_id, v.slice, v.bound, substring(p.content FROM {mean_at} + 1 FOR {length}),"
        f" substring(p.content FROM {log_variance_at} + 1 FOR {length})"
        f" FROM (SELECT series_id, slice, item <#> %s AS bound FROM {table.name} ORDER BY item <#> %s LIMIT %s) v"
        " JOIN posteriors p ON p.series_id = v.series_id ORDER BY v.bound, v.series_id, v.slice"
    )
    with vector_connection(connection).cursor(binary=True) as cursor:
        rows = cursor.execute(asked, (vector, vector, wanted)).fetchall()
    moments = [
        np.frombuffer(b"".join(row[column] for row in rows), "<f4").reshape(len(rows), table.latents)
        for column in (3, 4)
    ]
    return _Candidates(
        [(row[0], row[1]) for row in rows],
        np.array([row[2] for row in rows]),
        divergences(query, Posteriors(*moments), table.direction)[0],
    )


def _count_up_to(connection: sa.Connection, table: VectorTable, vector: np.ndarray, bound: float) -> int:
    """How many slices have a bound of at most ``bound``."""
    with vector_connection(connection).cursor() as cursor:
        row = cursor.execute(f"SELECT count(*) FROM {table.name} WHERE item <#> %s <= %s", (vector, bound)).fetchone()
    assert row is not None
    return int(row[0])


def _named(connection: sa.Connection, found: _Candidates, count: int) -> tuple[SliceNeighbour, ...]:
    """The nearest of the candidates by their pseudonyms."""
    order = sorted(range(len(found.rows)), key=lambda n: (found.divergences[n], found.rows[n]))[:count]
    own = schema.series
    number = sa.func.row_number().over(partition_by=own.c.patient_id, order_by=own.c.id) - 1
    numbered = sa.select(own.c.id, own.c.patient_id, number.label("number")).subquery()
    query = (
        sa.select(numbered.c.id, numbered.c.number, schema.patients.c.pseudonym)
        .join(schema.patients, schema.patients.c.id == numbered.c.patient_id)
        .where(numbered.c.id.in_({found.rows[n][0] for n in order}))
    )
    series = {row.id: row for row in connection.execute(query)}
    neighbours = []
    for n in order:
        series_id, slice_number = found.rows[n]
        of = series[series_id]
        neighbours.append(SliceNeighbour(of.pseudonym, of.number, slice_number, float(found.divergences[n])))
    return tuple(neighbours)
