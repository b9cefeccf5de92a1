"""Priors fitted to a model's latents: better than none, telling of no single patient, and in the bundle afterwards."""

import json
import shutil

import numpy as np
import pytest
import torch

from slicervae.cli import main
from slicervae.training.code_priors import CodePriorTraining, fit_code_prior
from slicervae.training.latents import EncodedSlices, Posteriors
from slicervae.training.mixtures import aggregated_posterior, fit_mixture
from SlicerVAELib.core.code_prior import CodePriorSettings
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore


def slices(means: np.ndarray, owners: np.ndarray, deviation: float = 0.1) -> EncodedSlices:
    posteriors = Posteriors(torch.from_numpy(means).float(), torch.full(means.shape, deviation**2))
    names = tuple(f"P{n}" for n in range(owners.max() + 1))
    return EncodedSlices(names, torch.from_numpy(owners), torch.zeros(len(owners)), posteriors, ())


def two_clouds(dimension: int, seed: int) -> EncodedSlices:
    """Slices of 6 patients, half of them about +2 and half about −2 in every latent."""
    rng = np.random.default_rng(seed)
    side = np.where(rng.random(240) < 0.5, 2.0, -2.0)[:, None]
    return slices(side + 0.5 * rng.normal(size=(240, dimension)), np.arange(240) % 6)


@pytest.mark.parametrize("dimension", [4, 100])
def test_a_mixture_finds_where_the_posteriors_lie(dimension):
    latent = Latent("gaussian", (dimension,))
    fitted = fit_mixture(two_clouds(dimension, 0), two_clouds(dimension, 1), latent, 0, ignore, Cancel())
    mixture = fitted.mixture
    assert fitted.validation > fitted.standard
    assert mixture.weights.sum() == pytest.approx(1.0, abs=1e-5)
    signs = torch.sign(mixture.means)
    assert bool((signs == signs[:, :1]).all())
    assert float(mixture.weights[signs[:, 0] > 0].sum()) == pytest.approx(0.5, abs=0.1)
    spread = ((mixture.factors**2).sum(dim=2) + mixture.deviations**2).mul(mixture.weights[:, None]).sum(dim=0)
    together = spread + (mixture.weights[:, None] * mixture.means**2).sum(dim=0)
    assert float(together.mean()) == pytest.approx(4.0 + 0.25 + 0.01, rel=0.1)


def test_the_aggregated_posterior_keeps_mean_and_variance():
    training = two_clouds(4, 0)
    mixture = aggregated_posterior(training, Latent("gaussian", (4,)), 0)
    assert len(mixture.weights) > 2
    mean = (mixture.weights[:, None] * mixture.means).sum(dim=0)
    torch.testing.assert_close(mean, training.posteriors.means.mean(dim=0), atol=1e-4, rtol=0.0)
    second = (mixture.weights[:, None] * (mixture.means**2 + mixture.deviations**2)).sum(dim=0)
    expected = (training.posteriors.means**2 + training.posteriors.variances).mean(dim=0)
    torch.testing.assert_close(second, expected, atol=1e-3, rtol=1e-4)


def test_no_gaussian_stands_for_a_single_patient():
    """A patient far from all others has no Gaussian for itself, in neither mixture."""
    rng = np.random.default_rng(3)
    means = rng.normal(size=(300, 3))
    owners = np.arange(300) % 6
    means[owners == 5] += 40.0
    training, latent = slices(means, owners), Latent("gaussian", (3,))
    others = slices(rng.normal(size=(60, 3)), np.arange(60) % 2)
    for mixture in (
        aggregated_posterior(training, latent, 0),
        fit_mixture(training, others, latent, 0, ignore, Cancel()).mixture,
    ):
        assert float(mixture.means.max()) < 35.0


@pytest.mark.parametrize("owners", [np.zeros(30, dtype=int), np.arange(4)])
def test_too_few_slices_or_patients_are_refused(owners):
    few = slices(np.random.default_rng(0).normal(size=(len(owners), 3)), owners)
    with pytest.raises(UserError, match="too few"):
        fit_mixture(few, two_clouds(3, 0), Latent("gaussian", (3,)), 0, ignore, Cancel())


def striped(count: int, seed: int) -> list[torch.Tensor]:
    """Pictures of 8×8 codes of 6: rows of one code each, in the order 0, 1, 2, … from a random one on."""
    starts = torch.randint(6, (count, 1, 1), generator=torch.Generator().manual_seed(seed))
    return [((starts + torch.arange(8)[:, None]) % 6).expand(-1, -1, 8).contiguous()]


