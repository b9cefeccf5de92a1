"""A prior over codes, learned from the codes of training slices."""

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch

from SlicerVAELib.core.code_prior import SMALLEST_SIDE, CodePrior, CodePriorSettings, Stage
from SlicerVAELib.core.networks.codebook import CodeNetwork
from SlicerVAELib.core.progress import Cancel, Listener, Meter, part_of

from .code_prior_start import begin

CLIP_NORM = 1.0
JUDGED_AT_ONCE = 16


@dataclasses.dataclass(frozen=True)
class CodePriorTraining:
    """How long and how fast. The finest stage makes ``epochs`` passes, a stage of half its side twice as many at a
    quarter of the cost each, and so on; one ends early when ``patience`` passes brought the validation patients
    nothing. The learning rate falls along a cosine. ``shift`` moves each batch by up to so many codes of the coarsest
    grid in either direction, borders repeated: there are few patients, and where one lies is chance."""

    epochs: int = dataclasses.field(default=20, metadata={"min": 1, "max": 100_000})
    patience: int = dataclasses.field(default=8, metadata={"min": 1, "max": 100_000})
    batch_size: int = dataclasses.field(default=8, metadata={"min": 1, "max": 65_536})
    learning_rate: float = dataclasses.field(default=3e-3, metadata={"min": 1e-9, "max": 1.0})
    shift: int = dataclasses.field(default=1, metadata={"min": 0, "max": 64})


@dataclasses.dataclass(frozen=True)
class FittedCodePrior:
    """A prior, and its mean −ln p in nats per code on training and validation patients."""

    prior: CodePrior
    training: float
    validation: float


def fit_code_prior(
    training: Sequence[torch.Tensor],
    validation: Sequence[torch.Tensor],
    network: CodeNetwork,
    settings: CodePriorSettings,
    plan: CodePriorTraining,
    *,
    seed: int,
    device: torch.device,
    listener: Listener,
    cancel: Cancel,
) -> FittedCodePrior:
    """Learn a prior from the codes (N, H, W) of every level of the training patients.

    The stages share no weights, so each is trained by itself, from the coarsest on, and keeps its best epoch on the
    validation patients. Raises Cancelled.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = CodePrior(network.latent, settings).to(device)
        stages = [stage for stage in prior.stages if isinstance(stage, Stage)]
        epochs = [plan.epochs * _finest_side(prior) // stage.grid[0] for stage in stages]
        work = [passes * stage.places for passes, stage in zip(epochs, stages, strict=True)]
        for index, (stage, passes) in enumerate(zip(stages, epochs, strict=True)):
            begin(stage, network, stages[:index])
            share = part_of(listener, sum(work[:index]) / sum(work), sum(work[: index + 1]) / sum(work))
            _fit_stage(stage, training, validation, dataclasses.replace(plan, epochs=passes), device, share, cancel)
    prior = prior.eval().requires_grad_(False)
    figures = [_nats_per_code(prior, levels, device) for levels in (training, validation)]
    return FittedCodePrior(prior.cpu(), *figures)


def _fit_stage(
    stage: Stage,
    training: Sequence[torch.Tensor],
    validation: Sequence[torch.Tensor],
    plan: CodePriorTraining,
    device: torch.device,
    listener: Listener,
    cancel: Cancel,
) -> None:
    count = len(training[0])
    steps = plan.epochs * math.ceil(count / plan.batch_size)
    optimizer = torch.optim.AdamW(stage.parameters(), plan.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    best, best_epoch, best_weights = math.inf, 0, copy.deepcopy(stage.state_dict())
    rows, columns = stage.grid
    meter = Meter(listener, f"learning the prior over {rows}×{columns} codes", steps)
    for epoch in range(plan.epochs):
        stage.train()
        for chosen in torch.randperm(count).split(plan.batch_size):
            cancel.check()
            levels = _moved([level[chosen].to(device) for level in training], plan.shift)
            loss = stage.nats(levels).sum() / (len(chosen) * stage.places)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(stage.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
            meter.advance(1)
        stage.eval()
        reached = _nats(stage, validation, device)
        if reached < best:
            best, best_epoch, best_weights = reached, epoch, copy.deepcopy(stage.state_dict())
        elif epoch - best_epoch >= plan.patience:
            break
    stage.load_state_dict(best_weights)


def _finest_side(prior: CodePrior) -> int:
    return prior.grids[-1][0]


def _moved(levels: list[torch.Tensor], most: int) -> list[torch.Tensor]:
    """Codes moved together by up to ``most`` places of the coarsest grid, the borders repeated."""
    if most == 0 or levels[0].shape[1] < SMALLEST_SIDE:
        return levels
    down, right = torch.randint(-most, most + 1, (2,)).tolist()
    finer = [level.shape[1] // levels[0].shape[1] for level in levels]
    return [_shifted(level, factor * down, factor * right) for level, factor in zip(levels, finer, strict=True)]


def _shifted(codes: torch.Tensor, down: int, right: int) -> torch.Tensor:
    """Codes (N, H, W) moved, with those of the border where nothing comes in."""
    rows, columns = (torch.arange(side, device=codes.device) for side in codes.shape[1:])
    rows, columns = (rows - down).clamp(0, len(rows) - 1), (columns - right).clamp(0, len(columns) - 1)
    return codes[:, rows][:, :, columns]


@torch.no_grad()
def _nats(stage: Stage, levels: Sequence[torch.Tensor], device: torch.device) -> float:
    """Mean −ln p in nats of the codes that the stage draws."""
    total = sum(float(stage.nats(part).sum()) for part in _parts(levels, device))
    return total / (len(levels[0]) * stage.places)


def _nats_per_code(prior: CodePrior, levels: Sequence[torch.Tensor], device: torch.device) -> float:
    """Mean −ln p in nats per code, over all stages."""
    total = sum(float(prior.surprise(*part).sum()) for part in _parts(levels, device))
    return total / sum(level.numel() for level in levels)


def _parts(levels: Sequence[torch.Tensor], device: torch.device) -> Iterator[list[torch.Tensor]]:
    for part in zip(*(level.split(JUDGED_AT_ONCE) for level in levels), strict=True):
        yield [level.to(device) for level in part]
