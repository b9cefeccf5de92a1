"""From a recipe and a folder of patients to images to train on, and the record of what was decided on the way."""

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.local_engine import SOFTWARE
from SlicerVAELib.core.networks import Network
from SlicerVAELib.core.preprocessing import Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, Meter
from SlicerVAELib.core.records import from_data, to_data
from SlicerVAELib.core.stack import prepare

from ..processes import from_first
from ..recipe import DataSettings, Recipe
from ..training.run_folder import RunRecord
from .batch import ImageSource
from .cache import Cache, Prepared
from .cohort import find
from .content import content_of, key_of
from .mapped import MappedImages
from .masks import LacksStructureError
from .split import SMALLEST_COHORT, split_patients
from .study import Study
from .survey import Facts, check_network, facts_of, resolve_preprocessing, summed_up

TOUCHED = 1e-4  # share of a pixel; less of a left-out voxel than that is the rounding of the resampling


@dataclasses.dataclass(frozen=True)
class _Surveyed:
    facts: Facts
    leaves_out: bool


def decide(
    recipe: Recipe, data: Path, network: Network, seed: int, cache: Cache, listener: Listener, cancel: Cancel
) -> RunRecord:
    """Who trains and who validates, and how volumes become images for ``network``.

    Studies that lack a channel or a structure are left out, which the record's ``notices`` tell. Raises UserError for
    data that the recipe can't train on.
    """
    check_network(recipe, network)
    studies, lacking = find(data, recipe.data, cancel)
    _check_patients(studies, recipe.training.validation_share, data)
    contents: dict[str, str] = {}
    surveyed: dict[str, _Surveyed] = {}
    meter = Meter(listener, "looking at the volumes", len(studies))
    for study in studies:
        cancel.check()
        content = content_of(study)
        try:
            surveyed[study.name] = _survey(study, content, recipe, cache)
            contents[study.name] = content
        except LacksStructureError as error:
            lacking[study.name] = str(error)
        meter.advance(1)
    studies = [study for study in studies if study.name in surveyed]
    if not studies:
        raise UserError(f"No study in {data} has all structures; {next(iter(lacking.values()))}")
    share = recipe.training.validation_share
    _check_patients(studies, share, data)
    training, validation = split_patients((study.patient for study in studies), share, seed)
    facts = summed_up({study.name: surveyed[study.name].facts for study in studies if study.patient in training})
    return RunRecord(
        data=str(data.resolve()),
        seed=seed,
        software=SOFTWARE,
        modality=facts.modality,
        body_part=facts.body_part,
        slice_step_mm=facts.slice_step_mm,
        acquisition=facts.acquisition,
        preprocessing=resolve_preprocessing(recipe, facts, network),
        training_patients=training,
        validation_patients=validation,
        contents=contents,
        left_out=sorted(lacking),
        notices=[*lacking.values(), *_about_left_out_voxels(surveyed, recipe.data, data)],
    )


def images_of(
    recipe: Recipe, record: RunRecord, cache: Cache, listener: Listener, cancel: Cancel
) -> tuple[ImageSource, ImageSource]:
    """The images to train on and those to validate on.

    Every process of a run calls this; the first one prepares what is not in the cache yet, while the others wait.
    Raises UserError when the data are not those that the run was begun with.
    """

    def fill() -> dict[str, list[Path]]:
        return _prepared(recipe, record, None, cache, listener, cancel)

    places = from_first(fill)
    if not all(place.is_dir() for of_patient in places.values() for place in of_patient):
        places = fill()  # a process on another machine, with a cache of its own
    training, validation = (
        MappedImages([place for name in names for place in places[name]])
        for names in (record.training_patients, record.validation_patients)
    )
    return training, validation


def validation_images_of(
    recipe: Recipe, record: RunRecord, cache: Cache, listener: Listener, cancel: Cancel
) -> ImageSource:
    """The images of the patients kept aside, or of those trained on where none were. Raises UserError as ``images_of``
    does."""
    patients = record.validation_patients or record.training_patients
    places = _prepared(recipe, record, patients, cache, listener, cancel)
    return MappedImages([place for of_patient in places.values() for place in of_patient])


def images_by_patient(
    recipe: Recipe, record: RunRecord, cache: Cache, listener: Listener, cancel: Cancel
) -> dict[str, ImageSource]:
    """The images of every patient of a run, by name. Raises UserError as ``images_of`` does."""
    places = _prepared(recipe, record, None, cache, listener, cancel)
    return {patient: MappedImages(of_patient) for patient, of_patient in places.items()}


