"""Searching a library: its own search files, and PostgreSQL's vectors. The answers are those of the plain formula."""

import dataclasses

import numpy as np
import pytest

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.kl_search import nearest
from SlicerVAELib.core.patient_stacks import moment_matched
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.similarity import Posteriors, divergences
from SlicerVAELib.library import pgvector
from SlicerVAELib.library.access import create_library, open_library
from SlicerVAELib.library.maintenance import verify
from SlicerVAELib.library.records import PatientRecord, PosteriorStack, SeriesRecord
from SlicerVAELib.library.structure_geometry import geometry_of
from SlicerVAELib.library.vector_table import Sphere, VectorTable
from Testing.headless.library_samples import BUNDLE, KEY, identity, new_library, record, stack
from Testing.headless.postgres import new_database

DIRECTIONS = ("kl", "reverse-kl", "symmetric-kl")
PATIENTS, SLICES, COUNT = 40, 25, 20


def one(number: int, latents: int = 6) -> Posteriors:
    """A slice to search with."""
    own = stack(number, 1, latents)
    return Posteriors(own.mean, own.log_variance)


@pytest.fixture
def library(library_address):
    with new_library(library_address, 3) as made:
        made.add(identity(3, 2), record(3, series=2))
        yield made


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_index_holds_what_the_records_hold(library, direction):
    index = library.search_index(direction)
    assert index.matrix.direction == direction
    names = library.pseudonyms()
    assert [entry.pseudonym for entry in index.entries] == [*names, names[3]]
    assert [entry.number for entry in index.entries] == [0, 0, 0, 0, 1]
    for n, entry in enumerate(index.entries):
        kept = library.record(entry.pseudonym).series[entry.number].posteriors
        assert np.array_equal(index.stacks[n].posteriors.mean, kept.mean)
        assert np.array_equal(index.stacks[n].positions_mm, kept.positions_mm)
        assert index.stacks[n].origin == "lungs"
        rows = slice(index.stacks.starts[n], index.stacks.starts[n + 1])
        assert np.array_equal(index.slice_positions_mm[rows], kept.slice_positions_mm)
    query = one(1)
    found = nearest(query, index.matrix, index.stacks.posteriors, 5)
    plain = divergences(query, index.stacks.posteriors, direction)[0]
    assert found.indices[0].tolist() == np.argsort(plain, kind="stable")[:5].tolist()


def test_the_index_holds_one_gaussian_for_each_series(library):
    index = library.search_index()
    expected = moment_matched(index.stacks)
    assert np.array_equal(index.summaries.mean, expected.mean)
    assert np.array_equal(index.summaries.log_variance, expected.log_variance)


def test_the_index_holds_the_structures_of_all_series(library):
    index = library.search_index()
    found = index.structures
    for n, entry in enumerate(index.entries):
        kept = library.record(entry.pseudonym).series[entry.number].facts.structures
        rows = np.flatnonzero(found.series == n)
        assert [found.names[name] for name in found.name[rows]] == [structure.name for structure in kept]
        assert found.volume_cm3[rows].tolist() == [structure.volume_cm3 for structure in kept]
        assert list(map(tuple, found.centroid_mm[rows].tolist())) == [structure.centroid_mm for structure in kept]
        heart, lung = found.extent_mm[rows]
        assert tuple(heart.tolist()) == geometry_of(kept[0]).extent_mm
        assert np.isnan(lung).all()


def test_the_search_follows_the_library(library):
    assert len(library.search_index().entries) == 5
    library.add(identity(8), record(8))
    assert len(library.search_index().entries) == 6
    library.remove(library.pseudonyms()[0])
    index = library.search_index()
    assert len(index.entries) == 5
    assert len(index.matrix) == 25
    library.tag(library.pseudonyms()[0], ["new"])
    assert library.search_index("kl").matrix.items.filename.parent.parent == index.matrix.items.filename.parent.parent


def test_search_files_are_made_once_and_only_where_they_are_damaged_again(library):
    first = library.search_index().matrix.items.filename
    made = first.stat().st_mtime_ns
    with open_library(
        library.database.address.url if library.database.is_server else first.parents[3] / "library.sqlite"
    ) as other:
        assert other.search_index().matrix.items.filename == first
    assert first.stat().st_mtime_ns == made
    content = first.parent.parent.joinpath("mean.npy").read_bytes()
    first.parent.parent.joinpath("mean.npy").write_bytes(content[:-4])
    assert len(library.search_index().matrix) == 25
    assert first.parent.parent.joinpath("mean.npy").read_bytes() == content
    first.write_bytes(first.read_bytes()[:-1] + b"\x55")
    (remark,) = verify(library).remarks
    assert "damaged" in remark


def test_an_empty_library_has_nothing_to_search(library_address):
    with new_library(library_address) as library, pytest.raises(UserError, match="no patient yet"):
        library.search_index()


def test_cancelling_leaves_no_search_files(library, tmp_path):
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        library.search_index(cancel=cancel)
    assert not list(tmp_path.rglob("*.npy"))


