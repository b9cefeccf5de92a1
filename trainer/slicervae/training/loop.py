"""The training loop: one for every recipe, the same on a CPU, a GPU and several of either."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import lightning_fabric
import torch

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, Listener, Progress

from ..data.batch import Batch, ImagesInMemory, ImageSource, Joined
from ..draws import Draws, generator_of
from ..objectives import Moment, Objective, Terms
from ..processes import copied_from_first, process_count, process_rank, summed
from ..recipe import TrainingSettings
from .prefetch import prefetched
from .prior_images import draw_prior_images
from .run_folder import TrainingState
from .run_log import RunLog
from .stopwatch import Stopwatch

WARM_UP_STEPS = 50
SAVE_EVERY_S = 300.0
SAVING_SHARE = 0.03  # of the time, at most, where epochs are short: a large network takes seconds to write
VALIDATION_BATCH = 32
SAMPLE = 128  # of the training images, for their mean

Augment = Callable[[Batch, Draws], Batch]


class Training:
    """Trains one objective on images that come from an ``ImageSource``.

    ``save`` is called in the first process with the state after an epoch, every five minutes, when ``cancel`` was
    requested, and at the end; epochs that are short beside the saving are passed over. The order of images depends on
    the seed and the epoch, their noise and augmentation on the seed and the step, so that a run that was stopped
    anywhere and goes on equals one that never stopped. A network that ``has_learned`` keeps its weights; another one
    begins at the images' mean brightness.
    """

    def __init__(
        self,
        objective: Objective,
        settings: TrainingSettings,
        *,
        fabric: lightning_fabric.Fabric,
        seed: int,
        save: Callable[[TrainingState], None],
        augment: Augment | None = None,
        log: RunLog | None = None,
        has_learned: bool = False,
    ) -> None:
        self._settings, self._fabric, self._seed, self._save = settings, fabric, seed, save
        self._augment, self._log, self._has_learned = augment, log, has_learned
        self._plain = objective
        optimizers = [
            torch.optim.Adam(objective.parameters_of(phase), lr=settings.learning_rate) for phase in objective.phases
        ]
        self._objective, *placed = fabric.setup(objective, *optimizers)
        self._optimizers = dict(zip(objective.phases, placed, strict=True))
        self._saved_at, self._saving_s = time.monotonic(), 0.0
        self.stopwatch = Stopwatch()

    def run(
        self,
        training: ImageSource,
        validation: ImageSource,
        state: TrainingState | None,
        listener: Listener,
        cancel: Cancel,
    ) -> TrainingState:
        """Train to the end, or to a saved state when cancelled (then raises Cancelled). Returns the last state.

        Without validation images the last weights are the best ones: losses of a warm-up can't be compared with those
        after it. Raises UserError when the loss or a weight is no longer a number; the last checkpoint stays.
        """
        if state is None and not self._has_learned:
            self._begin(training)
        state = self._restored(state)
        self.stopwatch = Stopwatch(state.seconds)
        batch = images_per_step(self._settings, len(training))
        devices = [self._fabric.device.index or 0] if self._fabric.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            while not state.finished:
                images = self._with_prior_images(training, state)
                self._run_epoch(images, batch, state, listener, cancel)
                with self.stopwatch.part("validation"):
                    self._close_epoch(state, validation)
                state.finished = state.epoch >= self._settings.epochs or self._has_stalled(state)
                if state.finished or self._is_worth_saving():
                    self._keep(state)
                if self._log is not None:
                    with self.stopwatch.part("logging"):
                        shown = validation if len(validation) else training
                        self._log.write(state.rows[-1], self._settings.epochs, self._plain.network, shown)
        self.stopwatch.lap("whole")
        return state

    def _begin(self, training: ImageSource) -> None:
        some = torch.linspace(0, len(training) - 1, min(len(training), SAMPLE)).long()
        values = training.batch(some).images.transpose(0, 1).flatten(1)
        self._plain.network.begin_at(values.mean(dim=1).to(self._fabric.device))

    def _run_epoch(
        self, images: ImageSource, batch: int, state: TrainingState, listener: Listener, cancel: Cancel
    ) -> None:
        per_epoch = len(images) // batch
        state.steps_in_epoch = per_epoch
        total = per_epoch * self._settings.epochs
        order = torch.randperm(len(images), generator=generator_of(self._seed, "order", state.epoch))
        wanted = [order[index * batch : (index + 1) * batch] for index in range(state.position, per_epoch)]
        self._objective.train()
        began, first = time.monotonic(), state.position
        loaded = prefetched(images, [self._parts_of(indices) for indices in wanted])
        for parts in self.stopwatch.timed("data", loaded):
            if self._everyone(cancel.requested):
                self._keep(state)
                cancel.check()
                raise UserError("Another process of this run was cancelled.")
            with self.stopwatch.part("compute"):
                values = self._step(parts, state, per_epoch, total)
            for name, value in values.items():
                state.sums[name] = state.sums.get(name, 0.0) + value
            state.position += 1
            state.step += 1
            if time.monotonic() - self._saved_at > SAVE_EVERY_S:
                self._keep(state)
            done = state.epoch + state.position / per_epoch
            pace = (time.monotonic() - began) / (state.position - first)
            left = pace * per_epoch * (self._settings.epochs - done)
            stage = f"epoch {state.epoch + 1} of {self._settings.epochs}, mean squared error {values['mse']:.5f}"
            listener(Progress(min(1.0, done / self._settings.epochs), stage, left))

    def _parts_of(self, indices: torch.Tensor) -> list[torch.Tensor]:
        """This process's parts of a batch."""
        parts = indices.chunk(process_count() * self._settings.accumulate)
        first = process_rank() * self._settings.accumulate
        return list(parts[first : first + self._settings.accumulate])

    def _step(self, parts: list[Batch], state: TrainingState, per_epoch: int, total: int) -> dict[str, float]:
        """One step of every optimiser; returns the terms' means over the whole batch."""
        epoch = state.epoch + state.position / per_epoch
        rate = self._settings.learning_rate * _schedule(self._settings.schedule, state.step, total)
        batches = [self._augmented(self._fabric.to_device(part), state.step, n) for n, part in enumerate(parts)]
        sums: dict[str, torch.Tensor] = {}
        for number, (phase, together) in enumerate(self._plain.passes(epoch).items()):
            optimizers = [self._optimizers[name] for name in together]
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate
                optimizer.zero_grad()
            for n, batch in enumerate(batches):
                pass_number = state.step * len(self._optimizers) + number
                draws = self._draws("noise", pass_number, n)
                # Dropout draws from torch's own generator, which no checkpoint holds.
                torch.manual_seed(self._draws("dropout", pass_number, n).own_seed())
                moment = Moment(state.step, total, epoch, draws)
                is_last = n + 1 == len(batches)
                with self._fabric.no_backward_sync(self._objective, enabled=not is_last):
                    terms: Terms = self._objective(batch, moment, phase)
                    self._fabric.backward(terms.loss / len(batches))
                for name, value in {"loss": terms.loss, **terms.parts}.items():
                    key = _phased(name, phase, number)
                    sums[key] = sums.get(key, torch.zeros((), device=value.device)) + value.detach() / len(batches)
            if self._settings.clip_norm:
                for optimizer in optimizers:
                    self._fabric.clip_gradients(
                        self._objective, optimizer, max_norm=self._settings.clip_norm, error_if_nonfinite=False
                    )
            for optimizer in optimizers:
                optimizer.step()
            self._plain.after_step(moment)
        # In the order of the phases: what one of them has spoiled, the next ones only show.
        values = summed(torch.stack([value.float() for value in sums.values()])) / process_count()
        result = dict(zip(sums, values.tolist(), strict=True))
        _check(result, state.step)
        self._average(state)
        return result

    def _draws(self, purpose: Any, number: int, part: int) -> Draws:
        generator = generator_of(self._seed, purpose, number)
        accumulate = self._settings.accumulate
        return Draws(generator, process_rank() * accumulate + part, process_count() * accumulate)

    def _augmented(self, batch: Batch, step: int, part: int) -> Batch:
        return batch if self._augment is None else self._augment(batch, self._draws("augmentation", step, part))

    def _with_prior_images(self, training: ImageSource, state: TrainingState) -> ImageSource:
        if not self._settings.augment_by_prior:
            return training
        if state.position == 0 and state.epoch > 0 and state.epoch % self._settings.augment_by_prior_epochs == 0:
            generator = generator_of(self._seed, "prior", state.epoch)
            state.prior_images = draw_prior_images(
                self._plain.network, training, self._settings.augment_by_prior, generator, self._fabric.device
            )
        return training if state.prior_images is None else Joined(training, ImagesInMemory(state.prior_images))

    def _close_epoch(self, state: TrainingState, validation: ImageSource) -> None:
        row = {"epoch": float(state.epoch + 1), "step": float(state.step)}
        row |= {f"train_{name}": value / state.steps_in_epoch for name, value in state.sums.items()}
        self._check_weights(state)
        if len(validation):
            with self._averaged_weights(state):
                measured = self._validate(validation)
            row |= {f"validation_{name}": value for name, value in measured.items()}
        bad = [name for name, value in row.items() if not math.isfinite(value)]
        if bad:
            raise _no_number(state.step, bad[0])
        state.rows.append(row)
        state.epoch, state.position, state.sums = state.epoch + 1, 0, {}
        judged = row.get("validation_loss", -float(state.epoch))
        if judged < state.best_loss:
            state.best_loss, state.best_epoch = judged, state.epoch
            state.best_noise_variance = row.get("validation_mse", row["train_mse"])
            best = state.average or self._plain.network.state_dict()
            state.best_network = {name: value.detach().cpu().clone() for name, value in best.items()}

    def _validate(self, images: ImageSource) -> dict[str, float]:
        """The objective's measures, averaged over all validation images and processes, and its loss."""
        for buffer in self._plain.buffers():  # each process has seen its own part of the last batch
            copied_from_first(buffer)
        self._objective.eval()
        sums: dict[str, torch.Tensor] = {}
        own = torch.arange(process_rank(), len(images), process_count())
        with torch.inference_mode(), self._fabric.autocast():
            for indices in own.split(VALIDATION_BATCH):
                batch = self._fabric.to_device(images.batch(indices))
                for name, values in self._plain.measure(batch).items():
                    sums[name] = sums.get(name, 0.0) + values.double().sum().cpu()
        names = sorted(sums)
        totals = summed(torch.stack([sums[name] for name in names])) / len(images)
        means = dict(zip(names, totals.tolist(), strict=True))
        return {"loss": self._plain.judge(means), **means, **self._plain.summary()}

    def _check_weights(self, state: TrainingState) -> None:
        """Raise before weights are kept that a gradient has spoiled, which no term of its own step shows."""
        for name, value in self._plain.network.state_dict().items():
            if not value.isfinite().all():
                raise _no_number(state.step, f"the weight {name}")

    def _has_stalled(self, state: TrainingState) -> bool:
        return 0 < self._settings.patience <= state.epoch - state.best_epoch

    def _average(self, state: TrainingState) -> None:
        """Move the averaged weights towards the present ones; running statistics of batch norm are copied."""
        decay = self._settings.weight_average
        if not decay:
            return
        present = self._plain.network.state_dict()
        if not state.average:
            state.average = {name: value.detach().clone() for name, value in present.items()}
            return
        # Young averages follow fast, so that the first random weights are soon forgotten.
        decay = min(decay, (1 + state.step) / (10 + state.step))
        parameters = {name for name, _ in self._plain.network.named_parameters()}
        for name, value in present.items():
            state.average[name] = state.average[name].to(value.device)
            if name in parameters:
                state.average[name].lerp_(value.detach(), 1 - decay)
            else:
                state.average[name].copy_(value)

    @contextlib.contextmanager
    def _averaged_weights(self, state: TrainingState) -> Iterator[None]:
        if not state.average:
            yield
            return
        network = self._plain.network
        present = {name: value.detach().clone() for name, value in network.state_dict().items()}
        network.load_state_dict(state.average)
        try:
            yield
        finally:
            network.load_state_dict(present)

    def _restored(self, state: TrainingState | None) -> TrainingState:
        if state is None:
            return TrainingState()
        self._plain.load_state_dict(state.objective)
        for optimizer, saved in zip(self._optimizers.values(), state.optimizers, strict=True):
            optimizer.load_state_dict(saved)
        self._fabric.strategy.precision.load_state_dict(state.precision)
        state.finished = state.epoch >= self._settings.epochs
        return state

    def _is_worth_saving(self) -> bool:
        return time.monotonic() - self._saved_at > self._saving_s / SAVING_SHARE

    def _keep(self, state: TrainingState) -> None:
        began = time.monotonic()
        self._check_weights(state)
        self.stopwatch.lap("whole")
        if process_rank() == 0:
            with self.stopwatch.part("saving"):
                state.objective = {name: value.detach().cpu() for name, value in self._plain.state_dict().items()}
                state.optimizers = [optimizer.state_dict() for optimizer in self._optimizers.values()]
                state.precision = self._fabric.strategy.precision.state_dict()
                self._save(state)
        self._saved_at = time.monotonic()
        self._saving_s = self._saved_at - began

    def _everyone(self, condition: bool) -> bool:
        """Whether it holds in any process, told to all: one that stopped alone would leave the others waiting."""
        if process_count() == 1:
            return condition
        return bool(summed(torch.tensor(float(condition), device=self._fabric.device)) > 0)


