"""Every recipe trained in small, or the compared ones at length, on brain MR and on phantoms; and how fast that is.

Each trial is a folder of its own below ``out``. What is finished is not trained again, and what was interrupted goes on
where it was, so the whole can be stopped and started as one likes.
"""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, Listener, Progress, ignore, part_of
from SlicerVAELib.core.records import from_data
from SlicerVAELib.io.write import write_json_atomically

from ..data.cache import Cache
from ..data.preparation import decide, images_of, test_images_of
from ..evaluation.quality import quality_of
from ..phantom import write_cohort
from ..recipe import Recipe, load_recipe
from ..training.fit import fit, resume
from ..training.run_folder import RunFolder, TrainingState
from . import training_speed
from .figure import Figure
from .outcomes import Outcome
from .trials import Trial

MR_TEST = "cross_sectional/patient19"
PHANTOMS, PHANTOM_TESTS = 24, ("PHANTOM-0021", "PHANTOM-0022", "PHANTOM-0023", "PHANTOM-0024")
LARGEST_BATCH = 32
CACHE = "cache"


def run_trials(trials: Sequence[Trial], data: Path, out: Path, listener: Listener, cancel: Cancel) -> list[Outcome]:
    """Train and judge every trial that has no outcome yet; the outcomes of all, in order.

    ``data`` is the folder of open_ms. Raises UserError and Cancelled; finished trials stay.
    """
    if any(trial.cohort == "phantom" for trial in trials):
        write_cohort(out / "phantoms", patients=PHANTOMS, seed=1, lesion_share=0.0, cancel=cancel)
    outcomes = []
    for number, trial in enumerate(trials):
        own = part_of(listener, number / len(trials), (number + 1) / len(trials))
        folder = out / trial.name
        result = folder / "outcome.json"
        if not result.is_file():
            place = data if trial.cohort == "mr" else out / "phantoms"
            write_json_atomically(result, _outcome(trial, place, folder, Cache(out / CACHE), own, cancel))
        outcomes.append(_read(result))
        listener(Progress((number + 1) / len(trials), f"{trial.name} done"))
    return outcomes


def speed(data: Path, out: Path, runs: int, listener: Listener) -> list[Figure]:
    """How fast training is beside a bare loop, on real slices at 128²."""
    cancel = Cancel()
    recipe = load_recipe("vae50", ["size=128", "data.include=*FLAIR*", "validation_share=0"])
    network = build(recipe.network.family, recipe.network.settings)
    cache = Cache(out / CACHE)
    record = decide(recipe, data, network, 0, cache, ignore, cancel)
    images, _ = images_of(recipe, record, cache, ignore, cancel)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        return training_speed.measure(images, runs, Path(folder), listener)


def _read(path: Path) -> Outcome:
    try:
        return from_data(Outcome, json.loads(path.read_text(encoding="utf-8")), str(path))
    except ValueError:
        raise UserError(f"{path} is damaged; remove it, and its trial is trained anew.") from None


def _outcome(trial: Trial, data: Path, folder: Path, cache: Cache, listener: Listener, cancel: Cancel) -> Outcome:
    run, told = folder / "run", _titled(listener, trial)
    try:
        if RunFolder(run).exists:
            state = resume(run, cache=cache.folder, listener=told, cancel=cancel)
        else:
            recipe = _recipe(trial, data, cache, cancel)
            state = fit(recipe, data, run, seed=trial.seed, cache=cache.folder, listener=told, cancel=cancel)
    except UserError as error:
        if "no longer a number" not in str(error):
            raise
        return Outcome(trial, str(error).partition(":")[2].strip())
    return _judged(trial, run, state, cache, cancel)


def _titled(listener: Listener, trial: Trial) -> Listener:
    return lambda progress: listener(dataclasses.replace(progress, stage=f"{trial.name}: {progress.stage}"))


def _recipe(trial: Trial, data: Path, cache: Cache, cancel: Cancel) -> Recipe:
    """The recipe with the trial's size, data, and as many epochs as its steps take."""
    changes = [f"network.settings.size={trial.size}", *trial.changes]
    if trial.cohort == "mr":
        changes += ["data.include=*FLAIR*", f"data.exclude_patients={MR_TEST}", "data.leave_out=*lesions*"]
        changes += [f"preprocessing.{name}=auto" for name in ("intensity", "lower", "upper")]
    else:
        changes.append(f"data.exclude_patients=[{', '.join(PHANTOM_TESTS)}]")
    recipe = load_recipe(trial.recipe, changes)
    changes.append(f"batch_size={min(recipe.training.batch_size, LARGEST_BATCH)}")
    recipe = load_recipe(trial.recipe, changes)
    network = build(recipe.network.family, recipe.network.settings)
    record = decide(recipe, data, network, trial.seed, cache, ignore, cancel)
    images = len(images_of(recipe, record, cache, ignore, cancel)[0])
    per_epoch = max(1, images // recipe.training.batch_size)
    epochs = max(1, round(trial.steps / per_epoch))
    changes.append(f"training.epochs={epochs}")
    if hasattr(recipe.objective, "warm_up_epochs"):
        changes.append(f"warm_up_epochs={epochs // 3}")  # or so short a training would never get beyond it
    return load_recipe(trial.recipe, changes)


def _judged(trial: Trial, run: Path, state: TrainingState, cache: Cache, cancel: Cancel) -> Outcome:
    folder = RunFolder(run)
    recipe, record = folder.recipe(), folder.record()
    network = build(recipe.network.family, recipe.network.settings)
    network.load_state_dict(state.best_network)
    network.eval().requires_grad_(False)
    tests = [MR_TEST] if trial.cohort == "mr" else list(PHANTOM_TESTS)
    images = test_images_of(recipe, record, tests, cache, cancel)
    quality = quality_of(network, images)
    rows, last = state.rows, state.rows[-1]
    kl = [row.get("validation_kl", row.get("train_kl", 0.0)) for row in rows]
    at_two_thirds = kl[len(kl) * 2 // 3 - 1] if len(kl) >= 3 else kl[-1]
    timing = json.loads((run / "timing.json").read_text(encoding="utf-8"))
    seconds = timing["seconds"]
    other = seconds.get("data", 0.0) + seconds.get("saving", 0.0) + seconds.get("logging", 0.0)
    return Outcome(
        trial,
        "",
        train_mse=last["train_mse"],
        test_mse=quality.mse,
        test_ms_ssim=quality.ms_ssim,
        kl=kl[-1],
        kl_growth=kl[-1] / at_two_thirds if at_two_thirds > 0 else 0.0,
        perplexity=_mean_of(last, "perplexity"),
        usage=_mean_of(last, "usage"),
        steps_per_s=timing["steps"] / seconds["compute"],
        computing_share=1 - other / seconds["whole"],
    )


def _mean_of(row: dict[str, float], name: str) -> float:
    """A validation figure of all codebooks, of which there may be several; 0 without any."""
    values = [value for key, value in row.items() if key.rstrip("_0123456789") == f"validation_{name}"]
    return sum(values) / len(values) if values else 0.0
