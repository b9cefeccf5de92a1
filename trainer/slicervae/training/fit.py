"""From a recipe and a folder of patients to a finished run."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning_fabric
import torch
from torch import nn

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import SOFTWARE
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.placement import is_out_of_memory
from SlicerVAELib.core.progress import Cancel, Listener, ignore, part_of
from SlicerVAELib.core.records import to_data
from SlicerVAELib.io.dicomweb import local_copy
from SlicerVAELib.io.dicomweb_address import is_address

from ..data.augmentation import augmentation_of
from ..data.cache import Cache
from ..data.preparation import decide, images_of
from ..objectives import Objective, objective_for
from ..processes import from_first, process_rank
from ..recipe import Recipe
from .loop import Training, images_per_step
from .place import launched
from .prior_images import reason_against
from .run_folder import RunFolder, RunRecord, TrainingState
from .run_log import RunLog

SURVEY_SHARE, PREPARATION_SHARE = 0.01, 0.03  # of the progress bar: reading is short beside training


def fit(
    recipe: Recipe,
    data: str | Path,
    out: Path,
    *,
    start: Path | None = None,
    seed: int = 0,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    compiled: bool = False,
    cache: Path | None = None,
    listener: Listener,
    cancel: Cancel,
) -> TrainingState:
    """Train ``recipe`` on the patients in ``data`` as a new run in ``out``.

    With ``start``, the folder of a run with that network, its best weights are the first ones, and its patients and
    their split those of the new run; ``recipe`` is then one that ``start.recipe_on`` returned, and ``data`` that run's.

    ``data`` is a folder or, as text, the address of a study on a DICOMweb server, of which a copy is there as long as
    this lasts. Everything that can be wrong with the recipe, the data or the place is found before training begins;
    then the run folder holds all that ``resume`` needs. ``compiled`` has the network compiled by ``torch.compile``;
    ``cache`` is the folder of prepared images, None this user's own. Under ``torchrun`` every process calls this.
    Raises UserError and Cancelled.
    """
    objective = _objective(recipe, seed, start)
    fabric = launched(hardware, phases=len(objective.phases))
    images_per_step(recipe.training, recipe.training.batch_size)

    with local_copy(data, cancel=cancel) as place:

        def begin() -> RunRecord:
            RunFolder(out).check_free()
            if start is None:
                surveying = part_of(listener, 0.0, SURVEY_SHARE)
                record = decide(recipe, place, objective.network, seed, Cache(cache), surveying, cancel)
            else:
                earlier = RunFolder(start).record()
                record = dataclasses.replace(earlier, seed=seed, software=SOFTWARE, started_from=str(start.resolve()))
            return dataclasses.replace(record, precision=_precision(hardware))

        decided = from_first(begin)
        kept = dataclasses.replace(decided, data=str(data)) if is_address(str(data)) else decided
        record = dataclasses.replace(decided, data=str(place))
        run = _Run(RunFolder(out), recipe, record, fabric, objective, compiled, Cache(cache))
        return run.train(None, lambda: run.folder.create(recipe, kept), listener, cancel)


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
    """Go on with the run in ``out`` where its last checkpoint left it; ``epochs`` sets another end, which is kept.

    On the CPU the result equals that of an uninterrupted run bit for bit. ``cache`` need not be the folder it was, nor
    the device; the precision is that of the run. Raises UserError, also for a checkpoint of another recipe.
    """
    folder = RunFolder(out)
    if not folder.exists:
        raise UserError(f"{out} holds no run to resume; leave out --resume to begin one.")
    recipe, record, state = folder.recipe(), folder.record(), folder.load()
    if state is not None and state.trained != _trained(recipe):
        other = state.trained.get("recipe", "another recipe")
        raise UserError(
            f"The checkpoint in {out} is of {other} with other settings than its recipe.yaml; put that file back as it "
            "was, or train anew with another --out."
        )
    if hardware.precision not in ("auto", record.precision):
        raise UserError(f"The run in {out} computes in {record.precision} and keeps to it; leave out --precision.")
    is_extended = False
    if epochs is not None and epochs != recipe.training.epochs:
        is_extended = True
        recipe = dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, epochs=epochs))
    elif state is not None and state.finished:
        return state
    start = Path(record.started_from) if state is None and record.started_from else None
    objective = _objective(recipe, record.seed, start)
    fabric = launched(dataclasses.replace(hardware, precision=record.precision), phases=len(objective.phases))
    with local_copy(record.data, cancel=cancel) as place:
        here = dataclasses.replace(record, data=str(place))
        run = _Run(folder, recipe, here, fabric, objective, compiled, Cache(cache))
        return run.train(state, lambda: folder.keep_recipe(recipe) if is_extended else None, listener, cancel)


def _precision(hardware: Hardware) -> str:
    return "float32" if hardware.precision == "auto" else hardware.precision


def _trained(recipe: Recipe) -> dict[str, Any]:
    """What the weights of a run belong to, as data."""
    return {"recipe": recipe.name, "network": to_data(recipe.network), "objective": to_data(recipe.objective)}


def _compile(module: nn.Module) -> None:
    """Compile in place, so that the weights keep their names; of a container whatever is called."""
    if isinstance(module, nn.ModuleDict):
        for child in module.values():
            _compile(child)
    else:
        module.compile()


def _objective(recipe: Recipe, seed: int, start: Path | None) -> Objective:
    """The recipe's objective for a network with the best weights of the run ``start``, or with weights that depend on
    the seed alone."""
    with torch.random.fork_rng(devices=[]):  # the caller's random state is left as it was
        torch.manual_seed(seed)
        network = build(recipe.network.family, recipe.network.settings, f"the recipe {recipe.name}, network")
    if start is not None:
        network.load_state_dict(RunFolder(start).with_best_weights().best_network)
    if recipe.training.augment_by_prior and (reason := reason_against(network)):
        raise UserError(f"The recipe {recipe.name} can't have training.augment_by_prior: {reason}.")
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
            _compile(self.objective.network.encoder)
            _compile(self.objective.network.decoder)
        log = None
        if process_rank() == 0:
            log = RunLog(self.folder.path / "tensorboard", 0 if state is None else state.epoch)
        loop = Training(
            self.objective,
            self.recipe.training,
            fabric=self.fabric,
            seed=self.record.seed,
            save=self._save,
            augment=augmentation_of(self.recipe.augmentation, self.record.preprocessing),
            log=log,
            has_learned=bool(self.record.started_from),
        )
        try:
            return loop.run(training, validation, state, part_of(listener, PREPARATION_SHARE, 1.0), cancel)
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise UserError(
                "Batch norm can't be computed from a part of one image; choose a larger training.batch_size, a smaller "
                "training.accumulate or fewer processes."
            ) from None
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

    def _save(self, state: TrainingState) -> None:
        state.trained = _trained(self.recipe)
        self.folder.save(state)
