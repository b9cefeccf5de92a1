"""Calibration on healthy patients: what is fitted, who is compared, what the commands write, and its false alarms."""

import json
import shutil

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from slicervae.benchmarks.calibration import Trial, alarms_expected, outcomes
from slicervae.cli import main
from slicervae.evaluation.calibration import split
from slicervae.evaluation.healthy_fit import Sample, fit, fit_scales
from slicervae.evaluation.healthy_maps import PatientMaps
from slicervae.evaluation.healthy_tails import fit_tails
from SlicerVAELib.core.anomaly.postprocessing import smooth_in_space
from SlicerVAELib.core.calibration import calibration_of
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.healthy import PLACES
from SlicerVAELib.core.healthy_scales import HealthyScales, Scale
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import Found


def patient_maps(seed: int, counted: torch.Tensor | None = None) -> PatientMaps:
    """Ten slices of noise that is wider in one place and shifted in one tissue."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.arange(16).repeat_interleave(16).reshape(1, 16, 16).expand(10, 16, 16)
    tissue = torch.rand(10, 16, 16, generator=generator)
    noise = torch.randn(10, 16, 16, generator=generator) * torch.where(places == 3, 4.0, 1.0)
    map_ = noise + torch.where(tissue > 0.75, 2.0, 0.0)
    coarse = Scale(smooth_in_space(map_, 1.5, 1.5), smooth_in_space(tissue, 1.5, 1.5))
    return PatientMaps({"anomaly": (Scale(map_, tissue), coarse)}, places, counted, 1.0)


def fine(seed: int) -> Sample:
    return patient_maps(seed).sample(seed)["anomaly"][0]


def healthy_of(seeds: range) -> HealthyScales:
    return fit_scales([patient_maps(seed).sample(seed)["anomaly"] for seed in seeds])


def test_location_and_scale_are_those_of_the_place_and_the_tissue():
    healthy = fit([fine(seed) for seed in range(60)])
    assert len(healthy.edges) == 11 and healthy.edges[8] == pytest.approx(0.75, abs=0.01)
    here = slice(0, 16)
    assert healthy.location[here, :9].mean() == pytest.approx(0, abs=0.1)
    assert healthy.location[here, 9:].mean() == pytest.approx(2, abs=0.15)
    assert healthy.scale[3].mean() == pytest.approx(4, rel=0.25)
    assert np.delete(healthy.scale[here], 3, axis=0).mean() == pytest.approx(1.15, rel=0.2)
    assert healthy.scale.min() > 0


def test_z_scores_of_other_healthy_patients_are_about_standard_normal():
    healthy = healthy_of(range(60))
    z = torch.cat([patient_maps(seed).z_scores(healthy).flatten() for seed in range(100, 110)]).numpy()
    assert abs(np.median(z)) < 0.12
    assert (np.abs(z) > 2).mean() == pytest.approx(0.0455, abs=0.012)
    assert (np.abs(z) > 3).mean() == pytest.approx(0.0027, abs=0.002)


def test_heavy_tails_of_one_tissue_become_normal_scores_like_those_of_another():
    random = np.random.default_rng(0)

    def sample() -> Sample:
        values = np.concatenate([random.normal(size=20_000), random.standard_t(2, 20_000)])
        tissue = np.repeat(np.float32([0.2, 0.8]), 20_000)
        return Sample(values.astype(np.float32), tissue, np.zeros(40_000, int))

    healthy = fit([sample() for _ in range(8)])
    other = sample()
    z = healthy.z_scores(*(torch.from_numpy(array) for array in (other.values, other.intensities, other.places)))
    for tissue in z.numpy().reshape(2, -1):
        assert (np.abs(tissue) > 3).mean() == pytest.approx(0.0027, abs=0.0015)
    assert np.abs(z.numpy()).max() < 8


def test_what_was_never_seen_goes_on_no_more_steeply_than_a_normal_tail():
    random = np.random.default_rng(0)
    values = np.concatenate([random.uniform(-1, 1, 5000), np.zeros(2)])
    tails = fit_tails(values, np.repeat([0, 1], [5000, 2]), 3)
    np.testing.assert_allclose(tails.knots[1], tails.knots[2])  # too few pixels, and none: the tails of all
    scores = tails.normal_scores(torch.tensor([1.0, 2.0, 3.0]), torch.zeros(3, dtype=torch.int64)).numpy()
    assert 2.5 < scores[0] < 4 and np.diff(scores) == pytest.approx(1, abs=1e-3)


def test_what_few_patients_show_is_drawn_towards_what_all_do():
    common = [
        Sample(np.random.default_rng(n).normal(size=4000), np.full(4000, 0.5), np.zeros(4000, int)) for n in range(9)
    ]
    odd = Sample(np.full(5, 50.0), np.full(5, 0.5), np.full(5, 7))
    healthy = fit([*common, odd])
    assert 0 < healthy.location[7, 0] < 1  # five pixels of one patient are no place where healthy means 50
    assert healthy.location[20, 0] == pytest.approx(0, abs=0.1)  # and a place that nobody showed is like the others
    assert healthy.scale[20, 0] == pytest.approx(1, rel=0.1)


def test_constant_air_gets_no_scale_of_nothing():
    random = np.random.default_rng(0)
    values = np.concatenate([np.zeros(2000), random.normal(size=2000)])
    tissue = np.concatenate([np.zeros(2000), random.uniform(0.5, 1, 2000)]).astype(np.float32)
    healthy = fit([Sample(values, tissue, np.zeros(4000, int))] * 8)
    assert healthy.scale.min() >= 0.05


def test_without_a_body_there_is_nothing_to_fit():
    with pytest.raises(UserError, match="nothing of a body"):
        fit([Sample(np.zeros(5), np.zeros(5), np.full(5, PLACES - 1))])


def test_what_does_not_count_is_neither_sampled_nor_scored():
    counted = torch.ones(10, 16, 16, dtype=torch.bool)
    counted[:, 4:9, 4:9] = False
    left, whole = patient_maps(1, counted), patient_maps(1)
    left.maps["anomaly"][0].values[:, 4:9, 4:9] = 500.0
    assert left.sample(0)["anomaly"][0].values.max() < 100
    healthy = healthy_of(range(10))
    assert left.score(healthy) <= whole.score(healthy) < 10


def found(patient: str, name: str) -> Found:
    return Found(patient, name, "", Modality.CT, "")  # type: ignore[arg-type]


def test_patients_are_split_and_count_once_where_they_are_compared():
    volumes = [found(f"p{n}", f"p{n}/{visit}") for n in range(10) for visit in "ab"]
    fitted, scored = split(volumes, 0.5, 0)
    assert not {each.patient for each in fitted} & {each.patient for each in scored}
    assert len(fitted) == 10 and len(scored) == 5 and all(str(each.path).endswith("/a") for each in scored)
    assert split(list(reversed(volumes)), 0.5, 0)[0] != fitted or split(volumes, 0.5, 0)[0] == fitted
    assert {each.patient for each in split(volumes, 0.5, 1)[0]} != {each.patient for each in fitted}
    with pytest.raises(UserError, match="at least 3 healthy patients; there are 2"):
        split(volumes[:4], 0.5, 0)
    with pytest.raises(UserError, match="between 0 and 1"):
        split(volumes, 1.0, 0)


@pytest.fixture(scope="module")
def calibrated(small_bundle, mr_cohort, tmp_path_factory):
    bundle = tmp_path_factory.mktemp("calibrated") / "bundle"
    shutil.copytree(small_bundle, bundle)
    words = ["calibrate", str(bundle), "--healthy", str(mr_cohort), "--method", "signed-residual"]
    assert main([*words, "--method", "structural-residual"]) == 0
    return bundle


def test_calibrate_puts_every_method_into_the_bundle(calibrated):
    calibration = calibration_of(calibrated, read_manifest(calibrated))
    assert calibration is not None
    assert [each.record.method for each in calibration.methods] == ["signed-residual", "structural-residual"]
    for each in calibration.methods:
        assert (each.record.fitted_patients, len(each.record.patient_scores)) == (2, 2)
        assert each.record.patient_scores == tuple(sorted(each.record.patient_scores))
        assert 0 < each.record.patient_scores[-1] < 999


def test_reconstruct_then_gives_a_z_score_and_a_p_value(calibrated, mr_cohort, tmp_path, capsys):
    words = ["reconstruct", str(calibrated), str(mr_cohort / "patient01" / "FLAIR.nii.gz")]
    assert main([*words, "--out", str(tmp_path / "z"), "--body-erosion", "4"]) == 0
    assert "at least 19" in capsys.readouterr().err  # two patients are too few for an alarm
    result = json.loads((tmp_path / "z" / "result.json").read_text())
    assert result["anomaly_unit"] == "healthy z-score"
    assert result["patient_p_value"] in (pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)
    assert result["anomaly_not_seen"] == -1000
    assert len(result["slices"]["anomaly_99th_percentile"]) == len(result["slices"]["position_mm"])
    z = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "z" / "anomaly.nrrd")))
    inside = z[z != -1000]
    assert z.min() == -1000 and inside.min() < 0 < inside.max() and np.abs(inside).max() < 100
    assert main([*words, "--out", str(tmp_path / "plain"), "--uncalibrated", "--anomaly", "gradient-elbo"]) == 0
    result = json.loads((tmp_path / "plain" / "result.json").read_text())
    assert "uncalibrated" in result["anomaly_unit"] and result["patient_p_value"] is None


def test_a_structures_mean_leaves_out_what_was_not_looked_at(calibrated, real_data, tmp_path):
    patient = real_data / "open_ms" / "cross_sectional" / "patient19"
    words = ["reconstruct", str(calibrated), str(patient / "FLAIR.nii.gz"), "--out", str(tmp_path / "out")]
    assert main([*words, "--structures", str(patient / "lesions.nii.gz"), "--body-erosion", "20"]) == 0
    (region,) = json.loads((tmp_path / "out" / "result.json").read_text())["structures"].values()
    assert -20 < region["mean_anomaly"] < 50


def test_masked_lesions_do_not_count_as_healthy(small_bundle, real_data, tmp_path):
    cohort = tmp_path / "cohort"
    patients = [real_data / "open_ms" / "cross_sectional" / name for name in ("patient07", "patient19")]
    patients.append(real_data / "open_ms" / "longitudinal" / "patient01")  # without a mask
    for patient in patients:
        (cohort / patient.name).mkdir(parents=True)
        for source in (*patient.glob("study1_FLAIR.nii.gz"), *patient.glob("FLAIR*"), *patient.glob("lesions*")):
            image = nibabel.load(source)
            middle = image.shape[2] // 2
            name = source.name.removeprefix("study1_")
            nibabel.save(image.slicer[:, :, middle - 3 : middle + 3], cohort / patient.name / name)
    tables = []
    for number, words in enumerate(([], ["--exclude-mask", "lesions"])):
        bundle = tmp_path / f"bundle{number}"
        shutil.copytree(small_bundle, bundle)
        share = ["--fit-share", "0.7"]  # two are fitted to, of whom one has a mask at least
        assert main(["calibrate", str(bundle), "--healthy", str(cohort), *share, *words]) == 0
        calibration = calibration_of(bundle, read_manifest(bundle))
        assert calibration.methods[0].record.fitted_patients == 2
        tables.append(calibration.methods[0].healthy["anomaly"].scales[0].location)
    assert tables[0].shape != tables[1].shape or not np.array_equal(*tables)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "gradient-kk"], "did you mean 'gradient-kl'"),
        (["--method", "code-surprise"], "has no codes"),
        (["--false-alarm-rate", "5"], "between 0 and 1"),
        (["--smoothing", "-1"], "allowed is"),
        (["--coarse", "1"], "or 0 for none"),
    ],
)
def test_what_cannot_be_calibrated_is_refused_and_leaves_the_bundle(words, sentence, small_bundle, mr_cohort, capsys):
    before = sorted(path.name for path in small_bundle.iterdir())
    assert main(["calibrate", str(small_bundle), "--healthy", str(mr_cohort), *words]) == 1
    assert sentence in capsys.readouterr().err
    assert sorted(path.name for path in small_bundle.iterdir()) == before


def test_false_alarms_in_many_splits_are_as_many_as_beta_binomials_have():
    trial = Trial(patients=40, splits=30, fitted=6, compared=19)
    alarms, beyond_two = outcomes([patient_maps(seed) for seed in range(40)], trial, 0.05, ignore, Cancel())
    expected, low, high = alarms_expected(trial, 0.05)
    assert expected == 0.05
    assert low <= alarms / (trial.splits * trial.tested) <= high
    assert 0.02 < beyond_two < 0.09


def test_the_interval_is_that_of_simulated_splits():
    trial = Trial(patients=80, splits=20, fitted=20, compared=39)
    mean, low, high = alarms_expected(trial, 0.05)
    random = np.random.default_rng(0)
    rates = random.beta(2, 38, size=(20_000, trial.splits))
    shares = random.binomial(trial.tested, rates).sum(axis=1) / (trial.splits * trial.tested)
    assert mean == 0.05 == pytest.approx(shares.mean(), abs=0.001)
    np.testing.assert_allclose([low, high], np.quantile(shares, [0.025, 0.975]), atol=0.0025)