@pytest.fixture(scope="module")
def server_library(postgres_server):
    """On a server: patients with many like slices, among them near duplicates with standard deviations of 10⁻³."""
    with create_library(new_database(postgres_server, "vectors"), KEY, BUNDLE) as library:
        for number in range(PATIENTS):
            library.add(identity(number), _with(number, stack(number, SLICES)))
        near = stack(100, SLICES)
        rng = np.random.default_rng(0)
        for number in range(PATIENTS, PATIENTS + 4):
            mean = near.mean[:1] + rng.normal(scale=1e-3, size=near.mean.shape)
            narrow = dataclasses.replace(near, mean=mean, log_variance=np.full(near.mean.shape, 2 * np.log(1e-3)))
            library.add(identity(number), _with(number, narrow))
        yield library


@pytest.fixture(scope="module")
def many_patients(postgres_server):
    """On a server: patients as a trained model describes them, with variances of one order."""
    with create_library(new_database(postgres_server, "many"), KEY, BUNDLE) as library:
        for number in range(3 * PATIENTS):
            library.add(identity(number), _with(number, stack(number, SLICES)))
        yield library


def _with(number: int, own: PosteriorStack) -> PatientRecord:
    (series,) = record(number).series
    return PatientRecord((SeriesRecord(series.facts, own),))


@pytest.fixture(params=DIRECTIONS, scope="module")
def table(request, server_library):
    made = VectorTable(server_library, request.param)
    made.refresh()
    return made


def queries() -> list[Posteriors]:
    near = stack(100, SLICES)
    narrow = Posteriors(near.mean[:1], np.full((1, 6), 2 * np.log(1e-3), np.float32))
    return [one(5), one(77), narrow]


def test_the_server_gives_exactly_the_answer_of_the_plain_formula(server_library, table):
    posteriors = server_library.search_index(table.direction).stacks.posteriors
    names = server_library.pseudonyms()
    for query in queries():
        found = pgvector.nearest(table, query, COUNT)
        plain = divergences(query, posteriors, table.direction)[0]
        order = np.argsort(plain, kind="stable")[:COUNT]
        assert [each.divergence for each in found] == plain[order].tolist()
        assert [(each.pseudonym, each.series, each.slice) for each in found] == [
            (names[n // SLICES], 0, n % SLICES) for n in order
        ]


def test_more_than_there_are_is_all_there_are(server_library, table):
    assert len(pgvector.nearest(table, one(1), 10_000)) == (PATIENTS + 4) * SLICES


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_an_index_finds_nearly_all(many_patients, direction):
    table = VectorTable(many_patients, direction)
    table.refresh()
    table.create_index()
    for query in (one(5), one(77), one(210)):
        exact = pgvector.nearest(table, query, COUNT)
        found = pgvector.nearest_by_index(table, query, COUNT)
        assert len(set(exact) & set(found)) >= 0.9 * COUNT


def test_vectors_follow_the_library(postgres_server):
    with new_library(new_database(postgres_server, "follow"), 3) as library:
        table = VectorTable(library)
        with pytest.raises(UserError, match="refresh"):
            pgvector.nearest(table, one(1), 1)
        table.refresh()
        library.add(identity(9), record(9))
        library.remove(library.pseudonyms()[0])
        table.refresh()
        found = pgvector.nearest(table, one(9), 100)
        assert {each.pseudonym for each in found} == set(library.pseudonyms())
        assert len(found) == 15


def test_lengths_are_made_equal_and_products_kept():
    own = stack(1, 200)
    posteriors = Posteriors(own.mean, own.log_variance)
    sphere = Sphere.of(posteriors, "kl")
    items = sphere.items(posteriors)
    assert np.allclose(np.linalg.norm(items, axis=1), sphere.radius, rtol=1e-5)
    assert np.array_equal(items[:, :-1], sphere.lifting.items(posteriors))
    query = one(2)
    bounds = items @ -sphere.query(query)
    assert np.all(bounds <= divergences(query, posteriors, "kl")[0])


@pytest.mark.parametrize(("latents", "match"), [(8192, "stores 16,000"), (1200, "indexes 2,000")])
def test_the_limits_of_pgvector_are_told(postgres_server, latents, match):
    bundle = dataclasses.replace(BUNDLE, latent_size=latents)
    with create_library(new_database(postgres_server, f"wide{latents}"), KEY, bundle) as library:
        wide = _with(1, stack(1, 4, latents))
        library.add(identity(1), wide)
        with pytest.raises(UserError, match=match):
            VectorTable(library, "kl").create_index()
        index = library.search_index("kl")  # what the server does not store is searched here
        query = one(2, latents)
        found = nearest(query, index.matrix, index.stacks.posteriors, 4)
        assert found.distances[0].tolist() == sorted(divergences(query, index.stacks.posteriors, "kl")[0].tolist())


def test_a_file_has_no_vectors(tmp_path):
    with new_library(tmp_path / "library.sqlite") as library, pytest.raises(UserError, match="is a file"):
        VectorTable(library)
