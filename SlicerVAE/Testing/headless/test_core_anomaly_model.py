"""Anomaly maps that ask the model more than a reconstruction, against finite differences and numerical integrals."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from SlicerVAELib.core.anomaly import METHODS, Evidence, Model, method_named
from SlicerVAELib.core.anomaly import probability as probability_module
from SlicerVAELib.core.anomaly.choice import need_method
from SlicerVAELib.core.anomaly.restoration import total_variation
from SlicerVAELib.core.code_prior import CodePrior, CodePriorSettings
from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Progress, ignore

SIDE, VARIANCE = 6, 0.05
GAUSSIAN = Latent("gaussian", (3,))


class DoubleNetwork(Network):
    """A smooth VAE of ``channels`` × 6 × 6 images in double precision, the last channel a structure where asked for."""

    def __init__(self, latent: int = 3, channels: int = 1, structure_channels: int = 0, seed: int = 0) -> None:
        super().__init__()
        self.image_size, self.channels, self.structure_channels = SIDE, channels, structure_channels
        self._latent = Latent("gaussian", (latent,))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            pixels = channels * SIDE * SIDE
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, 8), nn.Tanh(), nn.Linear(8, 2 * latent))
            self.decoder = nn.Sequential(nn.Linear(latent, pixels), nn.Unflatten(1, (channels, SIDE, SIDE)))
        self.double().eval().requires_grad_(False)

    @property
    def latent(self):
        return self._latent

    def encode(self, images):
        mean, log_variance = self.encoder(images.double()).chunk(2, dim=1)
        return DiagonalGaussian(2 * mean, log_variance - 1)

    def decode(self, latents):
        return torch.sigmoid(self.decoder(latents.double()))


def images_of(network: Network, count: int = 3, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, *network.image_shape, generator=generator, dtype=torch.double)


def asked(network, images, batch_size=2, listener=ignore, cancel=None, code_prior=None):
    """The evidence and the model behind it."""
    pictures = network.channels - network.structure_channels
    placement = Placement(network, torch.device("cpu"), "float32", batch_size)
    with torch.inference_mode():
        made = network.reconstruct(images)
    evidence = Evidence(images[:, :pictures], made[:, :pictures].clone(), VARIANCE)
    return evidence, Model(placement, images, pictures, VARIANCE, listener, cancel or Cancel(), code_prior)


def terms(network: Network, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each term of the lower bound, summed over images, written down anew."""
    pictures = network.channels - network.structure_channels
    hidden = network.encoder(images)
    mean, log_variance = 2 * hidden[:, : hidden.shape[1] // 2], hidden[:, hidden.shape[1] // 2 :] - 1
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum()
    rec = (images - network.decode(mean))[:, :pictures].square().sum() / (2 * VARIANCE)
    return {"gradient-kl": kl, "gradient-rec": rec, "gradient-elbo": kl + rec}


@pytest.mark.parametrize("name", ["gradient-kl", "gradient-rec", "gradient-elbo"])
@pytest.mark.parametrize(("channels", "structures"), [(1, 0), (3, 1)])
def test_gradients_are_finite_differences_of_the_lower_bounds_terms(name, channels, structures):
    network = DoubleNetwork(channels=channels, structure_channels=structures)
    images = images_of(network)
    evidence, model = asked(network, images)
    with torch.inference_mode():  # as the engine may be asked from anywhere
        maps = method_named(name).maps(evidence, model)
    assert maps.shape == (3, channels - structures, SIDE, SIDE)
    step, steepest = 1e-5, 0.0
    for n, channel, row, column in [(0, 0, 0, 0), (1, 0, 3, 5), (2, channels - structures - 1, 2, 2)]:
        values = []
        for sign in (1, -1):
            moved = images.clone()
            moved[n, channel, row, column] += sign * step
            values.append(float(terms(network, moved)[name]))
        expected = abs(values[0] - values[1]) / (2 * step)
        steepest = max(steepest, expected)
        assert float(maps[n, channel, row, column]) == pytest.approx(expected, rel=1e-5, abs=1e-8)
    assert steepest > 1e-3


def test_a_slices_gradient_does_not_depend_on_the_others_of_its_batch():
    network = DoubleNetwork()
    images = images_of(network, 5)
    together, alone = (
        method_named("gradient-elbo").maps(*asked(network, images, batch_size=batch)) for batch in (5, 1)
    )
    torch.testing.assert_close(together, alone)
    assert not images.requires_grad


def test_combined_is_the_smoothed_divergences_gradient_times_the_residual():
    from scipy import ndimage

    network = DoubleNetwork()
    evidence, model = asked(network, images_of(network))
    gradient = method_named("gradient-kl").maps(evidence, model)[:, 0].numpy()
    residual = (evidence.images - evidence.reconstructions).abs()[:, 0].numpy() / math.sqrt(VARIANCE)
    smoothed = ndimage.gaussian_filter(gradient, (0, 2.0, 2.0), mode="nearest", radius=(0, 6, 6))
    result = method_named("combined").maps(evidence, model)[:, 0]
    np.testing.assert_allclose(result.numpy(), smoothed * residual, rtol=1e-4, atol=1e-6)


def test_reconstruction_probability_is_the_integral_over_the_posterior(monkeypatch):
    monkeypatch.setattr(probability_module, "DRAWS", 10_000)
    network = DoubleNetwork(latent=1, seed=3)
    images = images_of(network, 2)
    evidence, model = asked(network, images)
    result = method_named("reconstruction-probability").maps(evidence, model)
    posterior = network.encode(images)
    z = torch.linspace(-12, 12, 20_001, dtype=torch.double)
    for n in range(2):
        mean, deviation = float(posterior.mean[n]), float((posterior.log_variance[n] / 2).exp())
        density = torch.exp(-0.5 * ((z - mean) / deviation) ** 2) / (deviation * math.sqrt(2 * math.pi))
        likelihood = torch.exp(-((images[n] - network.decode(z[:, None])) ** 2) / (2 * VARIANCE))
        expected = -torch.trapezoid(density[:, None, None, None] * likelihood, z, dim=0).log()
        assert expected.max() > 2 * expected.median()
        torch.testing.assert_close(result[n].double(), expected, rtol=0.05, atol=0.02)


def test_reconstruction_probability_repeats_and_follows_no_batch():
    network = DoubleNetwork()
    images = images_of(network, 5)
    one, other = (
        method_named("reconstruction-probability").maps(*asked(network, images, batch_size=batch)) for batch in (5, 2)
    )
    torch.testing.assert_close(one, other)


def test_total_variation_is_the_sum_of_gradient_lengths():
    image = torch.zeros(1, 1, 8, 8, dtype=torch.double)
    image[..., 2:6, 2:6] = 1.0
    # Forward differences of a 4 × 4 square: 16 edge pixels of length 1, of which the pair at one corner is one of √2.
    assert float(total_variation(image)) == pytest.approx(14 + math.sqrt(2), rel=0.01)
    assert float(total_variation(torch.full((2, 3, 5, 5), 0.7))) == pytest.approx(0, abs=1e-9)
    assert float(total_variation(image[:, :, None].expand(1, 1, 4, 8, 8))) == pytest.approx(
        4 * (14 + math.sqrt(2)), rel=0.01
    )


def test_restoration_climbs_the_lower_bound_and_lets_go_of_what_was_put_in():
    network = DoubleNetwork(seed=5)
    with torch.no_grad():
        images = network.decode(torch.zeros(2, 3, dtype=torch.double)).clone()
    images[1, 0, 2:4, 2:4] = 1.0
    told: list[Progress] = []
    evidence, model = asked(network, images, listener=told.append)
    maps = method_named("restoration").maps(evidence, model)
    spot = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    spot[2:4, 2:4] = True
    assert maps[1, 0][spot].mean() > 5 * maps[1, 0][~spot].mean() > 0
    assert maps[0].max() < 0.5 * maps[1].max()
    assert len(told) > 150 and told[-1].fraction == 1.0


@pytest.mark.parametrize("name", ["gradient-elbo", "restoration", "reconstruction-probability"])
def test_cancel_ends_the_work_at_its_next_step(name):
    network, cancel = DoubleNetwork(), Cancel()
    steps: list[Progress] = []

    def listen(progress: Progress) -> None:
        steps.append(progress)
        if len(steps) == 3:
            cancel.request()

    evidence, model = asked(network, images_of(network, 8), batch_size=1, listener=listen, cancel=cancel)
    with pytest.raises(Cancelled):
        method_named(name).maps(evidence, model)
    assert len(steps) <= 4


def test_cubes_get_a_map_of_every_slice():
    network = build("conv_pool_vae", {"size": 32, "dimensions": 3, "filters": 4}).eval().requires_grad_(False)
    images = torch.rand(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    evidence = Evidence(images[0].movedim(0, 1), torch.zeros(32, 1, 32, 32), VARIANCE)
    model = Model(Placement(network, torch.device("cpu"), "float32", 1), images, 1, VARIANCE, ignore, Cancel())
    for name in ("gradient-elbo", "reconstruction-probability"):
        maps = method_named(name).maps(evidence, model)
        assert maps.shape == (32, 1, 32, 32) and maps.max() > 0


class OneRareCode:
    """A prior to which one code of each image is a surprise."""

    def to(self, device):
        return self

    def surprise(self, indices, *finer):
        finest = (indices, *finer)[-1]
        nats = torch.full(finest.shape, 0.5)
        nats[:, 1, 2] = 9.0
        return nats


def test_code_surprise_lies_where_the_code_does():
    network = build("table52_vqvae", {"size": 64}).eval().requires_grad_(False)
    images = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    evidence, model = asked(network, images, code_prior=OneRareCode())
    maps = method_named("code-surprise").maps(evidence, model)
    assert maps.shape == (3, 1, 64, 64)
    peak = np.unravel_index(int(maps[0, 0].argmax()), (64, 64))
    assert 16 <= peak[0] < 32 and 32 <= peak[1] < 48  # a grid of 4 × 4 codes
    assert maps.max() <= 9.0 and maps[0, 0, 60, 60] == 0.5


@pytest.mark.parametrize("family", ["table52_vqvae", "vqvae2"])
def test_code_surprise_takes_the_learned_prior_of_one_and_of_two_levels(family):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build(family, {"size": 64}).eval().requires_grad_(False)
        prior = CodePrior(network.latent, CodePriorSettings(filters=8, layers=2)).eval()
    images = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    maps = method_named("code-surprise").maps(*asked(network, images, code_prior=prior))
    assert maps.shape == (2, 1, 64, 64)
    assert maps.mean() == pytest.approx(math.log(network.latent.codebook_size), rel=0.5)  # nothing is learned yet


CODES = Latent("codes", (8, 4, 4), grids=((4, 4),), codebook_size=16)
POINT = Latent("point", (5,))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("latent", [GAUSSIAN, CODES, POINT], ids=lambda latent: latent.kind)
def test_what_a_family_cannot_do_is_refused_in_one_sentence(name, latent):
    possible = {
        "gaussian": set(METHODS) - {"code-surprise"},
        "codes": {"absolute-residual", "signed-residual", "structural-residual", "gradient-rec"},
        "point": {"absolute-residual", "signed-residual", "structural-residual", "gradient-rec"},
    }
    if name in possible[latent.kind]:
        assert need_method(name, latent, None, "thorax 1.0") is METHODS[name]
        return
    with pytest.raises(UserError, match=f"'{name}' of thorax 1.0") as refusal:
        need_method(name, latent, None, "thorax 1.0")
    assert str(refusal.value).count(". ") == 0
    assert ("fit-prior" in str(refusal.value)) == (name == "code-surprise" and latent is CODES)


def test_with_a_prior_codes_can_surprise():
    assert need_method("code-surprise", CODES, OneRareCode(), "thorax 1.0").needs_code_prior
