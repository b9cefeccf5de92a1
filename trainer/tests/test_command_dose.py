"""slicervae dose: the figures that a physicist reads, and what they are written into."""

import csv
import json

import pytest

from slicervae.cli import main
from slicervae.phantom import write_cohort


@pytest.fixture(scope="module")
def patient(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dose")
    write_cohort(folder, patients=1, seed=6, size=48, slices=12, lesion_share=0.0)
    return folder / "PHANTOM-0001"


def test_the_table_and_the_files_tell_the_same(patient, tmp_path, capsys):
    assert main(["dose", str(patient), "--out", str(tmp_path / "out")]) == 0
    told = capsys.readouterr().out
    facts = json.loads((tmp_path / "out" / "dose.json").read_text())
    assert facts["plan"]["approval"] == "UNAPPROVED" and facts["dose"]["summation"] == "PLAN"
    target, plan = facts["structures"]["PTV"], facts["plan"]
    prescribed = plan["prescriptions"][0]["dose_gy"]
    assert target["dose"]["d95_gy"] == pytest.approx(prescribed, rel=0.01)
    assert f"{prescribed:g} Gy to 95 % of the PTV, {plan['fractions']} fractions" in told and "BODY (External)" in told
    row = next(line.split() for line in told.splitlines() if line.startswith("PTV"))
    assert row[1:6] == [
        f"{target['volume_cm3']:.1f}",
        "100",
        "%",
        *(f"{target['dose'][d]:.2f}" for d in ("d98_gy", "d95_gy")),
    ]
    rows = list(csv.DictReader((tmp_path / "out" / "dvh.csv").read_text().splitlines()))
    of_target = [row for row in rows if row["structure"] == "PTV"]
    assert float(of_target[0]["volume_percent"]) == 100 and float(of_target[-1]["volume_percent"]) == 0
    assert (tmp_path / "out" / "dvh.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_missing_is_told(patient, tmp_path, capsys):
    assert main(["dose", str(patient / "CT")]) == 1
    assert "no structures of" in capsys.readouterr().err
    words = ["dose", str(patient / "CT"), "--structures", str(patient / "RTSTRUCT.dcm"), "--out", str(tmp_path / "no")]
    assert main(words) == 1
    assert "There is no dose of" in capsys.readouterr().err and not (tmp_path / "no").exists()
