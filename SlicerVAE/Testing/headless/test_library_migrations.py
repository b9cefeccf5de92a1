"""Old libraries open, with everything that is in them."""

import shutil
import sqlite3

import numpy as np
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.library import migrations
from SlicerVAELib.library.access import open_library
from SlicerVAELib.library.maintenance import verify
from SlicerVAELib.library.schema import SCHEMA_VERSION
from Testing.headless import library_version_1 as old
from Testing.headless.library_samples import KEY, new_library
from Testing.headless.ordinary_person import ordinary_person, reachable_folder


def test_there_is_a_step_from_each_version_to_the_next():
    assert sorted(migrations.STEPS) == list(range(1, SCHEMA_VERSION))


def test_a_library_of_version_1_opens_and_takes_what_is_new(library_address):
    old.build(library_address)
    with open_library(library_address, KEY) as library:
        assert verify(library).faults == ()
        (patient,) = library.list()
        assert (patient.pseudonym, patient.slices, patient.tags) == (old.PSEUDONYM, 2, ())
        record = library.record(old.PSEUDONYM)
        assert record.plans[0].doses[0].statistics.d50_gy == 20.0
        assert record.series[0].facts.patient_position == ""
        index = library.search_index()
        assert np.array_equal(index.stacks.posteriors.mean, record.series[0].posteriors.mean)
        assert index.structures.extent_mm.tolist() == [[80.0, 70.0, 90.0]]
        assert library.reveal(old.PSEUDONYM, "to look").patient_id == old.PATIENT
        assert [entry.why for entry in library.reveals()] == ["to compare plans", "to look"]
        library.tag(old.PSEUDONYM, ["old"])
    with open_library(library_address, KEY) as library:
        assert library.list()[0].tags == ("old",)
        assert verify(library).is_whole


def test_a_migrated_library_has_the_tables_of_a_new_one(tmp_path):
    old.build(str(tmp_path / "old.sqlite"))
    open_library(tmp_path / "old.sqlite").close()
    new_library(tmp_path / "new.sqlite").close()

    def columns(name: str) -> set[tuple[str, str, str]]:
        with sqlite3.connect(tmp_path / name) as connection:
            tables = [table for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {(table, *row[1:3]) for table in tables for row in connection.execute(f"PRAGMA table_info({table})")}
        connection.close()
        return {(table, column, kind.split(" ")[0]) for table, column, kind in rows}

    assert columns("old.sqlite") == columns("new.sqlite")


def test_a_failing_step_leaves_the_old_library(library_address, monkeypatch):
    step = migrations.STEPS[1]

    def fail(connection):
        step(connection)
        connection.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    old.build(library_address)
    with monkeypatch.context() as patch, pytest.raises(UserError):
        patch.setattr(migrations, "STEPS", {1: fail})
        open_library(library_address, KEY)
    with open_library(library_address, KEY) as library:
        assert verify(library).is_whole


def test_an_old_library_that_can_not_be_changed_is_a_sentence(tmp_path):
    old.build(str(tmp_path / "old.sqlite"))
    with reachable_folder() as folder:
        path = shutil.copy(tmp_path / "old.sqlite", folder / "old.sqlite")
        path.chmod(0o444)
        folder.chmod(0o555)
        with ordinary_person(), pytest.raises(UserError, match="read-only"):
            open_library(path, KEY)
