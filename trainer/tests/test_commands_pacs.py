"""Commands take a study on a PACS where they take a folder, and give the same."""

import csv
import json

import numpy as np
import SimpleITK as sitk

from slicervae.cli import main
from slicervae.phantom import write_cohort
from Testing.headless.orthanc import running
from Testing.headless.tiny_bundle import write_tiny_bundle


def train(data, out):
    """One epoch of a small model."""
    settings = ["size=64", "validation_share=0", "batch_size=4"]
    changes = [word for setting in settings for word in ("--set", setting)]
    return main(["fit", "brain_vqvae", "--data", str(data), "--out", str(out), *changes, "--max-epochs", "1"])


def errors(run):
    """The training error of each epoch."""
    with (run / "metrics.csv").open() as file:
        return [row["train_mse"] for row in csv.DictReader(file)]


def test_a_study_on_a_pacs_gives_what_its_folder_gives(tmp_path, capsys):
    write_cohort(tmp_path / "cohort", patients=1, seed=3, size=48, slices=10, lesion_share=0)
    ct = tmp_path / "cohort" / "PHANTOM-0001" / "CT"
    write_tiny_bundle(tmp_path / "bundle")
    with running(tmp_path / "orthanc") as server:
        server.store(sorted(ct.glob("*.dcm")))
        uid = sitk.ReadImage(str(next(ct.glob("*.dcm")))).GetMetaData("0020|000d").strip("\0 ")
        address = f"{server.address}/studies/{uid}"
        assert main(["reconstruct", str(tmp_path / "bundle"), address, "--out", str(tmp_path / "far")]) == 0
        words = ["evaluate", str(tmp_path / "bundle"), "--samples", "0", "--data", address]
        assert main([*words, "--out", str(tmp_path / "far-quality")]) == 0
        assert train(address, tmp_path / "far-run") == 0
        assert main(["fit", "brain_vqvae", "--out", str(tmp_path / "far-run"), "--resume", "--max-epochs", "2"]) == 0
    assert main(["fit", "brain_vqvae", "--out", str(tmp_path / "far-run"), "--resume", "--max-epochs", "3"]) == 1
    assert "can't be reached" in capsys.readouterr().err
    assert train(ct.parent, tmp_path / "near-run") == 0
    assert main(["fit", "brain_vqvae", "--out", str(tmp_path / "near-run"), "--resume", "--max-epochs", "2"]) == 0
    assert errors(tmp_path / "far-run") == errors(tmp_path / "near-run")
    assert main(["reconstruct", str(tmp_path / "bundle"), str(ct), "--out", str(tmp_path / "near")]) == 0
    for name in ("reconstruction", "anomaly"):
        far, near = (sitk.ReadImage(str(tmp_path / place / f"{name}.nrrd")) for place in ("far", "near"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(far), sitk.GetArrayFromImage(near))
        assert far.GetOrigin() == near.GetOrigin()
    told = json.loads((tmp_path / "far" / "result.json").read_text())
    assert told["input"]["path"] == address
    assert len(json.loads((tmp_path / "far-quality" / "metrics.json").read_text())["volumes"]) == 1
