"""``slicervae evaluate`` on real slices: one bundle with its run, several models, and what goes wrong."""

import json
import re
import shutil
import tempfile

import nibabel
import numpy as np
import pytest
import torch
from matplotlib import image

from slicervae.cli import main
from slicervae.evaluation.evaluate import Question, evaluate
from slicervae.evaluation.samples import Draws
from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.declaration import Declaration
from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.manifest import NetworkDescription, read_manifest
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, Preprocessing
from SlicerVAELib.core.progress import Cancel, Progress
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest

FEW = ["--samples", "8"]


def untrained(folder, family: str, recipe: str, seed: int = 0, preprocessing=None, **settings):
    """A bundle for MR of a network with seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(family, settings).eval()
    manifest = tiny_manifest(
        Modality.MR,
        name=folder.name,
        recipe=recipe,
        network=NetworkDescription(family, settings),
        preprocessing=preprocessing or Preprocessing(ForegroundPercentiles(), 64, 4.0, "foreground"),
        declaration=Declaration(Modality.MR, "head", 256.0, (1.0, 6.0), 1, "For tests only."),
    )
    write_bundle(folder, manifest, network, card="# Untrained\n", preview=PREVIEW_PNG)
    return folder


@pytest.fixture(scope="module")
def unseen(real_data, tmp_path_factory):
    """Slices of a patient who is not in the cohort, and of one who is, in a folder with other names."""
    folder = tmp_path_factory.mktemp("unseen")
    scan = nibabel.load(real_data / "open_ms" / "cross_sectional" / "patient19" / "FLAIR.nii.gz")
    (folder / "new").mkdir()
    nibabel.save(scan.slicer[:, :, 86:92], folder / "new" / "FLAIR.nii.gz")
    return folder


@pytest.fixture(scope="module")
def judged(small_bundle, small_run, mr_cohort, unseen, tmp_path_factory):
    """The small bundle with its run, on a new patient and on one that it was trained on under another name."""
    data = tmp_path_factory.mktemp("data")
    shutil.copytree(unseen, data, dirs_exist_ok=True)
    trained_on = json.loads((small_run / "run.json").read_text())["training_patients"][0]
    shutil.copytree(mr_cohort / trained_on, data / "renamed")
    out = tmp_path_factory.mktemp("judged") / "out"
    words = ["evaluate", str(small_bundle), "--run", str(small_run), "--data", str(data), "--out", str(out)]
    assert main([*words, *FEW]) == 0
    return out


def metrics(folder) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def drawn_in(folder) -> set[str]:
    return {path.stem for path in (folder / "figures").glob("*.png")}


def test_patients_of_the_training_are_told_from_those_of_the_test(judged):
    rows = {row["patient"]: row for row in metrics(judged)["volumes"]}
    assert rows["new"]["role"] == "test" and rows["renamed"]["role"] == "train"
    (model,) = metrics(judged)["models"]
    assert model["averages"]["test MSE"]["mean"] == pytest.approx(rows["new"]["mse"])
    assert any("has seen renamed" in notice for notice in metrics(judged)["notices"])


def test_the_error_is_that_of_the_reconstructed_slices(judged, small_bundle, unseen):
    """Against the network applied by hand to the prepared volume."""
    manifest = read_manifest(small_bundle)
    images = prepare(read_volume(unseen / "new" / "FLAIR.nii.gz"), manifest.preprocessing).images
    images = images[images.flatten(1).std(dim=1) > 0]
    with torch.inference_mode():
        errors = (load_network(small_bundle).reconstruct(images) - images).square().flatten(1).mean(dim=1)
    (row,) = (row for row in metrics(judged)["volumes"] if row["patient"] == "new")
    assert row["slices"] == len(images)
    assert row["mse"] == pytest.approx(float(errors.mean()), rel=1e-4)
    assert row["psnr"] == pytest.approx(float((-10 * errors.log10()).mean()), rel=1e-4)


def test_all_that_a_gaussian_model_has_is_told(judged):
    (model,) = metrics(judged)["models"]
    (trial,) = model["trials"]
    assert {"test", "train", "validation"} <= trial["kl_per_latent"].keys()
    assert len(trial["kl_per_latent"]["test"]) == 8
    assert sum(trial["kl_per_latent"]["train"]) == pytest.approx(trial["figures"]["train KL"], abs=1e-4)
    assert trial["prior"] == "N(0, I)"
    assert trial["sample_quality"]["test"]["samples"] == 8
    assert trial["memorisation"]["samples_to_train"] > 0
    for figure in ("FD-EffLite0 of samples, against train", "KID-EffLite0 of samples, against test"):
        assert np.isfinite(trial["figures"][figure])
    assert "FID" not in json.dumps(model)


def test_the_report_holds_every_figure_and_loads_nothing(judged):
    page = (judged / "report.html").read_text(encoding="utf-8")
    drawn = drawn_in(judged)
    assert drawn == {path.stem for path in (judged / "figures").glob("*.svg")}
    assert {
        "vae50-reconstructions",
        "vae50-samples",
        "vae50-nearest-training-images",
        "vae50-traversals",
        "vae50-manifold",
        "vae50-latent-use",
        "vae50-aggregated-posterior",
        "vae50-interpolations",
        "learning-curves",
        "train-and-test",
    } == drawn
    assert page.count("<img ") == len(drawn)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    for path in (judged / "figures").glob("*.png"):
        picture = image.imread(path)
        assert picture[..., :3].std() > 0.01, f"{path.name} shows nothing"


def test_trials_are_averaged_and_models_compared(unseen, tmp_path, capsys):
    small = {"size": 64, "latent": 2, "filters": 4}
    bundles = [
        untrained(tmp_path / "a", "conv_pool_vae", "rtvae2d", seed=0, **small),
        untrained(tmp_path / "b", "conv_pool_vae", "rtvae2d", seed=1, **small),
        untrained(tmp_path / "c", "conv_pool_vae", "rtvae2d", **(small | {"latent": 5})),
        untrained(tmp_path / "d", "vqvae2", "vqvae2", size=64, filters=8),
    ]
    out = tmp_path / "out"
    words = ["evaluate", *map(str, bundles), "--data", str(unseen), "--out", str(out)]
    assert main([*words, *FEW]) == 0, capsys.readouterr().err
    told = metrics(out)
    assert [model["title"] for model in told["models"]] == ["rtvae2d (latent 2)", "rtvae2d (latent 5)", "vqvae2"]
    errors = [row["mse"] for row in told["volumes"]]
    mean = told["models"][0]["averages"]["test MSE"]
    assert mean["trials"] == 2
    assert mean["mean"] == pytest.approx(np.mean(errors[:2]))
    assert mean["deviation"] == pytest.approx(np.std(errors[:2], ddof=1), rel=1e-4, abs=1e-12)
    codes = told["models"][2]["averages"]
    assert 0 < codes["test codebook usage, level 1"]["mean"] <= 100
    assert 1 <= codes["test perplexity, level 2"]["mean"] <= 512
    drawn = drawn_in(out)
    assert {"panel", "error-against-latent-size", "rtvae2d-latent-2-manifold"} <= drawn
    assert "vqvae2-traversals" not in drawn
    page = (out / "report.html").read_text(encoding="utf-8")
    for sentence in ("no Gaussian posterior", "differ in prior variance", "no second patient", "Learning curves take"):
        assert sentence in page
    assert capsys.readouterr().out.count("mean squared error") == 4


def test_a_hierarchy_of_parts_a_plain_autoencoder_and_cubes(unseen, tmp_path, capsys):
    cube = Preprocessing(ForegroundPercentiles(), 32, 8.0, "foreground", depth="cube")
    bundles = [
        untrained(tmp_path / "parts", "pchvae", "pchvae", size=64, width=4, hidden=4),
        untrained(tmp_path / "plain", "table52_ae", "ae50", size=64, latent=8),
        untrained(tmp_path / "cubes", "conv_pool_vae", "rtvae3d", preprocessing=cube, size=32, dimensions=3, filters=2),
    ]
    for bundle in bundles:
        out = tmp_path / f"{bundle.name}-out"
        words = ["evaluate", str(bundle), "--data", str(unseen), "--out", str(out), "--samples", "4"]
        assert main(words) == 0, capsys.readouterr().err
    assert "pchvae-parts" in drawn_in(tmp_path / "parts-out")
    assert drawn_in(tmp_path / "plain-out") == {"ae50-reconstructions"}
    assert "no prior, so there are no samples" in (tmp_path / "plain-out" / "report.html").read_text(encoding="utf-8")
    (trial,) = metrics(tmp_path / "cubes-out")["models"][0]["trials"]
    assert trial["sample_quality"]["test"]["samples"] == 32  # the slices of one cube


def test_one_column_a_label(unseen, small_bundle, mr_cohort, tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("patient,label\npatient01,mild\npatient03,severe\n", encoding="utf-8")
    words = ["evaluate", str(small_bundle), "--data", str(mr_cohort), "--samples", "0", "--labels", str(labels)]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    svg = (tmp_path / "out" / "figures" / "vae50-reconstructions.svg").read_text(encoding="utf-8")
    assert "mild" in svg and "severe" in svg and "patient" not in svg
    assert "No samples were asked for" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--run", "NOWHERE"], "is not a run"),
        (["--samples", "100000"], "is not within 0 to 10,000"),
        (["--channel", "T2=*T2*"], "No model sees a channel 'T2'"),
        (["--channel", "T2"], "NAME=PATTERN"),
        (["--prior", "mixture"], "no prior 'mixture'"),
        (["--inception", "NOWHERE"], "can't be read"),
    ],
)
def test_what_can_be_mended_is_told_and_nothing_is_written(words, sentence, small_bundle, unseen, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["evaluate", str(small_bundle), "--data", str(unseen), "--out", str(out), *words]) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_bundle_given_twice_and_a_run_of_another_one_are_refused(small_bundle, small_run, unseen, tmp_path, capsys):
    other = untrained(tmp_path / "other", "conv_pool_vae", "rtvae2d", size=64, latent=2, filters=4)
    rest = ["--data", str(unseen), "--out", str(tmp_path / "out")]
    assert main(["evaluate", str(small_bundle), str(small_bundle), *rest]) == 1
    assert "given twice" in capsys.readouterr().err
    assert main(["evaluate", str(other), "--run", str(small_run), *rest]) == 1
    assert "None of the bundles" in capsys.readouterr().err


def test_a_folder_that_was_trained_on_takes_the_place_of_a_run(small_bundle, mr_cohort, unseen, tmp_path):
    out = tmp_path / "out"
    words = ["evaluate", str(small_bundle), "--data", str(unseen), "--train", str(mr_cohort), "--out", str(out)]
    assert main([*words, *FEW]) == 0
    figures = metrics(out)["models"][0]["trials"][0]["figures"]
    assert figures["train MSE"] > 0 and figures["distance of samples to train"] > 0
    assert (out / "figures" / "train-and-test.png").is_file()


def test_stopping_leaves_nothing_behind(small_bundle, small_run, unseen, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cancel = Cancel()

    def stop_at_the_samples(progress: Progress) -> None:
        if progress.stage == "looking at samples":
            assert list(tmp_path.glob("slicervae-*"))
            cancel.request()

    question = Question((small_bundle,), unseen, runs=(small_run,), draws=Draws(8))
    with pytest.raises(Cancelled):
        evaluate(question, stop_at_the_samples, cancel)
    assert not list(tmp_path.iterdir())
