"""CT and structures: every term against an independent computation, and that a small structure is learned."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import Moment, objective_for
from slicervae.objectives.structures import StructuresObjective, StructuresSettings, cross_entropy, soft_dice
from slicervae.objectives.vae import VAESettings
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build

LOSSES = ("dice-and-log-weighted", "weighted-cross-entropy", "cross-entropy")
LATENT = 4


def moment(step=0, seed=0):
    return Moment(step, 100, 0.0, Draws(torch.Generator().manual_seed(seed)))


def phantom_batch(count=4, small=2):
    """Two discs that move, bright and half bright, on dark; the smaller has ``small`` pixels' radius."""
    generator = torch.Generator().manual_seed(1)
    rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    images = torch.zeros(count, 1 + 3, 64, 64)
    for image, (y, x) in zip(images, (8 * torch.rand(count, 2, generator=generator)).tolist(), strict=True):
        large = (rows - 24 - y).square() + (columns - 28 - x).square() < 14**2
        little = (rows - 44 - y).square() + (columns - 28 - x).square() < small**2
        image[1], image[2] = large & ~little, little
        image[3] = 1 - image[1] - image[2]
        image[0] = (0.5 * image[1] + 0.9 * image[2] + 0.02 * torch.randn(64, 64, generator=generator)).clamp(0, 1)
    return Batch(images)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build("conv_pool_structures", {"size": 64, "structures": 2, "filters": 4, "latent": LATENT}).eval()


@pytest.fixture(scope="module")
def batch():
    return phantom_batch()


def structures_of(network, batch):
    """What the objective decodes of the batch at ``moment()``: posterior, images and logits."""
    posterior = network.encode(batch.images)
    epsilon = torch.randn(len(batch), LATENT, generator=torch.Generator().manual_seed(0))
    latents = posterior.mean + torch.exp(posterior.log_variance / 2) * epsilon
    return posterior, *network.decode_apart(latents)


def dice_by_hand(target, probabilities):
    """(2 Σ p q + 1) / (Σ p + Σ q + 1) of each image, mean over classes, in numpy."""
    scores = []
    for q, p in zip(target.numpy(), probabilities.detach().numpy(), strict=True):
        each = [(2 * (q[r] * p[r]).sum() + 1) / (q[r].sum() + p[r].sum() + 1) for r in range(len(q))]
        scores.append(np.mean(each))
    return torch.tensor(np.array(scores))


def test_cross_entropy_is_torchs_for_the_target_first(batch):
    logits = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    target, weights = batch.images[:, 1:], torch.tensor([0.5, 9.0, 1.5])
    ours = cross_entropy(target, logits, weights, torch.ones(4, 1, 64, 64))
    classes = target.argmax(dim=1)
    theirs = functional.cross_entropy(logits, classes, weight=weights, reduction="none").flatten(1).sum(dim=1)
    torch.testing.assert_close(ours, theirs)


def test_dice_is_the_hand_written_one_and_perfect_for_the_truth(batch):
    target = batch.images[:, 1:]
    probabilities = torch.softmax(torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(3)), dim=1)
    everywhere = torch.ones(4, 1, 64, 64)
    expected = dice_by_hand(target, probabilities)
    torch.testing.assert_close(soft_dice(target, probabilities, everywhere).double(), expected.double())
    torch.testing.assert_close(soft_dice(target, target, everywhere), torch.ones(4))
    without = target.clone()
    without[:, 2] += without[:, 1]
    without[:, 1] = 0
    torch.testing.assert_close(soft_dice(without, without, everywhere), torch.ones(4))