def fit_stripes(cancel: Cancel):
    network = build("table52_vqvae", {"size": 64, "codebook_size": 6, "dimension": 4, "grid": 8})
    plan = CodePriorTraining(epochs=4, learning_rate=1e-2, shift=0)
    return fit_code_prior(
        striped(96, 0), striped(24, 1), network, CodePriorSettings(16, 2, 0.0), plan,
        seed=0, device=torch.device("cpu"), listener=ignore, cancel=cancel,
    )  # fmt: skip


def test_a_prior_over_codes_learns_which_codes_go_together():
    torch.manual_seed(0)
    fitted = fit_stripes(Cancel())
    assert fitted.validation < 0.1 * np.log(6)
    torch.manual_seed(0)
    again = fit_stripes(Cancel())
    assert again.validation == fitted.validation
    upset = striped(3, 1)[0].clone()
    upset[:, 4, 4] = (upset[:, 4, 4] + 3) % 6
    assert float(fitted.prior.surprise(upset)[:, 4, 4].min()) > 1.0


def test_learning_can_be_cancelled():
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        fit_stripes(cancel)


def test_the_command_gives_a_bundle_its_mixtures(small_run, small_bundle, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in small_bundle.iterdir()}
    copy = tmp_path / "with-prior"
    assert main(["fit-prior", str(small_bundle), "--run", str(small_run), "--out", str(copy)]) == 0
    assert {path.name: path.read_bytes() for path in small_bundle.iterdir()} == before
    assert main(["sample", str(copy), "--count", "3", "--out", str(tmp_path / "drawn")]) == 0
    assert "mixture of" in capsys.readouterr().out
    drawn = json.loads((tmp_path / "drawn" / "result.json").read_text(encoding="utf-8"))
    assert drawn["provenance"]["parameters"]["prior"].startswith("mixture of")
    assert main(["sample", str(copy), "--prior", "aggregated-posterior", "--out", str(tmp_path / "other")]) == 0
    assert main(["sample", str(copy), "--path", "2", "--steps", "3", "--out", str(tmp_path / "path")]) == 0
    assert json.loads((tmp_path / "path" / "result.json").read_text(encoding="utf-8"))["count"] == 4


def test_the_same_seed_fits_the_same_prior(small_run, mr_cohort, small_bundle, tmp_path):
    first, second = (shutil.copytree(small_bundle, tmp_path / name) for name in ("first", "second"))
    for bundle in (first, second):
        assert main(["fit-prior", str(bundle), "--data", str(mr_cohort), "--seed", "4"]) == 0
    assert read_manifest(first).checksum == read_manifest(second).checksum


def test_codes_get_a_learned_prior(mr_cohort, tmp_path, capsys):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    small = ["--set", "size=64", "--set", "codebook_size=16", "--set", "batch_size=8", "--max-epochs", "1"]
    assert main(["fit", "vqvae_std", "--data", str(mr_cohort), "--out", str(run), *small]) == 0
    assert main(["export", str(run), "--out", str(bundle)]) == 0
    words = ["--epochs", "2", "--filters", "8", "--layers", "2"]
    assert main(["fit-prior", str(bundle), "--run", str(run), *words]) == 0
    assert "validation nats per code" in capsys.readouterr().out
    assert main(["sample", str(bundle), "--count", "2", "--out", str(tmp_path / "drawn")]) == 0
    assert "learned prior over codes" in capsys.readouterr().out
    assert main(["describe-latents", str(bundle), "--run", str(run)]) == 1
    assert "no Gaussian latents" in capsys.readouterr().err


def test_what_can_not_be_fitted_is_refused_and_leaves_the_bundle(small_run, small_bundle, mr_cohort, tmp_path, capsys):
    before = read_manifest(small_bundle).checksum
    few = tmp_path / "few"
    for patient in ("patient01", "patient03"):
        shutil.copytree(mr_cohort / patient, few / patient)
    assert main(["fit-prior", str(small_bundle), "--data", str(few)]) == 1
    assert "too few" in capsys.readouterr().err
    assert main(["fit-prior", str(small_bundle), "--run", str(tmp_path)]) == 1
    assert "is not a run" in capsys.readouterr().err
    assert main(["fit-prior", str(small_bundle), "--run", str(small_run), "--out", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert main(["fit-prior", str(small_bundle), "--run", str(small_run), "--epochs", "0"]) == 1
    assert "epochs" in capsys.readouterr().err
    assert read_manifest(small_bundle).checksum == before
