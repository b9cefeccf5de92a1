"""``slicervae to-dicom``: results of the other commands as DICOM, and to an archive when a person says so."""

import io
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from slicervae.cli import main
from slicervae.phantom import write_cohort
from SlicerVAELib.io.read import read_volume
from Testing.headless.orthanc import running
from Testing.headless.tiny_bundle import write_tiny_bundle

pytest.importorskip("highdicom")

THRESHOLD = "0.5"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A phantom's CT, what an untrained model makes of it, and samples of the model."""
    root = tmp_path_factory.mktemp("made")
    write_cohort(root / "cohort", patients=1, seed=3, size=32, slices=10, lesion_share=0)
    (root / "cohort" / "PHANTOM-0001" / "CT").rename(root / "CT")
    write_tiny_bundle(root / "bundle")
    assert main(["reconstruct", str(root / "bundle"), str(root / "CT"), "--out", str(root / "result")]) == 0
    assert main(["sample", str(root / "bundle"), "--count", "3", "--out", str(root / "samples")]) == 0
    return root


def words(made: Path, out: Path, *more: str) -> list[str]:
    return ["to-dicom", str(made / "result"), "--source", str(made / "CT"), "--out", str(out), *more]


def array(path: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_a_result_becomes_dicom_beside_its_source(made, tmp_path, capsys):
    assert main(words(made, tmp_path / "out", "--threshold", THRESHOLD)) == 0
    assert "14 DICOM files" in capsys.readouterr().out
    source = read_volume(made / "CT")
    reconstruction = read_volume(tmp_path / "out" / "reconstruction")
    assert reconstruction.geometry.matches(source.geometry)
    expected = array(made / "result" / "reconstruction.nrrd")
    assert np.array_equal(reconstruction.array, np.rint(expected).clip(-1024, 3071))
    assert reconstruction.source.study_uid == source.source.study_uid
    for name in ("anomaly", "residual"):
        dataset = pydicom.dcmread(tmp_path / "out" / f"{name}.dcm")
        frames = dataset.PerFrameFunctionalGroupsSequence
        heights = [frame.PlanePositionSequence[0].ImagePositionPatient[2] for frame in frames]
        assert np.array_equal(dataset.pixel_array[np.argsort(heights)], array(made / "result" / f"{name}.nrrd"))
        assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == source.source.series_uid
    marked = pydicom.dcmread(tmp_path / "out" / "anomaly_segmentation.dcm").pixel_array
    assert np.count_nonzero(marked) == np.count_nonzero(array(made / "result" / "anomaly.nrrd") > float(THRESHOLD)) > 0


def test_the_validator_finds_no_errors(made, tmp_path):
    validator = shutil.which("dciodvfy")
    if validator is None:
        assert not os.environ.get("CI"), "dciodvfy (Debian's dicom3tools) must be installed in CI"
        pytest.skip("dciodvfy is not installed; it comes with Debian's dicom3tools")
    assert main(words(made, tmp_path / "maps", "--threshold", THRESHOLD)) == 0
    assert main(["to-dicom", "--samples", str(made / "samples"), "--out", str(tmp_path / "samples")]) == 0
    files = sorted(tmp_path.rglob("*.dcm"))
    assert len(files) == 14 + 3
    for file in files:
        outcome = subprocess.run([validator, str(file)], capture_output=True, text=True, check=False)
        said = outcome.stdout + outcome.stderr
        assert not [line for line in said.splitlines() if line.startswith("Error")], f"{file}: {said}"
        assert outcome.returncode == 0


def test_samples_become_a_series_of_nobody(made, tmp_path):
    assert main(["to-dicom", "--samples", str(made / "samples"), "--out", str(tmp_path / "out")]) == 0
    datasets = [pydicom.dcmread(path) for path in sorted((tmp_path / "out").iterdir())]
    assert len(datasets) == 3
    images = array(made / "samples" / "synthetic.nrrd")
    for dataset, image in zip(datasets, images, strict=True):
        assert str(dataset.PatientName) == "SYNTHETIC^SLICERVAE"
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        assert np.abs(values - image)[9:].max() <= 0.51  # HU, below the burnt-in word
        assert np.abs(values - image)[:9].max() > 1


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--series", "99"], "no series '99'"),
        (["--threshold", "-1"], "threshold"),
        (["--send", "http://127.0.0.1:9/dicom-web", "--yes"], "names no DICOMweb server"),
        (["--send", "dicomweb+http://127.0.0.1:9/dicom-web/studies/1.2", "--yes"], "names a study"),
        (["--send", "dicomweb+http://127.0.0.1:9/dicom-web"], "add --yes"),
        (["--samples", "somewhere"], "Give either"),
    ],
)
def test_what_can_not_be_done_is_refused_before_anything_is_written(
    made, tmp_path, capsys, monkeypatch, more, sentence
):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert main(words(made, tmp_path / "out", *more)) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_another_patients_series_is_refused(made, tmp_path, capsys):
    write_cohort(tmp_path / "cohort", patients=2, seed=4, size=32, slices=10, lesion_share=0)
    other = tmp_path / "cohort" / "PHANTOM-0002" / "CT"
    uid = read_volume(other).source.series_uid
    line = ["to-dicom", str(made / "result"), "--source", str(other), "--out", str(tmp_path / "out"), "--series", uid]
    assert main(line) == 1
    assert "give the series that the model saw" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_samples_take_no_source(made, tmp_path, capsys):
    line = ["to-dicom", "--samples", str(made / "samples"), "--source", str(made / "CT"), "--out", str(tmp_path / "o")]
    assert main(line) == 1
    assert "leave --source out" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["no\n", "\n", "", "y\n"])