@pytest.mark.parametrize("loss", LOSSES)
def test_the_loss_is_the_sum_of_its_terms(network, batch, loss):
    settings = StructuresSettings(structure_loss=loss, structure_weight=0.7, beta=3.0)
    objective = StructuresObjective(network, settings)
    objective(batch, moment())
    objective.after_step(moment())
    terms = objective(batch, moment())
    posterior, images, logits = structures_of(network, batch)
    target = batch.images[:, 1:]
    classes = target.argmax(dim=1)
    shares = [float((classes == r).float().mean()) for r in range(3)]
    weights = {
        "cross-entropy": [1.0, 1.0, 1.0],
        "weighted-cross-entropy": [1 / (3 * share) for share in shares],
        "dice-and-log-weighted": [1 - math.log(share) for share in shares],
    }[loss]
    entropy = functional.cross_entropy(logits, classes, weight=torch.tensor(weights), reduction="none")
    structures = entropy.flatten(1).sum(dim=1)
    if loss == "dice-and-log-weighted":
        structures = structures + 64**2 * (1 - dice_by_hand(target, torch.softmax(logits, dim=1)))
    mse = (batch.images[:, :1] - images).square().mean()
    likelihood = Normal(images, mse.sqrt()).log_prob(batch.images[:, :1]).flatten(1).sum(dim=1).mean()
    kl = kl_divergence(Normal(posterior.mean, torch.exp(posterior.log_variance / 2)), Normal(0.0, 1.0)).sum(dim=1)
    expected = -likelihood + 3.0 * kl.mean() + 0.7 * structures.mean().float()
    torch.testing.assert_close(terms.loss, expected, rtol=1e-5, atol=1e-1)
    torch.testing.assert_close(terms.parts["mse"], mse)
    torch.testing.assert_close(terms.parts["structures"], structures.mean().float(), rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_gradient_is_that_of_finite_differences(batch, loss):
    torch.manual_seed(3)
    network = build("conv_pool_structures", {"size": 64, "structures": 2, "filters": 4, "latent": LATENT})
    objective = StructuresObjective(network, StructuresSettings(structure_loss=loss))
    bias = network.decoder.structures[-1].bias
    objective(batch, moment()).loss.backward()
    analytic, step = float(bias.grad[1]), 1e-2
    with torch.no_grad():
        bias[1] += step
        above = float(objective(batch, moment()).loss)
        bias[1] -= 2 * step
        below = float(objective(batch, moment()).loss)
    assert (above - below) / (2 * step) == pytest.approx(analytic, rel=1e-2)


@pytest.mark.parametrize(("loss", "weight"), zip(LOSSES, (1 + math.log(3), 1.0, 1.0), strict=True))
def test_in_the_first_step_all_classes_weigh_the_same(network, loss, weight):
    objective = StructuresObjective(network, StructuresSettings(structure_loss=loss))
    torch.testing.assert_close(objective._weights(64**2), torch.full((3,), weight))


def test_a_step_that_counts_no_pixel_teaches_nothing(network, batch):
    objective = StructuresObjective(network, StructuresSettings())
    for kept in (None, torch.zeros(4, 1, 64, 64)):
        objective(Batch(batch.images, kept), moment())
        objective.after_step(moment())
    torch.testing.assert_close(objective.shares, batch.images[:, 1:].mean(dim=(0, 2, 3)))


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_is_infinite_where_the_network_is_sure_and_wrong(network, loss):
    images = torch.zeros(2, 4, 64, 64)
    images[:, 3] = 1  # neither structure is anywhere
    objective = StructuresObjective(network, StructuresSettings(structure_loss=loss))
    logits = torch.full((2, 3, 64, 64), -500.0)
    logits[:, 0] = 500.0  # p of the true class is 0 in single precision
    logits.requires_grad_()
    objective.shares.copy_(torch.tensor([0.0, 0.0, 1.0]))
    value, dice = objective._structure_loss(Batch(images), logits)
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(dice).all()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[:, 2] < 0).all()  # and it still knows the way back


def test_weights_stay_bounded_whatever_the_shares(network):
    objective = StructuresObjective(network, StructuresSettings())
    for shares in ([0.0, 0.0, 1.0], [1e-12, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]):
        objective.shares.copy_(torch.tensor(shares))
        weights = objective._weights(64**2)
        assert 1 <= weights.min() <= weights.max() <= 1 + math.log(64**2) + 1e-4


