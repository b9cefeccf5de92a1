"""From a recipe and a folder of patients to a finished run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import lightning_fabric
import torch

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.placement import is_out_of_memory
from SlicerVAELib.core.progress import Cancel, Listener, ignore, part_of
from SlicerVAELib.io.write import write_json_atomically

from ..data.augmentation import augmentation_of
from ..data.cache import Cache
from ..data.preparation import decide, images_of
from ..objectives import Objective, objective_for
from ..processes import from_first, process_rank
from ..recipe import Recipe
from .loop import Training, images_per_step
from .place import launched
from .run_folder import RunFolder, RunRecord, TrainingState
from .run_log import RunLog

SURVEY_SHARE, PREPARATION_SHARE = 0.01, 0.03  # of the progress bar: reading is short beside training


def fit(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    compiled: bool = False,
    cache: Path | None = None,
    listener: Listener,
    cancel: Cancel,
) -> TrainingState:
    """Train ``recipe`` on the patients in ``data`` as a new run in ``out``.

    Everything that can be wrong with the recipe, the data or the place is found before training begins; then the run
    folder holds all that ``resume`` needs. ``compiled`` has the network compiled by ``torch.compile``; ``cache`` is the
    folder of prepared images, None this user's own. Under ``torchrun`` every process calls this. Raises UserError and
    Cancelled.
    """
    objective = _objective(recipe, seed)
    fabric = launched(hardware, phases=len(objective.phases))

    def begin() -> RunRecord:
        if RunFolder(out).exists:
            raise UserError(f"{out} holds a run already; go on with it with --resume, or choose another --out.")
        surveying = part_of(listener, 0.0, SURVEY_SHARE)
        return decide(recipe, data, objective.network, seed, Cache(cache), surveying, cancel)

    record = from_first(begin)
    run = _Run(RunFolder(out), recipe, record, fabric, objective, compiled, Cache(cache))
    return run.train(None, lambda: run.folder.create(recipe, record), listener, cancel)


def resume(
    out: Path,
    *,
    epochs: int | None = None,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    compiled: bool = False,
    cache: Path | None = None,
    listener: Listener,
    cancel: Cancel,
) -> TrainingState:
    """Go on with the run in ``out`` where its last checkpoint left it; ``epochs`` sets another end.

    On the CPU the result equals that of an uninterrupted run bit for bit. ``cache`` need not be the folder it was.
    """
    folder = RunFolder(out)
    if not folder.exists:
        raise UserError(f"{out} holds no run to resume; leave out --resume to begin one.")
    recipe, record, state = folder.recipe(), folder.record(), folder.load()
    if epochs is not None and epochs != recipe.training.epochs:
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=epochs))
        if state is not None:
            state.finished = False
    if state is not None and state.finished:
        return state
    objective = _objective(recipe, record.seed)
    fabric = launched(hardware, phases=len(objective.phases))
    return _Run(folder, recipe, record, fabric, objective, compiled, Cache(cache)).train(
        state, lambda: None, listener, cancel
    )


def _objective(recipe: Recipe, seed: int) -> Objective:
    """The recipe's objective for a network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):  # the caller's random state is left as it was
        torch.manual_seed(seed)
        network = build(recipe.network.family, recipe.network.settings, f"the recipe {recipe.name}, network")
    return objective_for(network, recipe.objective, f"The recipe {recipe.name}")


@dataclasses.dataclass
class _Run:
    folder: RunFolder
    recipe: Recipe
    record: RunRecord
    fabric: lightning_fabric.Fabric
    objective: Objective
    compiled: bool
    cache: Cache

    def train(
        self, state: TrainingState | None, begun: Callable[[], None], listener: Listener, cancel: Cancel
    ) -> TrainingState:
        """Read the images, let the run begin, and train."""
        listener = listener if process_rank() == 0 else ignore
        preparing = part_of(listener, SURVEY_SHARE, PREPARATION_SHARE)
        training, validation = images_of(self.recipe, self.record, self.cache, preparing, cancel)
        images_per_step(self.recipe.training, len(training))
        from_first(begun)
        if self.compiled:
            # In place, so that the weights keep their names.
            self.objective.network.encoder.compile()
            self.objective.network.decoder.compile()
        log = None
        if process_rank() == 0:
            log = RunLog(self.folder.path / "tensorboard", 0 if state is None else state.epoch)
        loop = Training(
            self.objective,
            self.recipe.training,
            fabric=self.fabric,
            seed=self.record.seed,
            save=self.folder.save,
            augment=augmentation_of(self.recipe.augmentation, self.record.preprocessing),
            log=log,
        )
        try:
            done = loop.run(training, validation, state, part_of(listener, PREPARATION_SHARE, 1.0), cancel)
            if process_rank() == 0:
                write_json_atomically(
                    self.folder.path / "timing.json", {"seconds": loop.stopwatch.seconds, "steps": loop.steps}
                )
            return done
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise UserError(
                f"A batch of {self.recipe.training.batch_size} images does not fit into the memory of "
                f"{self.fabric.device}; begin anew with --set accumulate=2 or more, or with a smaller batch_size."
            ) from None
        finally:
            if log is not None:
                log.close()
