"""Synthetic slices from the priors in a bundle: which one is taken, what it draws, and what is refused."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from SlicerVAELib.core import bundle_parts
from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.code_prior import CodePrior, CodePriorSettings
from SlicerVAELib.core.engine import Hardware, LatentPath, SynthesizeRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import NetworkDescription, read_manifest
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Cancel, Meter, ignore
from SlicerVAELib.core.synthesis_mixture import GaussianMixture
from SlicerVAELib.core.synthesis_parts import ARRAYS, FittedPriors, PriorDescription, code_prior_of, write_priors
from SlicerVAELib.core.synthesis_path import along
from SlicerVAELib.worker.client import WorkerEngine
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest, write_tiny_bundle

NOTHING_KNOWN = PriorDescription("", patients=3, slices=30, seed=0, figures={})


def mixture(name: str = "mixture", *, at: float = 2.0) -> GaussianMixture:
    """Two Gaussians over 8 latents, about +at and −at, that share two factors."""
    generator = torch.Generator().manual_seed(0)
    means = torch.tensor([[at], [-at]]).expand(2, 8).contiguous()
    factors = 0.3 * torch.randn(2, 8, 2, generator=generator)
    return GaussianMixture(name, (8,), torch.tensor([0.75, 0.25]), means, factors, torch.full((2, 8), 0.1))


@pytest.fixture
def bundle(tmp_path) -> Path:
    write_tiny_bundle(tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def with_mixture(bundle) -> Path:
    write_priors(bundle, read_manifest(bundle), FittedPriors({"mixture": mixture()}), NOTHING_KNOWN)
    return bundle


def write_other(folder: Path, family: str, settings: dict, **preprocessing) -> Path:
    """A bundle of another family with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(family, settings).eval()
    manifest = tiny_manifest(
        network=NetworkDescription(family, settings),
        preprocessing=Preprocessing(HounsfieldWindow(), 64, 6.0, **preprocessing),
    )
    write_bundle(folder, manifest, network, card="# A small model\n", preview=PREVIEW_PNG)
    return folder


@pytest.fixture
def of_codes(tmp_path) -> Path:
    return write_other(
        tmp_path / "codes", "table52_vqvae", {"size": 64, "codebook_size": 16, "dimension": 4, "grid": 4}
    )


def code_prior_for(bundle: Path) -> CodePrior:
    latent = load_network(bundle).latent
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return CodePrior(latent, CodePriorSettings(8, 2)).eval()


def with_code_prior(bundle: Path) -> Path:
    write_priors(bundle, read_manifest(bundle), FittedPriors(codes=code_prior_for(bundle)), NOTHING_KNOWN)
    return bundle


def synthesize(bundle: Path, **changes):
    return LocalEngine().synthesize(SynthesizeRequest(bundle, **({"count": 4} | changes)))


def test_auto_takes_the_mixture_and_says_so(with_mixture):
    assert synthesize(with_mixture).provenance.parameters["prior"] == "mixture of 2 Gaussians"
    assert synthesize(with_mixture, prior="standard").provenance.parameters["prior"] == "N(0, I)"


def test_a_bundle_without_priors_draws_from_the_standard_one(bundle):
    automatic, standard = synthesize(bundle), synthesize(bundle, prior="standard")
    assert automatic.provenance.parameters["prior"] == "N(0, I)"
    np.testing.assert_array_equal(automatic.images, standard.images)
    with pytest.raises(UserError, match="fit-prior"):
        synthesize(bundle, prior="mixture")


def test_a_mixture_draws_what_its_arrays_say():
    made = mixture()
    draws = made.draw(4000, seed=1, temperature=1.0, meter=Meter(ignore, "", 1), cancel=Cancel())
    first = draws[:, 0] > 0
    assert float(first.float().mean()) == pytest.approx(0.75, abs=0.03)
    covariance = torch.cov(draws[first].T)
    expected = made.factors[0] @ made.factors[0].T + torch.diag(made.deviations[0] ** 2)
    torch.testing.assert_close(covariance, expected, atol=0.03, rtol=0.06)
    torch.testing.assert_close(draws[first].mean(dim=0), made.means[0], atol=0.03, rtol=0.0)


def test_asking_for_more_keeps_the_first_ones(with_mixture):
    few, many = synthesize(with_mixture, count=3).images, synthesize(with_mixture, count=7).images
    np.testing.assert_allclose(few, many[:3], atol=1e-3)


def test_temperature_0_draws_the_gaussians_means(with_mixture):
    images = synthesize(with_mixture, count=12, temperature=0.0).images
    assert len(np.unique(images.round(2).reshape(12, -1), axis=0)) == 2


def test_codes_are_drawn_from_the_learned_prior(of_codes):
    uniform = synthesize(of_codes)
    assert uniform.provenance.parameters["prior"] == "uniform codes"
    assert any("fit-prior" in notice for notice in uniform.notices)
    learned = synthesize(with_code_prior(of_codes), temperature=0.7)
    assert learned.provenance.parameters["prior"] == "learned prior over codes"
    assert learned.provenance.parameters["temperature"] == "0.7"
    assert not np.array_equal(uniform.images, learned.images)
    assert not learned.notices