def test_shares_follow_the_training_batches_and_are_kept(network, batch):
    objective = StructuresObjective(network, StructuresSettings())
    first, second = phantom_batch(2), phantom_batch(2, small=5)
    of = [part.images[:, 1:].mean(dim=(0, 2, 3)) for part in (first, second)]
    objective(first, moment())
    objective.after_step(moment())
    torch.testing.assert_close(objective.shares, of[0])
    objective(second, moment())
    torch.testing.assert_close(objective.shares, of[0])  # a step's weights are those from before it
    objective.after_step(moment())
    torch.testing.assert_close(objective.shares, 0.99 * of[0] + 0.01 * of[1])
    before = objective.shares.clone()
    objective.measure(batch)
    assert torch.equal(objective.shares, before)
    assert torch.equal(objective.state_dict()["shares"], before)


def test_left_out_pixels_do_not_count(network, batch):
    kept = torch.ones(4, 1, 64, 64)
    kept[:, :, 30:, 20:50] = 0
    objective = StructuresObjective(network, StructuresSettings())
    objective.shares.copy_(torch.tensor([0.3, 0.01, 0.69]))
    logits = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    changed = batch.images.clone()
    changed[:, 1:][kept.expand(-1, 3, -1, -1) == 0] = 1 / 3
    values = [objective._structure_loss(Batch(images, kept), logits) for images in (batch.images, changed)]
    torch.testing.assert_close(values[0], values[1])
    assert not torch.allclose(values[0][0], objective._structure_loss(batch, logits)[0])


def test_the_validation_loss_is_the_loss_at_the_posterior_mean(network, batch):
    settings = StructuresSettings(noise="fixed", noise_variance=0.02, beta=2.0, structure_weight=0.5)
    objective = StructuresObjective(network, settings)
    objective.shares.copy_(torch.tensor([0.3, 0.01, 0.69]))
    means = {name: values.mean().item() for name, values in objective.measure(batch).items()}
    posterior = network.encode(batch.images)
    images, logits = network.decode_apart(posterior.mean)
    likelihood = Normal(images, 0.02**0.5).log_prob(batch.images[:, :1]).flatten(1).sum(dim=1).mean()
    structures = objective._structure_loss(batch, logits)[0].mean()
    expected = -likelihood + 2.0 * posterior.kl().mean() + 0.5 * structures
    assert objective.judge(means) == pytest.approx(expected.item(), rel=1e-4)


def test_a_network_without_structures_is_refused():
    network = build("conv_pool_vae", {"size": 16, "filters": 2})
    with pytest.raises(UserError, match="needs a network of images and structures"):
        objective_for(network, StructuresSettings(), "The recipe")
    assert objective_for(network, VAESettings(), "The recipe").network is network


def test_a_structure_of_a_few_pixels_is_learned():
    """In the plain cross-entropy these twelve of 4,096 pixels weigh next to nothing."""
    torch.manual_seed(0)
    network = build("conv_pool_structures", {"size": 64, "structures": 2, "filters": 8, "latent": LATENT})
    objective = StructuresObjective(network, StructuresSettings(structure_weight=4.0))
    optimizer = torch.optim.Adam(network.parameters(), lr=4e-3)
    batch = phantom_batch(2)
    for step in range(300):
        optimizer.zero_grad()
        terms = objective(batch, moment(step, seed=step))
        assert torch.isfinite(terms.loss)
        terms.loss.backward()
        optimizer.step()
        objective.after_step(moment(step))
    network.eval()
    with torch.inference_mode():
        found = network.reconstruct(batch.images)[:, 1:].argmax(dim=1)
    for number, least in ((0, 0.9), (1, 0.6)):
        truth, mask = batch.images[:, 1 + number] > 0, found == number
        assert 2 * (truth & mask).sum() / (truth.sum() + mask.sum()) >= least
