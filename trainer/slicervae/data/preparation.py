"""From a recipe and a folder of patients to images to train on, and the record of what was decided on the way."""

from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import SOFTWARE
from SlicerVAELib.core.progress import Cancel, Listener
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import Found

from ..recipe import Recipe
from ..training.run_folder import RunRecord
from .batch import ImagesInMemory, ImageSource
from .cohort import find
from .slices import read_slices, resolve_preprocessing, survey
from .split import split_patients


def decide(recipe: Recipe, data: Path, size: int, seed: int, listener: Listener, cancel: Cancel) -> RunRecord:
    """Who trains and who validates, and how volumes become images of ``size`` pixels.

    Raises UserError for data that the recipe can't train on.
    """
    found = find(data, recipe.data, cancel)
    training, validation = split_patients((f.patient for f in found), recipe.training.validation_share, seed)
    cohort = survey([f for f in found if f.patient in training], listener, cancel)
    if cohort.modality in (Modality.UNKNOWN, Modality.DOSE):
        raise UserError(f"The volumes in {data} do not look like CT or MR; choose images with data.include.")
    return RunRecord(
        data=str(data.resolve()),
        seed=seed,
        software=SOFTWARE,
        modality=cohort.modality,
        body_part=cohort.body_part,
        slice_step_mm=cohort.slice_step_mm,
        preprocessing=resolve_preprocessing(recipe.preprocessing, cohort, size),
        training_patients=training,
        validation_patients=validation,
    )


def images_of(recipe: Recipe, record: RunRecord, listener: Listener, cancel: Cancel) -> tuple[ImageSource, ImageSource]:
    """The images to train on and those to validate on. Raises UserError when the patients are others than recorded."""
    found = find(Path(record.data), recipe.data, cancel)
    _check_same_patients(found, record)
    slices = read_slices(found, record.preprocessing, listener, cancel)
    training, validation = (slices.of(names) for names in (record.training_patients, record.validation_patients))
    return ImagesInMemory(training), ImagesInMemory(validation)


def _check_same_patients(found: list[Found], record: RunRecord) -> None:
    here = {item.patient for item in found}
    before = {*record.training_patients, *record.validation_patients}
    if here != before:
        changed = sorted(here ^ before)
        raise UserError(
            f"The patients in {record.data} are not those the run was begun with ({', '.join(changed[:3])} differ); "
            "restore them or begin a new run."
        )
