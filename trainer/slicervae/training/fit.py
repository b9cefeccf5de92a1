"""From a recipe and a folder of patients to a finished run."""

import dataclasses
from pathlib import Path

import lightning_fabric
import torch

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import SOFTWARE
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.placement import choose_device
from SlicerVAELib.core.progress import Cancel, Listener, part_of
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import Found

from ..data.batch import ImagesInMemory
from ..data.cohort import find
from ..data.slices import Slices, read_slices, resolve_preprocessing, survey
from ..data.split import split_patients
from ..objectives import objective_for
from ..recipe import Recipe
from .loop import Training
from .run_folder import RunFolder, RunRecord, TrainingState

PREPARATION_SHARE = 0.03  # of the progress bar: reading is short beside training


def fit(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    listener: Listener,
    cancel: Cancel,
) -> TrainingState:
    """Train ``recipe`` on the patients in ``data`` as a new run in ``out``.

    Everything that can be wrong with the recipe, the data or the place is found before training begins; then the run
    folder holds all that ``resume`` needs. Raises UserError and Cancelled.
    """
    device = choose_device(hardware.device)
    network = build(recipe.network.family, recipe.network.settings, f"the recipe {recipe.name}, network")
    if RunFolder(out).exists:
        raise UserError(f"{out} holds a run already; go on with it with --resume, or choose another --out.")
    found = find(data, recipe.data, cancel)
    training, validation = split_patients((f.patient for f in found), recipe.training.validation_share, seed)
    preparing = part_of(listener, 0.0, PREPARATION_SHARE)
    cohort = survey([f for f in found if f.patient in training], part_of(preparing, 0.0, 0.3), cancel)
    if cohort.modality in (Modality.UNKNOWN, Modality.DOSE):
        raise UserError(f"The volumes in {data} do not look like CT or MR; choose images with data.include.")
    preprocessing = resolve_preprocessing(recipe.preprocessing, cohort, network.image_size)
    slices = read_slices(found, preprocessing, part_of(preparing, 0.3, 1.0), cancel)
    record = RunRecord(
        data=str(data.resolve()),
        seed=seed,
        software=SOFTWARE,
        modality=cohort.modality,
        body_part=cohort.body_part,
        slice_step_mm=cohort.slice_step_mm,
        preprocessing=preprocessing,
        training_patients=training,
        validation_patients=validation,
    )
    folder = RunFolder(out)
    folder.create(recipe, record)
    return _train(folder, recipe, record, slices, None, device, listener, cancel)


def resume(
    out: Path,
    *,
    epochs: int | None = None,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    listener: Listener,
    cancel: Cancel,
) -> TrainingState:
    """Go on with the run in ``out`` where its last checkpoint left it; ``epochs`` sets another end.

    On the CPU the result equals that of an uninterrupted run bit for bit.
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
    found = find(Path(record.data), recipe.data, cancel)
    _check_same_patients(found, record)
    slices = read_slices(found, record.preprocessing, part_of(listener, 0.0, PREPARATION_SHARE), cancel)
    device = choose_device(hardware.device)
    return _train(folder, recipe, record, slices, state, device, listener, cancel)


def _train(
    folder: RunFolder,
    recipe: Recipe,
    record: RunRecord,
    slices: Slices,
    state: TrainingState | None,
    device: torch.device,
    listener: Listener,
    cancel: Cancel,
) -> TrainingState:
    # The first weights depend on the seed alone; the caller's random state is left as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(record.seed)
        network = build(recipe.network.family, recipe.network.settings)
    fabric = lightning_fabric.Fabric(accelerator=device.type, devices=1)
    training = Training(
        objective_for(network, recipe.objective, f"The recipe {recipe.name}"),
        recipe.training,
        fabric=fabric,
        seed=record.seed,
        save=folder.save,
    )
    training_listener = part_of(listener, PREPARATION_SHARE, 1.0)
    return training.run(
        ImagesInMemory(slices.of(record.training_patients)),
        ImagesInMemory(slices.of(record.validation_patients)),
        state,
        training_listener,
        cancel,
    )


def _check_same_patients(found: list[Found], record: RunRecord) -> None:
    here = {item.patient for item in found}
    before = {*record.training_patients, *record.validation_patients}
    if here != before:
        changed = sorted(here ^ before)
        raise UserError(
            f"The patients in {record.data} are not those the run was begun with ({', '.join(changed[:3])} differ); "
            "restore them or begin a new run."
        )
