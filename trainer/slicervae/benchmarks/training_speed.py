"""How fast the training loop is beside a bare PyTorch loop over the same network."""

import statistics
import time
from pathlib import Path

import torch

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.progress import Cancel, Listener, Meter, ignore

from ..data.batch import ImagesInMemory, ImageSource
from ..objectives import objective_for
from ..objectives.vae import VAESettings
from ..recipe import TrainingSettings
from ..training.loop import Training
from ..training.place import launched
from ..training.run_folder import RunFolder
from .figure import Figure

SIZE, BATCH, STEPS = 128, 32, 12
LEARNING_RATE = 1e-3


def measure(images: ImageSource, runs: int, folder: Path, listener: Listener) -> list[Figure]:
    """Train ``vae50`` at 128² in batches of 32 images (1, 128, 128), in turn with a bare loop over the same network.

    ``folder`` takes the checkpoints.
    """
    meter = Meter(listener, "measuring training", 2 * (runs + 1))
    ratios, seconds = [], []
    for run in range(runs + 1):
        bare = _bare(images)
        meter.advance(1)
        ours = _ours(images, folder)
        meter.advance(1)
        if run > 0:  # the first calls allocate
            ratios.append(ours / bare)
            seconds.append(ours / STEPS)
    what = f"vae50 at {SIZE}², batches of {BATCH}"
    return [
        Figure(f"a training step of {what}, to a bare PyTorch loop", statistics.median(ratios), "×", 1.05),
        Figure(f"a training step of {what}", statistics.median(seconds), "s"),
    ]


def _network() -> Network:
    torch.manual_seed(0)
    return build("table52_vae", {"size": SIZE})


def _bare(images: ImageSource) -> float:
    """Seconds of ``STEPS`` steps as anybody would write them, the images in memory."""
    network = _network().train()
    optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    batches = [images.batch(torch.arange(n * BATCH, (n + 1) * BATCH) % len(images)).images for n in range(STEPS)]
    began = time.perf_counter()
    for batch in batches:
        posterior = network.encode(batch)
        mean, log_variance = posterior.mean, posterior.log_variance  # type: ignore[attr-defined]
        reconstructions = network.decode(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
        mse = (batch - reconstructions).square().mean()
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1).mean()
        loss = 0.5 * SIZE**2 * (mse / mse.detach() + torch.log(mse.detach())) + kl
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return time.perf_counter() - began


def _ours(images: ImageSource, folder: Path) -> float:
    """Seconds of ``STEPS`` steps of a run, from batches to the optimiser."""
    settings = TrainingSettings(epochs=1, batch_size=BATCH, learning_rate=LEARNING_RATE)
    objective = objective_for(_network(), VAESettings())
    training = Training(objective, settings, fabric=launched(Hardware("cpu")), seed=0, save=RunFolder(folder).save)
    first = ImagesInMemory(images.batch(torch.arange(STEPS * BATCH) % len(images)).images)
    training.run(first, ImagesInMemory(torch.empty(0)), None, ignore, Cancel())
    return training.stopwatch.seconds["data"] + training.stopwatch.seconds["compute"]