def images_per_step(settings: TrainingSettings, images: int) -> int:
    """Images of one step over all processes and parts. Raises UserError when there are fewer images than parts."""
    parts = process_count() * settings.accumulate
    count = min(settings.batch_size, images)
    if count < parts:
        raise UserError(
            f"{count} images a step can't be shared by {process_count()} process(es) in {settings.accumulate} part(s) "
            "each; choose a larger training.batch_size or a smaller training.accumulate."
        )
    return count // parts * parts


def _phased(name: str, phase: str, number: int) -> str:
    """The log's name of a term: as it is in the first pass of a step, with its phase in the others."""
    return f"{phase}_{name}" if number else name


def _check(values: dict[str, float], step: int) -> None:
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        name = next((name for name in bad if name != "loss"), "loss")
        raise _no_number(step + 1, f"the {name} term")


def _no_number(step: int, what: str) -> UserError:
    return UserError(
        f"Training stopped at step {step}: {what} is no longer a number. The last checkpoint is kept; train anew with "
        "a smaller learning_rate."
    )


def _schedule(kind: str, step: int, total: int) -> float:
    """Factor of the learning rate: a short linear warm-up, then constant or a half cosine down to a hundredth."""
    warm_up = min(WARM_UP_STEPS, max(1, total // 10))
    if step < warm_up:
        return (step + 1) / warm_up
    if kind == "constant":
        return 1.0
    progress = min(1.0, (step - warm_up) / max(1, total - warm_up))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