def test_the_stored_code_prior_is_the_one_that_was_put_in(of_codes):
    with_code_prior(of_codes)
    stored = code_prior_of(load_network(of_codes), of_codes, read_manifest(of_codes))
    codes = torch.randint(16, (2, 4, 4), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(stored.surprise(codes), code_prior_for(of_codes).surprise(codes))


def test_a_prior_of_another_model_is_refused(with_mixture, tmp_path):
    other = tmp_path / "other"
    write_tiny_bundle(other, seed=5)
    contents = {name: (with_mixture / name).read_bytes() for name in ("prior.json", ARRAYS)}
    bundle_parts.write_parts(other, contents)
    with pytest.raises(UserError, match="made for another model"):
        synthesize(other)


@pytest.mark.parametrize("damage", ["bits", "truncated", "other shape", "not finite", "missing"])
def test_a_damaged_prior_is_refused_in_one_sentence(with_mixture, damage):
    manifest, path = read_manifest(with_mixture), with_mixture / ARRAYS
    content = path.read_bytes()
    if damage == "bits":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "truncated":
        path.write_bytes(content[:-5])
    elif damage == "missing":
        path.unlink()
    else:
        made = mixture()
        changed = (
            {"means": made.means[:, :5].contiguous()} if damage == "other shape" else {"weights": made.weights / 0}
        )
        damaged = FittedPriors({"mixture": dataclasses.replace(made, **changed)})
        write_priors(with_mixture, manifest, damaged, NOTHING_KNOWN)
    with pytest.raises(UserError) as refusal:
        synthesize(with_mixture)
    assert str(refusal.value).count(". ") == 0


def test_a_new_prior_takes_the_place_of_the_old_one(with_mixture):
    before = read_manifest(with_mixture)
    old = synthesize(with_mixture).images
    write_priors(with_mixture, before, FittedPriors({"mixture": mixture(at=0.5)}), NOTHING_KNOWN)
    after = read_manifest(with_mixture)
    assert after.checksum != before.checksum
    assert after.files["weights.safetensors"] == before.files["weights.safetensors"]
    assert not np.array_equal(old, synthesize(with_mixture).images)


@pytest.mark.parametrize("at", range(4))
def test_a_bundle_can_be_read_wherever_the_writing_of_a_part_stops(with_mixture, monkeypatch, at):
    steps = iter(range(10))
    real = Path.replace

    def failing(self, target):
        if next(steps) == at:
            raise OSError(28, "No space left on device")
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", failing)
        with pytest.raises(UserError, match="can't be written"):
            write_priors(
                with_mixture, read_manifest(with_mixture), FittedPriors({"mixture": mixture(at=1.0)}), NOTHING_KNOWN
            )
    assert synthesize(with_mixture, count=1).images.shape == (1, 64, 64)
    assert sorted(path.name for path in with_mixture.iterdir() if path.name.startswith(".")) == []


def test_a_path_joins_the_draws(with_mixture):
    draws = synthesize(with_mixture, count=3).images
    path = synthesize(with_mixture, count=3, path=LatentPath(steps=4))
    assert path.images.shape == (9, 64, 64)
    np.testing.assert_allclose(path.images[::4], draws, atol=1e-2)
    assert "4 steps between 3 draws" in path.provenance.parameters["path"]


def test_a_great_circle_keeps_to_the_sphere_and_a_straight_line_cuts_through():
    ends = torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    circle, line = along(ends, LatentPath(4)), along(ends, LatentPath(4, "linear"))
    torch.testing.assert_close(circle.norm(dim=1), torch.full((5,), 3.0))
    torch.testing.assert_close(circle[2], torch.tensor([3.0, 3.0, 0.0]) / 2**0.5)
    torch.testing.assert_close(line[1], torch.tensor([2.25, 0.75, 0.0]))
    same = along(torch.ones(2, 4), LatentPath(3))
    torch.testing.assert_close(same, torch.ones(4, 4))


def test_there_is_no_path_from_a_single_draw_nor_through_codes(bundle, of_codes):
    with pytest.raises(UserError, match="at least 2"):
        synthesize(bundle, count=1, path=LatentPath())
    with pytest.raises(UserError, match="codes"):
        synthesize(of_codes, path=LatentPath())


def test_a_model_of_structures_draws_their_masks(tmp_path):
    names = ("Lung_L", "Lung_R")
    bundle = write_other(
        tmp_path / "structures", "conv_pool_structures", {"size": 64, "structures": 2, "latent": 4}, structures=names
    )
    result = synthesize(bundle, count=3, temperature=4.0)
    assert tuple(result.structures) == names
    network = load_network(bundle)
    from SlicerVAELib.core.synthesis import draw_latents

    with torch.inference_mode():
        classes = network.decode(draw_latents(network, 3, seed=0, temperature=4.0))[:, 1:].argmax(dim=1).numpy()
    for index, name in enumerate(names):
        assert result.structures[name].dtype == np.uint8
        np.testing.assert_array_equal(result.structures[name], classes == index)
    assert sum(int(mask.sum()) for mask in result.structures.values()) > 0


def test_the_worker_draws_the_same(tmp_path):
    bundle = write_other(
        tmp_path / "structures",
        "conv_pool_structures",
        {"size": 64, "structures": 2, "latent": 4},
        structures=("A", "B"),
    )
    request = SynthesizeRequest(
        bundle, count=2, seed=4, hardware=Hardware("cpu"), prior="standard", path=LatentPath(2, "linear")
    )
    here = LocalEngine().synthesize(request)
    there = WorkerEngine()
    try:
        result = there.synthesize(request)
        np.testing.assert_array_equal(result.images, here.images)
        for name, mask in here.structures.items():
            np.testing.assert_array_equal(result.structures[name], mask)
        assert result.provenance == here.provenance
    finally:
        there.close()


def test_a_bundle_lists_no_file_outside_of_itself(with_mixture, tmp_path):
    manifest = read_manifest(with_mixture)
    (tmp_path / "outside.txt").write_text("x")
    record = bundle_parts.record_of(b"x")
    escaped = manifest.sealed(manifest.files | {"../outside.txt": record})
    (with_mixture / "bundle.json").write_text(escaped.to_json(), encoding="utf-8")
    with pytest.raises(UserError, match="lacks its file"):
        read_manifest(with_mixture)
