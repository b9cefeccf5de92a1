"""The training loop: one for every recipe, the same on a CPU and a GPU."""

import math
import time
from collections.abc import Callable

import lightning_fabric
import torch
from torch import nn

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Listener, Progress

from ..objectives import Terms, VAEObjective
from ..recipe import TrainingSettings
from .run_folder import TrainingState

WARM_UP_STEPS = 50
SAVE_EVERY_S = 300.0
VALIDATION_BATCH = 32
TERM_NAMES = ("loss", "reconstruction", "kl", "mse")


class Training:
    """Trains one objective on slices (N, C, H, W) in memory.

    ``save`` is called with the state after every epoch, every five minutes, and when ``cancel`` was requested. The
    order of slices depends on the seed and the epoch, the noise on the seed and the step, so that a run that was
    stopped anywhere and goes on equals one that never stopped.
    """

    def __init__(
        self,
        objective: VAEObjective,
        settings: TrainingSettings,
        *,
        fabric: lightning_fabric.Fabric,
        seed: int,
        save: Callable[[TrainingState], None],
    ) -> None:
        self._settings, self._fabric, self._seed, self._save = settings, fabric, seed, save
        optimizer = torch.optim.Adam(objective.parameters(), lr=settings.learning_rate)
        self._plain = objective
        self._objective, self._optimizer = fabric.setup(objective, optimizer)
        self._saved_at = time.monotonic()

    def run(
        self,
        training: torch.Tensor,
        validation: torch.Tensor,
        state: TrainingState | None,
        listener: Listener,
        cancel: Cancel,
    ) -> TrainingState:
        """Train to the end, or to a saved state when cancelled (then raises Cancelled). Returns the last state.

        Without validation slices the training loss chooses the best weights. Raises UserError when the loss is no
        longer a number; the last checkpoint stays.
        """
        state = self._restored(state)
        batch = min(self._settings.batch_size, len(training))
        per_epoch = len(training) // batch
        total = per_epoch * self._settings.epochs
        began, first = time.monotonic(), state.step
        while state.step < total:
            epoch, position = divmod(state.step, per_epoch)
            order = torch.randperm(len(training), generator=self._generator("order", epoch))
            self._objective.train()
            for index in range(position, per_epoch):
                if cancel.requested:
                    self._keep(state)
                    cancel.check()
                picked = training[order[index * batch : (index + 1) * batch]]
                terms = self._step(picked, state.step, total)
                values = _checked(terms, state.step)
                for name, value in values.items():
                    state.sums[name] = state.sums.get(name, 0.0) + value
                state.step += 1
                if time.monotonic() - self._saved_at > SAVE_EVERY_S:
                    self._keep(state)
                left = (time.monotonic() - began) / (state.step - first) * (total - state.step)
                stage = f"epoch {epoch + 1} of {self._settings.epochs}, mean squared error {values['mse']:.5f}"
                listener(Progress(state.step / total, stage, left))
            self._close_epoch(state, epoch, per_epoch, validation)
            self._keep(state)
        state.finished = True
        self._keep(state)
        return state

    def _restored(self, state: TrainingState | None) -> TrainingState:
        if state is None:
            return TrainingState(self._plain.network.state_dict(), self._optimizer.state_dict())
        self._plain.network.load_state_dict(state.network)
        self._optimizer.load_state_dict(state.optimizer)
        return state

    def _step(self, images: torch.Tensor, step: int, total: int) -> Terms:
        for group in self._optimizer.param_groups:
            group["lr"] = self._settings.learning_rate * _schedule(self._settings.schedule, step, total)
        terms: Terms = self._objective(self._fabric.to_device(images), self._generator("noise", step))
        self._optimizer.zero_grad()
        self._fabric.backward(terms.loss)
        self._optimizer.step()
        return terms

    def _close_epoch(self, state: TrainingState, epoch: int, steps: int, validation: torch.Tensor) -> None:
        means = {name: value / steps for name, value in state.sums.items()}
        row = {"epoch": float(epoch + 1), "step": float(state.step)}
        row |= {f"train_{name}": value for name, value in means.items()}
        judged = self._validate(validation) if len(validation) else means
        row |= {f"validation_{name}": judged[name] if len(validation) else math.nan for name in means}
        state.rows.append(row)
        state.sums = {}
        if judged["loss"] < state.best_loss:
            state.best_loss, state.best_noise_variance = judged["loss"], judged["mse"]
            state.best_network = {k: v.detach().cpu().clone() for k, v in self._plain.network.state_dict().items()}

    def _validate(self, images: torch.Tensor) -> dict[str, float]:
        """Terms over all validation slices at once, at the posterior mean."""
        self._objective.eval()
        network = self._plain.network
        reconstructions, divergences = [], []
        with torch.inference_mode():
            for start in range(0, len(images), VALIDATION_BATCH):
                posterior = network.encode(self._fabric.to_device(images[start : start + VALIDATION_BATCH]))
                reconstructions.append(network.decode(posterior.mean).cpu())
                divergences.append(posterior.kl().cpu())
            terms = self._plain.terms(images, torch.cat(reconstructions), torch.cat(divergences))
        return {name: float(getattr(terms, name)) for name in TERM_NAMES}

    def _keep(self, state: TrainingState) -> None:
        network: nn.Module = self._plain.network
        state.network = {name: value.detach().cpu() for name, value in network.state_dict().items()}
        state.optimizer = self._optimizer.state_dict()
        self._save(state)
        self._saved_at = time.monotonic()

    def _generator(self, purpose: str, number: int) -> torch.Generator:
        # A seed of its own for every purpose and step; the odd constant keeps neighbouring seeds apart.
        salt = {"order": 1, "noise": 2}[purpose]
        return torch.Generator().manual_seed(((self._seed * 0x9E3779B1 + number) * 4 + salt) % (2**63))


def _checked(terms: Terms, step: int) -> dict[str, float]:
    values = {name: float(getattr(terms, name).detach()) for name in TERM_NAMES}
    for name in ("reconstruction", "kl", "loss"):
        if not math.isfinite(values[name]):
            raise UserError(
                f"Training stopped at step {step + 1}: the {name} term is no longer a number. The last checkpoint is "
                "kept; train anew with a smaller learning_rate."
            )
    return values


def _schedule(kind: str, step: int, total: int) -> float:
    """Factor of the learning rate: a short linear warm-up, then constant or a half cosine down to a hundredth."""
    warm_up = min(WARM_UP_STEPS, max(1, total // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    if kind == "constant":
        return 1.0
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, total - warm_up)))
