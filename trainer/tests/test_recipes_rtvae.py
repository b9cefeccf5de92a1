"""The recipes of source 002: what they build, and that cubes are learned like slices."""

import pytest
import torch

from slicervae.data.batch import Batch
from slicervae.draws import Draws, generator_of
from slicervae.objectives import Moment, objective_for
from slicervae.recipe import load_recipe
from SlicerVAELib.core.networks import build


def objective_of(name, *changes):
    recipe = load_recipe(name, changes)
    torch.manual_seed(0)
    return objective_for(build(recipe.network.family, recipe.network.settings), recipe.objective)


@pytest.mark.parametrize(
    ("name", "shape", "structure_channels", "keep"),
    [
        ("rtvae2d", (1, 128, 128), 0, 0.7),
        ("rtvae3d", (1, 128, 128, 128), 0, 1.0),
        ("rtvae_structures", (1 + 4 + 1, 256, 256), 5, 1.0),
    ],
)
def test_builds_the_network_of_the_source(name, shape, structure_channels, keep):
    network = objective_of(name).network
    assert network.image_shape == shape
    assert network.latent.shape == (12,)
    assert network.structure_channels == structure_channels
    dropped = [layer.p for layer in network.modules() if isinstance(layer, torch.nn.Dropout)]
    assert dropped == pytest.approx([1 - keep] * len(dropped))
    convolutions = [layer for layer in network.encoder if isinstance(layer, torch.nn.Conv2d | torch.nn.Conv3d)]
    assert {layer.out_channels for layer in convolutions} == {24}
    halvings = shape[-1].bit_length() - 4
    assert len(convolutions) == 2 * halvings


def test_the_structures_of_the_data_decide_the_channels():
    network = objective_of("rtvae_structures", "data.structures=[BODY, SpinalCord]").network
    assert (network.channels, network.structure_channels) == (1 + 2 + 1, 3)


@pytest.mark.parametrize("name", ["rtvae2d", "rtvae3d"])
def test_learns_what_it_is_shown(name):
    objective = objective_of(name, "network.settings.size=16", "network.settings.filters=4", "keep=1")
    shape = objective.network.image_shape
    ramps = [torch.arange(16.0).reshape(-1, *[1] * axis).expand(shape) / 15 for axis in range(len(shape) - 1)]
    batch = Batch(torch.stack([*ramps, *(1 - ramp for ramp in ramps)]))
    optimizer = torch.optim.Adam(objective.parameters(), lr=3e-3)
    for step in range(100):
        optimizer.zero_grad()
        terms = objective(batch, Moment(step, 100, 0.0, Draws(generator_of(0, "noise", step))))
        terms.loss.backward()
        optimizer.step()
    objective.eval()
    with torch.inference_mode():
        error = objective.measure(batch)["mse"]
    assert error.max() < 0.1 * batch.images.var()
