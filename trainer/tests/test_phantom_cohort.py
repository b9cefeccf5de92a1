"""Writing a cohort: reproducible to the byte, complete after interruptions, careful with what is not its own."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slicervae.cli import main
from slicervae.phantom import write_cohort
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel, Progress

SMALL = {"seed": 3, "size": 40, "slices": 10, "lesion_share": 1 / 2}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The files of an uninterrupted cohort of three."""
    out = tmp_path_factory.mktemp("cohort") / "whole"
    write_cohort(out, patients=3, **SMALL)
    return contents(out)


def test_the_same_call_writes_the_same_bytes(whole, tmp_path):
    write_cohort(tmp_path / "again", patients=3, **SMALL)
    assert contents(tmp_path / "again") == whole


def test_a_patient_does_not_depend_on_the_size_of_the_cohort_which_can_grow(whole, tmp_path):
    out = tmp_path / "cohort"
    write_cohort(out, patients=1, **SMALL)
    small = contents(out)
    changed = {name for name, content in small.items() if whole[name] != content}
    assert changed == {"parameters.csv"}
    before = (out / "PHANTOM-0001" / "RTSTRUCT.dcm").stat().st_mtime_ns
    write_cohort(out, patients=3, **SMALL)
    assert contents(out) == whole
    assert (out / "PHANTOM-0001" / "RTSTRUCT.dcm").stat().st_mtime_ns == before, "what was there is left alone"


def test_patients_differ(whole):
    pixels = {whole[f"PHANTOM-000{n}/CT/0005.dcm"] for n in (1, 2, 3)}
    assert len(pixels) == 3


def test_a_cancelled_cohort_keeps_whole_patients_and_is_completed(whole, tmp_path):
    out, cancel = tmp_path / "cohort", Cancel()

    def stop_in_the_second(progress: Progress) -> None:
        if progress.fraction > 0.45:
            cancel.request()

    with pytest.raises(Cancelled, match="stay in"):
        write_cohort(out, patients=3, progress=stop_in_the_second, cancel=cancel, **SMALL)
    assert [f.name for f in sorted(out.glob("PHANTOM-*"))] == ["PHANTOM-0001"]
    assert not list(out.rglob("*.partial"))
    (out / ".PHANTOM-0002.partial").mkdir()  # what a killed process leaves behind
    (out / ".PHANTOM-0002.partial" / "RTPLAN.dcm").write_bytes(b"half")
    write_cohort(out, patients=3, **SMALL)
    assert contents(out) == whole


def test_a_patient_whose_truth_was_lost_is_made_anew(whole, tmp_path):
    out = tmp_path / "cohort"
    write_cohort(out, patients=3, **SMALL)
    (out / "truth" / "PHANTOM-0002.json").unlink()
    write_cohort(out, patients=3, **SMALL)
    assert contents(out) == whole


def test_the_table_has_a_row_a_patient(whole):
    rows = list(csv.DictReader(whole["parameters.csv"].decode().splitlines()))
    assert [row["patient"] for row in rows] == ["PHANTOM-0001", "PHANTOM-0002", "PHANTOM-0003"]
    for column in ("stature_mm", "lungs_cm3", "heart_cm3", "right_dome_z_mm", "cord_radius_mm", "table_top_y_mm"):
        assert len({row[column] for row in rows}) > 1, column
    assert json.loads(whole["cohort.json"]) == {"version": "1.0", **SMALL}


def test_healthy_patients_only(tmp_path):
    write_cohort(tmp_path / "healthy", patients=2, **{**SMALL, "lesion_share": 0.0})
    rows = csv.DictReader((tmp_path / "healthy" / "parameters.csv").read_text(encoding="utf-8").splitlines())
    assert {row["lesion_kind"] for row in rows} == {"none"}
    assert not list((tmp_path / "healthy" / "truth").glob("*.nrrd"))


def test_progress_only_grows_and_ends_at_one(tmp_path):
    seen: list[float] = []
    write_cohort(tmp_path / "cohort", patients=2, progress=lambda p: seen.append(p.fraction), **SMALL)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(seen) > 10


@pytest.mark.parametrize(
    ("change", "difference"),
    [({"seed": 4}, "seed 3 instead of 4"), ({"size": 48}, "size 40"), ({"lesion_share": 0.0}, "lesion_share 0.5")],
)
def test_another_cohort_is_not_mixed_with_this_one(tmp_path, change, difference):
    out = tmp_path / "cohort"
    write_cohort(out, patients=1, **SMALL)
    before = contents(out)
    with pytest.raises(UserError, match=difference):
        write_cohort(out, patients=2, **{**SMALL, **change})
    assert contents(out) == before


def test_a_cohort_of_another_version_is_refused(tmp_path):
    (tmp_path / "cohort.json").write_text(json.dumps({"version": "0.9", **SMALL}), encoding="utf-8")
    with pytest.raises(UserError, match=r"version 0\.9 instead of"):
        write_cohort(tmp_path, patients=1, **SMALL)


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("precious", encoding="utf-8")
    with pytest.raises(UserError, match="is not empty"):
        write_cohort(tmp_path, patients=1, **SMALL)
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="is a file"):
        write_cohort(tmp_path / "thesis.txt", patients=1, **SMALL)


def test_a_damaged_record_is_a_sentence(tmp_path):
    (tmp_path / "cohort.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        write_cohort(tmp_path, patients=1, **SMALL)


def test_nonsense_is_refused_before_anything_is_written(tmp_path):
    for change in ({"patients": 0}, {"patients": 1, "seed": -1}, {"patients": 1, "size": 3}):
        with pytest.raises(UserError):
            write_cohort(tmp_path / "cohort", **{**SMALL, **change})
    assert not (tmp_path / "cohort").exists()


def test_a_disk_that_takes_no_more_is_a_sentence_and_leaves_no_half_patient(tmp_path):
    """A limit on the size of files stands for a full disk: both make writing fail in the middle of a patient."""
    out = tmp_path / "cohort"
    program = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))\n"
        "from slicervae.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = ["phantom", "--patients", "2", "--out", str(out), "--seed", "3", "--size", "40", "--slices", "10"]
    outcome = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert outcome.returncode == 1
    sentence = outcome.stderr.strip().splitlines()[-1]
    assert sentence.startswith("slicervae: ")
    assert str(out) in sentence
    assert "Traceback" not in outcome.stderr
    assert not list(out.glob("PHANTOM-*"))
    assert not list(out.rglob("*.partial"))
    write_cohort(out, patients=2, seed=3, size=40, slices=10)
    assert len(list(out.glob("PHANTOM-*"))) == 2


def test_the_command_writes_a_cohort_and_says_how_to_go_on(whole, tmp_path, capsys):
    out = tmp_path / "cohort"
    words = ["phantom", "--patients", "3", "--out", str(out), "--seed", "3", "--size", "40", "--slices", "10"]
    assert main([*words, "--lesions", "0.5"]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert str(out) in said
    assert "slicervae fit" in said
    assert contents(out) == whole
    assert main([*words, "--lesions", "2"]) == 1
    assert "from 0 to 1" in capsys.readouterr().err


def test_a_patient_of_the_default_size_is_made_and_written_in_two_seconds(tmp_path):
    write_cohort(tmp_path / "warm", patients=1, **SMALL)
    began = time.process_time()
    write_cohort(tmp_path / "cohort", patients=1, seed=5)
    assert time.process_time() - began < 2.0
