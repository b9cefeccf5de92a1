"""Anomaly maps on what is truly there: lesions of phantoms, and foreign objects."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from slicervae.cli import main
from slicervae.detection.objects import CONTRASTS, SHAPES, insert_objects
from slicervae.phantom import make_patient, write_cohort
from slicervae.phantom.lesions import LesionPolicy
from Testing.headless.tiny_bundle import write_tiny_bundle

WINDOW = (-800.0, 700.0)


@pytest.fixture(scope="module")
def healthy():
    patient = make_patient(3, 1, size=96, slices=24, lesions=LesionPolicy(share=0.0))
    return patient.volume, patient.volume.masks["BODY"]


def test_objects_are_where_the_truth_says_and_nowhere_else(healthy):
    volume, body = healthy
    inserted = insert_objects(volume, body, WINDOW, "axial", seed=1)
    changed = inserted.volume.array != volume.array
    assert not (changed & ~inserted.truth).any() and not (inserted.truth & ~body).any()
    assert (changed & inserted.truth).sum() > 0.95 * inserted.truth.sum()
    slices = inserted.truth.any(axis=(1, 2))
    assert slices.sum() == len(inserted.objects) >= 10
    assert (volume.array == make_patient(3, 1, size=96, slices=24, lesions=LesionPolicy(share=0.0)).volume.array).all()
    again = insert_objects(volume, body, WINDOW, "axial", seed=1)
    np.testing.assert_array_equal(again.volume.array, inserted.volume.array)
    assert (insert_objects(volume, body, WINDOW, "axial", seed=2).volume.array != inserted.volume.array).any()


def test_objects_are_brighter_darker_or_of_the_same_mean(healthy):
    volume, body = healthy
    seen = set()
    for seed in range(6):
        inserted = insert_objects(volume, body, WINDOW, "axial", seed=seed)
        for item in inserted.objects:
            place = inserted.truth[item.k]
            change = inserted.volume.array[item.k][place].mean() - volume.array[item.k][place].mean()
            expected = {"brighter": change > 200, "darker": change < -200, "equal": abs(change) < 0.5}
            assert expected[item.contrast], item
            seen |= {item.contrast, item.shape}
    assert seen >= {*CONTRASTS, *SHAPES}


def test_only_objects_of_the_contrasts_asked_for_are_put_in(healthy):
    volume, body = healthy
    inserted = insert_objects(volume, body, WINDOW, "axial", seed=1, contrasts=("darker", "equal"))
    assert {item.contrast for item in inserted.objects} == {"darker", "equal"}


@pytest.mark.parametrize(("plane", "axis"), [("coronal", 1), ("sagittal", 2)])
def test_objects_lie_in_the_planes_own_slices(healthy, plane, axis):
    volume, body = healthy
    inserted = insert_objects(volume, body, WINDOW, plane, seed=1)
    slices = inserted.truth.any(axis=tuple(n for n in range(3) if n != axis))
    assert slices.sum() == len(inserted.objects) > 5


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sick") / "cohort"
    write_cohort(folder, patients=4, seed=2, size=64, slices=16, lesion_share=1.0)
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detection") / "bundle"
    write_tiny_bundle(folder)
    return folder


def told(out):
    outcome = json.loads((out / "metrics.json").read_text())["outcome"]
    return outcome, {row["name"]: row for row in outcome["detections"]}


def test_lesions_are_looked_for_beside_the_two_baselines(bundle, cohort, tmp_path, capsys):
    words = ["evaluate-anomaly", str(bundle), "--data", str(cohort), "--truth", "*lesion*"]
    assert main([*words, "--method", "signed-residual", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    outcome, rows = told(tmp_path / "out")
    assert outcome["patients"] == 2 and outcome["volumes"] == 2  # the other two chose the thresholds
    names = list(rows)
    assert names[:2] == ["intensity threshold", "plain absolute residual"]
    assert {"signed-residual", "signed-residual, brighter", "positive residual × intensity"} <= set(names)
    assert rows["intensity threshold"]["over_intensity"] == 1
    assert all(0 <= row["average_precision"] <= 1 and row["lesions"] == 2 for row in rows.values())
    assert rows["positive residual × intensity"]["uses_intensity"] and not rows["signed-residual"]["uses_intensity"]
    assert all(name in printed for name in names)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/png") == 2 and "does not mean normal" in page
    # The prevalence is that of the masks, in the body.
    truth = sum(sitk.GetArrayFromImage(sitk.ReadImage(str(p))).sum() for p in sorted((cohort / "truth").glob("*.nrrd")))
    assert 0 < outcome["prevalence"] < truth / (2 * 16 * 30 * 30)


def test_a_map_that_is_the_truth_itself_is_perfect(bundle, cohort, tmp_path):
    """An end that must come out: objects so bright that the intensity alone finds nearly all of them."""
    words = ["evaluate-anomaly", str(bundle), "--data", str(cohort), "--objects", "5", "--out", str(tmp_path / "out")]
    assert main([*words, "--method", "absolute-residual", "--choose-on", "PHANTOM-0001"]) == 0
    outcome, rows = told(tmp_path / "out")
    assert outcome["patients"] == 3 and 0.2 < outcome["anomalous_slices"] / outcome["slices"] < 0.6
    brighter = rows["intensity threshold"]
    assert brighter["average_precision"] > 2 * outcome["prevalence"]
    assert brighter["average_precision_interval"]["low"] <= brighter["average_precision"]


def test_a_patients_own_folder_is_told_what_belongs_to_what(bundle, tmp_path, capsys):
    patient = tmp_path / "patient"
    patient.mkdir()
    image = sitk.GetImageFromArray(np.zeros((4, 16, 16), np.int16))
    sitk.WriteImage(image, str(patient / "CT.nrrd"))
    words = ["evaluate-anomaly", str(bundle), "--data", str(patient), "--truth", "*lesion*"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    assert "put each patient's beside the volume" in capsys.readouterr().err.splitlines()[-1]
    sitk.WriteImage(image, str(patient / "lesions.nrrd"))
    assert main([*words, "--out", str(tmp_path / "out")]) == 1
    assert "give 'lesions.nrrd' a name that begins with its volume's" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--truth", "*tumour*"], "there is nothing to find"),
        (["--truth", "*lesion*", "--method", "code-surprise"], "There is no map 'code-surprise'"),
        (["--truth", "*lesion*", "--method", "residuals"], "did you mean"),
        (["--truth", "*lesion*", "--choose-on", "NOBODY"], "no patient 'NOBODY'"),
        (["--truth", "*lesion*", "--channel", "T2"], "NAME=PATTERN"),
        (["--truth", "*lesion*", "--channel", "T2=x"], "No model sees a channel 'T2'"),
    ],
)
def test_what_can_not_be_is_one_sentence_and_leaves_nothing(bundle, cohort, tmp_path, capsys, words, sentence):
    command = ["evaluate-anomaly", str(bundle), "--data", str(cohort), "--include", "*000[12]*"]
    assert main([*command, *words, "--out", str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert sentence in message and not (tmp_path / "out").exists()