def test_images_of(
    recipe: Recipe, record: RunRecord, patients: Collection[str], cache: Cache, cancel: Cancel
) -> ImageSource:
    """The images of patients in the run's data folder that were kept apart for a test. Raises UserError when one of
    them is not there or took part in the run."""
    seen = set(patients) & {*record.training_patients, *record.validation_patients}
    if seen:
        raise UserError(f"The run has seen {', '.join(sorted(seen))}; test it on others.")
    everybody = dataclasses.replace(recipe.data, exclude_patients=[])
    studies, _ = find(Path(record.data), everybody, cancel)
    missing = set(patients) - {study.patient for study in studies}
    if missing:
        raise UserError(f"There is no patient {', '.join(sorted(missing))} in {record.data} to test on.")
    tests = [study for study in studies if study.patient in patients]
    return MappedImages([_entry(study, record, everybody, cache) for study in tests])


def _prepared(
    recipe: Recipe,
    record: RunRecord,
    patients: Collection[str] | None,
    cache: Cache,
    listener: Listener,
    cancel: Cancel,
) -> dict[str, list[Path]]:
    """Whole entries of the cache by patient, of some patients or of all."""
    studies, _ = find(Path(record.data), recipe.data, cancel)
    studies = [study for study in studies if study.name not in record.left_out]
    _check_names(studies, record)
    places: dict[str, list[Path]] = {}
    chosen = [study for study in studies if patients is None or study.patient in patients]
    meter = Meter(listener, "preparing the images", len(chosen))
    for study in chosen:
        cancel.check()
        places.setdefault(study.patient, []).append(_entry(study, record, recipe.data, cache))
        meter.advance(1)
    return places


def _entry(study: Study, record: RunRecord, settings: DataSettings, cache: Cache) -> Path:
    content = content_of(study)
    if record.contents.get(study.name, content) != content:
        raise _changed(record, [study.name])
    key = key_of("images", content, record.preprocessing, settings.leave_out)
    return cache.images(key, lambda: _prepare(study, record.preprocessing, settings))


def _prepare(study: Study, preprocessing: Preprocessing, settings: DataSettings) -> Prepared:
    volume, left_out = study.read(settings)
    stack = prepare(volume, preprocessing)
    if left_out is None:
        return Prepared(stack.images.numpy(), None)
    # What a left-out voxel has any part in would still show it.
    kept = (stack.share_of(left_out) < TOUCHED).numpy().astype("uint8")
    return Prepared(stack.images.numpy(), kept[None, None] if stack.is_cube else kept[:, None])


def _survey(study: Study, content: str, recipe: Recipe, cache: Cache) -> _Surveyed:
    settings, plane = recipe.data, recipe.preprocessing.plane

    def learn() -> object:
        volume, left_out = study.read(settings)
        return to_data(_Surveyed(facts_of(volume, plane), left_out is not None))

    chosen = (list(settings.channels), settings.structures, settings.leave_out)
    key = key_of("facts with acquisition", content, *chosen, plane)
    return from_data(_Surveyed, cache.record(key, learn), f"the cache's entry of {study.name}")


def _check_patients(studies: Sequence[Study], share: float, data: Path) -> None:
    """Refuse what can't be split into those who train and those who validate."""
    if share == 0:
        return
    patients = {study.patient for study in studies}
    unnamed = next((study for study in studies if not study.main.names_patient), None)
    if unnamed is not None:
        raise UserError(
            f"{unnamed.main.path} does not say whose it is (it has no PatientID), so one patient could come to train "
            "and to validate; give each patient an identifier, or keep nobody aside with validation_share=0."
        )
    if len(patients) < SMALLEST_COHORT:
        raise UserError(
            f"{data} has {len(patients)} patient{'s' if len(patients) > 1 else ''}, too few to keep some aside for "
            f"validation; give at least {SMALLEST_COHORT}, or train on all with validation_share=0."
        )


def _about_left_out_voxels(surveyed: dict[str, _Surveyed], settings: DataSettings, data: Path) -> list[str]:
    if not settings.leave_out:
        return []
    patterns = ", ".join(f"'{pattern}'" for pattern in settings.leave_out)
    whole = [name for name, item in surveyed.items() if not item.leaves_out]
    if len(whole) == len(surveyed):
        raise UserError(f"No mask or structure in {data} is like {patterns}; correct data.leave_out.")
    if not whole:
        return []
    return [f"{len(whole)} of {len(surveyed)} studies have no mask like {patterns} and count whole, as {whole[0]}."]


def _check_names(studies: Sequence[Study], record: RunRecord) -> None:
    here = {study.patient for study in studies}
    before = {*record.training_patients, *record.validation_patients}
    if here != before:
        raise _changed(record, sorted(here ^ before))
    if record.contents:
        differing = {study.name for study in studies} ^ set(record.contents)
        if differing:
            raise _changed(record, sorted(differing))


def _changed(record: RunRecord, names: Sequence[str]) -> UserError:
    some = ", ".join(names[:3])
    return UserError(
        f"The data in {record.data} are not those the run was begun with ({some} differ{'s' * (len(names) == 1)}); "
        "restore them or begin a new run."
    )
