"""The images that a bundle's model was trained on, patient by patient, for what is learned after it."""

import dataclasses
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import Manifest
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.io.dicomweb import local_copy

from ..recipe import Recipe, load_recipe
from ..training.run_folder import RunFolder, RunRecord
from .batch import ImageSource
from .cache import Cache
from .cohort import find
from .preparation import images_by_patient
from .split import SMALLEST_COHORT, split_patients

VALIDATION_SHARE = 0.15


@dataclasses.dataclass(frozen=True)
class Patients:
    """Images of each patient by name, and who fits and who judges the fit."""

    images: dict[str, ImageSource]
    training: list[str]
    validation: list[str]


def patients_of_run(
    manifest: Manifest, run: Path, seed: int, cache: Cache, listener: Listener, cancel: Cancel
) -> Patients:
    """The patients of the run that the bundle was exported from, split as they were there.

    Raises UserError for another run, and for too few patients.
    """
    folder = RunFolder(run)
    folder.check_is_run()
    recipe, record = folder.recipe(), folder.record()
    if recipe.network != manifest.network or record.preprocessing != manifest.preprocessing:
        raise UserError(f"{manifest.title} was not exported from the run {run}; name its own run.")
    with local_copy(record.data, cancel=cancel) as place:
        return _patients(recipe, dataclasses.replace(record, data=str(place)), seed, cache, listener, cancel)


def patients_in_folder(
    manifest: Manifest, data: Path, changes: list[str], seed: int, cache: Cache, listener: Listener, cancel: Cancel
) -> Patients:
    """The patients in a data folder, prepared for the bundle's model; ``changes`` are settings as ``slicervae fit``
    takes them, such as "data.include=*FLAIR*". Raises UserError for too few patients."""
    recipe = load_recipe(manifest.recipe, changes)
    settings = dataclasses.replace(recipe.data, structures=list(manifest.preprocessing.structures))
    recipe = dataclasses.replace(recipe, data=settings)
    studies, _ = find(data, settings, cancel)
    record = RunRecord(
        data=str(data.resolve()),
        seed=seed,
        software=manifest.software,
        modality=manifest.declaration.modality,
        body_part=manifest.declaration.body_part,
        slice_step_mm=manifest.declaration.slice_step_mm,
        preprocessing=manifest.preprocessing,
        training_patients=sorted({study.patient for study in studies}),
        validation_patients=[],
    )
    return _patients(recipe, record, seed, cache, listener, cancel)


def _patients(
    recipe: Recipe, record: RunRecord, seed: int, cache: Cache, listener: Listener, cancel: Cancel
) -> Patients:
    training, validation = record.training_patients, record.validation_patients
    if len({*training, *validation}) < SMALLEST_COHORT:
        raise UserError(
            f"{record.data} has {len({*training, *validation})} patient(s), too few to keep one aside; give at least "
            f"{SMALLEST_COHORT}."
        )
    if not validation:
        training, validation = split_patients(training, VALIDATION_SHARE, seed)
    return Patients(images_by_patient(recipe, record, cache, listener, cancel), training, validation)