def test_nothing_is_sent_without_a_yes(made, tmp_path, capsys, monkeypatch, answer):
    pytest.importorskip("dicomweb_client")
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    assert main(words(made, tmp_path / "out", "--send", "dicomweb+http://127.0.0.1:9/dicom-web")) == 0
    said = capsys.readouterr().out
    assert "http://127.0.0.1:9/dicom-web?" in said
    assert "Sent nothing" in said
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 13


def test_an_archive_that_does_not_answer_is_one_sentence(made, tmp_path, capsys):
    pytest.importorskip("dicomweb_client")
    assert main(words(made, tmp_path / "out", "--send", "dicomweb+http://127.0.0.1:9/dicom-web", "--yes")) == 1
    error = capsys.readouterr().err
    assert "http://127.0.0.1:9/dicom-web did not store" in error
    assert "after 0 other files" in error
    assert len(list((tmp_path / "out").rglob("*.dcm"))) == 13


def test_a_real_archive_stores_everything_and_gives_it_back(made, tmp_path, monkeypatch):
    pytest.importorskip("dicomweb_client")
    from dicomweb_client.api import DICOMwebClient

    with running(tmp_path / "orthanc") as server:
        monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
        assert main(words(made, tmp_path / "out", "--threshold", THRESHOLD, "--send", server.address)) == 0
        line = ["to-dicom", "--samples", str(made / "samples"), "--out", str(tmp_path / "samples")]
        assert main([*line, "--send", server.address, "--yes"]) == 0
        client = DICOMwebClient(server.address.removeprefix("dicomweb+"))
        for path in [*(tmp_path / "out").rglob("*.dcm"), *(tmp_path / "samples").rglob("*.dcm")]:
            sent = pydicom.dcmread(path)
            got = client.retrieve_instance(sent.StudyInstanceUID, sent.SeriesInstanceUID, sent.SOPInstanceUID)
            assert np.array_equal(got.pixel_array, sent.pixel_array)
            assert got.SeriesDescription == sent.SeriesDescription
            assert got.get("ReferencedSeriesSequence") == sent.get("ReferencedSeriesSequence")
