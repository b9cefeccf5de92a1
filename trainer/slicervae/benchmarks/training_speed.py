"""What a training step costs beside a bare PyTorch loop, and what share of a run's time is computing."""

import dataclasses
import math
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch

from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.progress import Cancel, Listener, Meter, ignore

from ..data.batch import ImagesInMemory, ImageSource
from ..objectives import objective_for
from ..recipe import Recipe
from ..training.loop import Training, images_per_step
from ..training.place import launched
from ..training.run_folder import RunFolder
from ..training.run_log import RunLog
from .figure import Figure

LEAST_S = 30.0  # of a run, or the checkpoint at its end would weigh more than in any real training


def measure(
    recipe: Recipe,
    images: ImageSource,
    runs: int,
    folder: Path,
    listener: Listener,
    cancel: Cancel,
    least_s: float = LEAST_S,
) -> list[Figure]:
    """Train a VAE's ``recipe`` on ``images`` ``runs`` times, each after a bare loop over the same network; medians.

    Our runs read ``images`` (N, C, H, W) as a run does, from the mapped files of the cache where they come from there,
    log and save, for as many epochs as take ``least_s`` seconds; the bare loop takes one epoch, its images in memory.
    There are no validation images: validation is neither computing for the optimiser nor data nor logging. Runs lie
    below ``folder`` while they last. Raises UserError and Cancelled.
    """
    meter = Meter(listener, "measuring training", 2 * (runs + 1))
    epochs = 1
    ratios, shares, steps_s = [], [], []
    for run in range(runs + 1):
        bare_s = _bare(recipe, images, cancel)
        meter.advance(1)
        if run == 0:
            epochs = max(1, math.ceil(least_s / (bare_s * _steps_of_epoch(recipe, images))))
        step_s, share = _ours(recipe, epochs, images, folder, cancel)
        meter.advance(1)
        if run > 0:  # the first calls allocate
            ratios.append(step_s / bare_s)
            shares.append(share)
            steps_s.append(step_s)
    side, batch = recipe.network.settings["size"], recipe.training.batch_size
    what = f"{recipe.name} at {side}², batches of {batch}, on the CPU"
    step = "a training step with the wait for its data"
    return [
        Figure(
            f"forward, backward and optimiser, of the time of these, data, logging and saving, without validation: "
            f"{what}",
            100 * statistics.median(shares),
            "%",
            90,
            "at least",
        ),
        Figure(
            f"{step}, to a bare PyTorch loop with its images in memory: {what}", statistics.median(ratios), "×", 1.05
        ),
        Figure(f"{step}: {what}", statistics.median(steps_s), "s"),
    ]


def computing_share(seconds: Mapping[str, float]) -> float:
    """Forward, backward and optimiser as a share of a run's time, from the seconds of a stopwatch.

    Validation is left out of both: it is neither data nor logging, and how much there is of it is the split's choice.
    """
    return seconds["compute"] / (seconds["whole"] - seconds.get("validation", 0.0))


def _network(recipe: Recipe) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build(recipe.network.family, recipe.network.settings)


def _steps_of_epoch(recipe: Recipe, images: ImageSource) -> int:
    return len(images) // images_per_step(recipe.training, len(images))


def _bare(recipe: Recipe, images: ImageSource, cancel: Cancel) -> float:
    """Seconds of a step, as anybody would write it."""
    network = _network(recipe).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.training.learning_rate)
    size, steps = images_per_step(recipe.training, len(images)), _steps_of_epoch(recipe, images)
    batches = [images.batch(torch.arange(n * size, (n + 1) * size)).images for n in range(steps)]
    began = time.perf_counter()
    for batch in batches:
        cancel.check()
        loss = negative_evidence_lower_bound(network, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()
    return (time.perf_counter() - began) / steps


def negative_evidence_lower_bound(network: Network, images: torch.Tensor) -> torch.Tensor:
    """−ELBO of images (N, C, H, W) with the optimal noise variance, as a mean over them, written down plainly."""
    posterior = network.encode(images)
    assert isinstance(posterior, DiagonalGaussian)
    mean, log_variance = posterior.mean, posterior.log_variance
    reconstructions = network.decode(mean + torch.exp(log_variance / 2) * torch.randn_like(mean))
    mse = (images - reconstructions).square().mean()
    variance = mse.detach()
    likelihood = images[0].numel() / 2 * (mse / variance + torch.log(2 * math.pi * variance))
    kl = 0.5 * (log_variance.exp() + mean.square() - 1 - log_variance).sum(dim=1).mean()
    return likelihood + kl


def _ours(recipe: Recipe, epochs: int, images: ImageSource, folder: Path, cancel: Cancel) -> tuple[float, float]:
    """Seconds of a step, whatever is neither logging nor saving counted, and the share of computing."""
    nobody = ImagesInMemory(torch.empty(0))
    with tempfile.TemporaryDirectory(dir=folder, prefix=".speed-") as place:
        log = RunLog(Path(place, "tensorboard"), 0)
        training = Training(
            objective_for(_network(recipe), recipe.objective),
            dataclasses.replace(recipe.training, epochs=epochs),
            fabric=launched(Hardware("cpu")),
            seed=0,
            save=RunFolder(Path(place)).save,
            log=log,
        )
        try:
            state = training.run(images, nobody, None, ignore, cancel)
        finally:
            log.close()
    seconds = training.stopwatch.seconds
    other = sum(seconds.get(part, 0.0) for part in ("validation", "logging", "saving"))
    return (seconds["whole"] - other) / state.step, computing_share(seconds)
