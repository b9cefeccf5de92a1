import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk

from slicervae.cli import main
from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.manifest import read_manifest


@pytest.fixture(scope="module")
def reconstructed(small_bundle, real_data, tmp_path_factory):
    out = tmp_path_factory.mktemp("reconstructed")
    flair = real_data / "open_ms" / "longitudinal" / "patient01" / "study2_FLAIR.nii.gz"
    assert main(["reconstruct", str(small_bundle), str(flair), "--out", str(out)]) == 0
    return flair, out


def test_the_maps_lie_on_the_inputs_grid(reconstructed):
    source, out = reconstructed
    image = sitk.ReadImage(str(source))
    for name in ("reconstruction", "residual", "anomaly", "field_of_view"):
        written = sitk.ReadImage(str(out / f"{name}.nrrd"))
        assert written.GetSize() == image.GetSize()
        for mine, its in zip(
            (*written.GetOrigin(), *written.GetSpacing(), *written.GetDirection()),
            (*image.GetOrigin(), *image.GetSpacing(), *image.GetDirection()),
            strict=True,
        ):
            assert mine == pytest.approx(its, abs=1e-4)


def test_the_residual_is_what_the_reconstruction_lacks(reconstructed):
    source, out = reconstructed
    arrays = {
        name: sitk.GetArrayFromImage(sitk.ReadImage(str(out / f"{name}.nrrd")))
        for name in ("reconstruction", "residual", "anomaly", "field_of_view")
    }
    result = json.loads((out / "result.json").read_text())
    low, high = result["intensity_window"]
    image = np.clip(sitk.GetArrayFromImage(sitk.ReadImage(str(source))), low, high)
    seen = arrays["field_of_view"] == 1
    # In model space the three add up; the input's finer detail is what remains between them on its own grid.
    together = arrays["reconstruction"] + arrays["residual"]
    assert np.corrcoef(together[seen], image[seen])[0, 1] > 0.95
    assert (arrays["anomaly"][seen] >= 0).all()
    assert (arrays["anomaly"][~seen] == -1).all()
    assert (arrays["residual"][~seen] == 0).all()


def test_result_json_says_what_was_done(reconstructed, small_bundle):
    _, out = reconstructed
    result = json.loads((out / "result.json").read_text())
    assert result["provenance"]["bundle_sha256"] == read_manifest(small_bundle).checksum
    assert result["input"]["modality"] == "MR"
    parts = {"read", "model", "resample to model", "network", "maps", "resample to input", "write"}
    assert parts <= result["timings_s"].keys()
    assert len(result["slices"]["negative_elbo_nats"]) == len(result["slices"]["position_mm"])
    assert sitk.ReadImage(str(out / "anomaly.nrrd")).GetMetaData("SlicerVAE.BundleSHA256")


def test_structures_are_summed_up(small_bundle, real_data, tmp_path):
    patient = real_data / "open_ms" / "cross_sectional" / "patient19"
    words = ["reconstruct", str(small_bundle), str(patient / "FLAIR.nii.gz"), "--out", str(tmp_path / "out")]
    assert main([*words, "--structures", str(patient / "lesions.nii.gz")]) == 0
    (region,) = json.loads((tmp_path / "out" / "result.json").read_text())["structures"].values()
    lesion = np.asarray(nibabel.load(patient / "lesions.nii.gz").dataobj)
    assert region["volume_cm3"] == pytest.approx(np.count_nonzero(lesion) / 1000)
    assert region["anomaly_95th_percentile"] >= region["mean_anomaly"] > 0


def test_one_volume_of_a_time_series_is_chosen_and_what_was_done_is_told(small_bundle, real_data, tmp_path, capsys):
    image = nibabel.load(real_data / "open_ms" / "longitudinal" / "patient01" / "study2_FLAIR.nii.gz")
    middle = image.slicer[:, :, 10:16]
    values = np.asarray(middle.dataobj, dtype=np.float32)
    series = nibabel.Nifti1Image(np.stack([values * 0.5, values], axis=-1), middle.affine)
    series.set_sform(middle.affine, 1)
    moved = middle.affine.copy()
    moved[:3, 3] += 5
    series.set_qform(moved, 1)
    nibabel.save(series, tmp_path / "series.nii.gz")
    words = ["reconstruct", str(small_bundle), str(tmp_path / "series.nii.gz"), "--out", str(tmp_path / "out")]
    assert main(words) == 1
    assert "--frame" in capsys.readouterr().err
    assert main([*words, "--frame", "2"]) == 0
    assert "sform" in capsys.readouterr().err
    notices = json.loads((tmp_path / "out" / "result.json").read_text())["notices"]
    assert any("sform" in notice for notice in notices)


def test_a_ct_is_refused_by_an_mr_model(small_bundle, real_data, tmp_path, capsys):
    chest = real_data / "totalsegmentator" / "chest_abdomen_ct.nii.gz"
    assert main(["reconstruct", str(small_bundle), str(chest), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "chest_abdomen_ct" in error
    assert "made for MR" in error
    assert not (tmp_path / "out").exists()


def test_samples_are_reproducible_and_called_synthetic(small_bundle, tmp_path):
    for name, count in (("a", 5), ("b", 3)):
        words = ["sample", str(small_bundle), "--count", str(count), "--seed", "3", "--out", str(tmp_path / name)]
        assert main(words) == 0
    five, three = (sitk.ReadImage(str(tmp_path / name / "synthetic.nrrd")) for name in ("a", "b"))
    assert np.allclose(sitk.GetArrayFromImage(five)[:3], sitk.GetArrayFromImage(three), atol=1e-5)
    assert five.GetMetaData("SlicerVAE.Synthetic") == "1"
    assert json.loads((tmp_path / "a" / "result.json").read_text())["synthetic"] is True


@pytest.mark.parametrize("option", [["--count", "0"], ["--temperature", "-1"], ["--seed", "-4"]])
def test_a_sample_out_of_range_is_refused(option, small_bundle, tmp_path, capsys):
    assert main(["sample", str(small_bundle), "--out", str(tmp_path / "out"), *option]) == 1
    assert "allowed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_bundle_has_a_card_a_picture_and_its_figures(small_bundle, small_run):
    manifest = read_manifest(small_bundle)
    assert manifest.declaration.modality == "MR"
    assert 0 < manifest.quality["validation mse"] < 0.2
    card = (small_bundle / "card.md").read_text()
    assert "Not a diagnosis" in card
    assert "3 patients" in card
    assert (small_bundle / "preview.png").read_bytes().startswith(b"\x89PNG")
    assert load_network(small_bundle).latent.size == 8
    assert not list(small_bundle.parent.glob(".bundle*"))


def test_evaluate_measures_what_reconstruct_does(small_bundle, real_data, tmp_path, capsys):
    data = real_data / "open_ms" / "cross_sectional"
    words = ["evaluate", str(small_bundle), "--data", str(data), "--include", "*patient19/FLAIR*", "--samples", "0"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    (row,) = json.loads((tmp_path / "out" / "metrics.json").read_text())["volumes"]
    assert 0 < row["mse"] < 0.2
    assert 0 < row["ms_ssim"] < 1
    assert row["ms_ssim_scales"] == 3
    assert "patient19" in capsys.readouterr().out


def test_a_damaged_bundle_is_refused_before_the_input_is_read(small_bundle, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(small_bundle, broken)
    weights = broken / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert main(["reconstruct", str(broken), str(tmp_path / "nowhere.nii"), "--out", str(tmp_path / "out")]) == 1
    assert "truncated" in capsys.readouterr().err
