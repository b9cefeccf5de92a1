"""The context-encoding VAE's objective: what is masked, what is held against what."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import Moment, objective_for
from slicervae.objectives.cevae import CEVAESettings, masked
from slicervae.recipe import load_recipe
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build


def draws(part=0, parts=1):
    return Draws(torch.Generator().manual_seed(0), part, parts)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("brain_vae", {"size": 64, "filters": [2, 3, 4, 5, 6], "latent": 4}).eval()


@pytest.fixture(scope="module")
def batch():
    return Batch(torch.rand(5, 1, 64, 64, generator=torch.Generator().manual_seed(1)))


@pytest.mark.parametrize("noise", ["optimal", "fixed"])
def test_the_loss_is_that_of_the_vae_and_of_the_filled_in_copy(network, batch, noise):
    settings = CEVAESettings(noise=noise, noise_variance=0.03, context_weight=0.5, beta=2.0)
    terms = objective_for(network, settings)(batch, Moment(0, 100, 0.0, draws()))
    random = draws()
    posterior = network.encode(batch.images)
    q = Normal(posterior.mean, torch.exp(posterior.log_variance / 2))
    image = network.decode(q.mean + q.stddev * random.normal((5, 4)))
    completed = network.decode(network.encode(masked(batch.images, settings, random)).mean)

    def nll(reconstructions):
        mse = float((batch.images - reconstructions).square().mean().detach())
        deviation = math.sqrt(mse if noise == "optimal" else 0.03)
        return -Normal(reconstructions, deviation).log_prob(batch.images).flatten(1).sum(dim=1).mean()

    divergence = kl_divergence(q, Normal(0.0, 1.0)).sum(dim=1).mean()
    torch.testing.assert_close(terms.loss, nll(image) + 2.0 * divergence + 0.5 * nll(completed), rtol=1e-5, atol=0.01)
    torch.testing.assert_close(terms.parts["mse"], (batch.images - image).square().mean())
    torch.testing.assert_close(terms.parts["mse_context"], (batch.images - completed).square().mean())


def test_patches_are_squares_of_one_grey_and_the_rest_is_untouched():
    images = torch.full((40, 2, 64, 64), 2.0)  # a value that no patch can have
    changed = masked(images, CEVAESettings(patches=1, smallest_patch=0.25, largest_patch=0.5), draws())
    assert torch.equal(images, torch.full_like(images, 2.0))
    cut = changed != images
    assert torch.equal(cut[:, 0], cut[:, 1])  # the same pixels in all channels
    for image, where in zip(changed[:, 0], cut[:, 0], strict=True):
        rows, columns = where.any(dim=1).nonzero()[:, 0], where.any(dim=0).nonzero()[:, 0]
        assert torch.equal(where[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all(), torch.tensor(True))
        assert int(where.sum()) == len(rows) * len(columns)
        assert max(len(rows), len(columns)) <= 33
        assert 0 <= image[where].min() == image[where].max() < 1
        inside = rows[0] > 0 and rows[-1] < 63 and columns[0] > 0 and columns[-1] < 63
        if inside:
            assert abs(len(rows) - len(columns)) <= 1
            assert len(rows) >= 16
    assert len({float(image[where].min()) for image, where in zip(changed[:, 0], cut[:, 0], strict=True)}) == 40


def test_several_patches_in_cubes():
    changed = masked(torch.full((3, 1, 8, 8, 8), 2.0), CEVAESettings(patches=4, largest_patch=0.5), draws())
    assert len(changed[changed != 2.0].unique()) > 3


def test_parts_of_a_batch_are_masked_as_the_whole(batch):
    settings, images = CEVAESettings(), batch.images[:4]
    whole = masked(images, settings, draws())
    halves = [masked(images[2 * n : 2 * n + 2], settings, draws(n, 2)) for n in (0, 1)]
    assert torch.equal(torch.cat(halves), whole)


def test_left_out_pixels_do_not_count_in_either_half(network, batch):
    kept = torch.ones(5, 1, 64, 64)
    kept[:, :, 20:50] = 0
    settings = CEVAESettings()
    terms = objective_for(network, settings)(Batch(batch.images, kept), Moment(0, 100, 0.0, draws()))
    random = draws()
    random.normal((5, 4))
    completed = network.decode(network.encode(masked(batch.images, settings, random)).mean)
    expected = ((batch.images - completed).square() * kept).sum() / kept.sum()
    torch.testing.assert_close(terms.parts["mse_context"], expected)


def test_the_masked_copy_trains_the_encoders_mean_but_no_variance(network, batch):
    both = [
        torch.autograd.grad(
            objective_for(network, CEVAESettings(noise="fixed", context_weight=weight))(
                batch, Moment(0, 100, 0.0, draws())
            ).loss,
            network.encoder[-1].bias,
        )[0]
        for weight in (0.0, 1.0)
    ]
    difference = (both[1] - both[0]).abs()
    assert difference[:4].max() > 1e-3
    torch.testing.assert_close(both[1][4:], both[0][4:])


def test_the_recipe_trains_the_network_of_the_paper():
    recipe = load_recipe("cevae")
    assert (recipe.network.family, recipe.objective.kind) == ("cevae", "cevae")
    with pytest.raises(UserError, match="smallest_patch is above largest_patch"):
        load_recipe("cevae", ["smallest_patch=0.5"])


def test_codes_have_no_place_in_it():
    with pytest.raises(UserError, match="Gaussian latents"):
        objective_for(build("brain_vqvae", {"size": 64}), CEVAESettings())
