"""The network of the sources' experiment: trained on one slice of each patient."""

import torch

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.progress import Cancel, Listener

from ..data.batch import ImagesInMemory
from ..objectives import objective_for
from ..recipe import load_recipe
from ..training.loop import Training
from ..training.place import launched
from ..training.run_folder import TrainingState

RECIPE = "vae50"
SEED = 0


def trained_on(images: torch.Tensor, epochs: int, listener: Listener, cancel: Cancel) -> Network:
    """``vae50`` after so many epochs on images (N, 1, H, H), on the CPU. Raises UserError and Cancelled."""
    changes = [f"network.settings.size={images.shape[-1]}", f"training.epochs={epochs}"]
    changes += [f"training.batch_size={min(10, len(images))}", "training.learning_rate=0.003"]
    recipe = load_recipe(RECIPE, changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = build(recipe.network.family, recipe.network.settings)
    objective = objective_for(network, recipe.objective)
    loop = Training(objective, recipe.training, fabric=launched(Hardware(device="cpu")), seed=SEED, save=_forget)
    state = loop.run(ImagesInMemory(images), ImagesInMemory(images[:0]), None, listener, cancel)
    network.load_state_dict(state.best_network)
    return network.eval().requires_grad_(False)


def _forget(state: TrainingState) -> None:
    """Keep no checkpoint: the training takes minutes."""
