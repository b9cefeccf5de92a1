"""The benchmark of the library's storage measures what it says, at a size of seconds."""

import pytest

from slicervae.benchmarks.library_storage import StorageScale, measure
from SlicerVAELib.core.progress import ignore
from Testing.headless.postgres import new_database, running_server

SMALL = StorageScale(patients=6, server_patients=8, slices=12, latents=5, queries=3, count=10)


@pytest.fixture(scope="module")
def figures():
    with running_server() as server:
        measured = measure(2, ignore, SMALL, new_database(server, "benchmark"))
    return {figure.what: figure for figure in measured}


def test_the_targets_stand_beside_what_they_are_for(figures):
    targets = {what: (figure.target, figure.sense) for what, figure in figures.items() if figure.target is not None}
    assert targets["adding precomputed posteriors to a SQLite library of 72 slices"] == (5000, "at least")
    assert "adding precomputed posteriors to a SQLite library of 12 slices" in figures
    assert targets["opening a library of 72 slices, J = 5"] == (3.0, "at most")


def test_the_server_answers_as_the_library_does(figures):
    for direction in ("kl", "symmetric-kl"):
        what = f"{direction}, 96 slices, top 10"
        same = figures[f"{what}: answers of pgvector's scan that are those of the search files"]
        assert (same.value, same.is_met) == (1.0, True)
        assert figures[f"{what}: recall at 10 of the index"].value > 0.8


def test_without_a_server_only_the_file_is_measured():
    assert len(measure(1, ignore, SMALL)) == 8
