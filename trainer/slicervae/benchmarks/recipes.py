"""Every recipe trained in small, or the compared ones at length, on brain MR and on phantoms; and how fast that is.

Each trial is a folder of its own below ``out``. What is finished is not trained again, and what was interrupted goes on
where it was, so the whole can be stopped and started as one likes.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from pathlib import Path

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, Listener, Progress, part_of
from SlicerVAELib.core.records import from_data
from SlicerVAELib.io.write import write_json_atomically

from ..data.batch import ImageSource
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
PREPARING_SHARE = 0.05  # of the progress of a trial or of the timing
SPEED_CHANGES = (
    "size=128",
    "batch_size=32",
    "validation_share=0",
    "data.include=*FLAIR*",
    f"data.exclude_patients={MR_TEST}",
)


def run_trials(trials: Sequence[Trial], data: Path, out: Path, listener: Listener, cancel: Cancel) -> list[Outcome]:
    """Train and judge every trial that has no outcome yet; the outcomes of all, in order.

    ``data`` is the folder of open_ms. Raises UserError, for a trial's folder that is damaged or another trial's too,
    and Cancelled; finished trials stay.
    """
    finished(trials, out)  # what is damaged is told before any time is spent
    outcomes = []
    for number, trial in enumerate(trials):
        own = part_of(listener, number / len(trials), (number + 1) / len(trials))
        result = _result(trial, out)
        if not result.is_file():
            outcome = _outcome(trial, data, out, _titled(own, trial), cancel)
            write_json_atomically(result, outcome)
        outcomes.append(_read(trial, result))
        listener(Progress((number + 1) / len(trials), f"{trial.name} done"))
    return outcomes


def finished(trials: Sequence[Trial], out: Path) -> list[Outcome]:
    """The outcomes that there are. Raises UserError for one that is damaged or another trial's."""
    results = [(trial, _result(trial, out)) for trial in trials]
    return [_read(trial, result) for trial, result in results if result.is_file()]


def speed(data: Path, out: Path, runs: int, listener: Listener, cancel: Cancel) -> list[Figure]:
    """How fast ``vae50`` trains on real slices at 128² in batches of 32, medians of ``runs`` runs; nothing for 0.

    Raises UserError and Cancelled.
    """
    if runs == 0:
        return []
    recipe, cache = load_recipe("vae50", SPEED_CHANGES), Cache(out / CACHE)
    images = _training_images(recipe, data, 0, cache, part_of(listener, 0.0, PREPARING_SHARE), cancel)
    return training_speed.measure(recipe, images, runs, out, part_of(listener, PREPARING_SHARE, 1.0), cancel)


def _result(trial: Trial, out: Path) -> Path:
    return out / trial.name / "outcome.json"


def _read(trial: Trial, path: Path) -> Outcome:
    try:
        outcome = from_data(Outcome, json.loads(path.read_text(encoding="utf-8")), str(path))
    except (OSError, ValueError, UserError):
        raise UserError(f"{path} is damaged; remove it, and its trial is judged anew.") from None
    if outcome.trial != trial:
        raise UserError(f"{path.parent} holds a trial of {outcome.trial.steps} steps, not {trial.steps}; remove it.")
    return outcome


def _outcome(trial: Trial, data: Path, out: Path, listener: Listener, cancel: Cancel) -> Outcome:
    cache, run = Cache(out / CACHE), RunFolder(out / trial.name / "run")
    preparing, training = part_of(listener, 0.0, PREPARING_SHARE), part_of(listener, PREPARING_SHARE, 1.0)
    if trial.cohort == "phantom":
        data = out / "phantoms"
        write_cohort(data, patients=PHANTOMS, seed=1, lesion_share=0.0, progress=preparing, cancel=cancel)
    recipe = _recipe(trial, data, cache, preparing, cancel)
    try:
        if run.path.is_dir() and any(run.path.iterdir()):
            _check(run, recipe)
            state = resume(run.path, cache=cache.folder, listener=training, cancel=cancel)
        else:
            state = fit(recipe, data, run.path, seed=trial.seed, cache=cache.folder, listener=training, cancel=cancel)
    except UserError as error:
        stopped = re.search(r"at (step \d+): (.+ is no longer a number)", str(error))
        if stopped is None:
            raise
        return Outcome(trial, f"{stopped[2]} at {stopped[1]}")
    return _judged(trial, run, state, cache, cancel)


def _titled(listener: Listener, trial: Trial) -> Listener:
    return lambda progress: listener(dataclasses.replace(progress, stage=f"{trial.name}: {progress.stage}"))


def _check(run: RunFolder, recipe: Recipe) -> None:
    """Raise UserError unless the run is whole and trains that recipe."""
    try:
        is_same = run.recipe() == recipe
        run.record()
        run.load()
    except UserError:
        raise UserError(f"The run {run.path} is damaged; remove that folder, and it is trained anew.") from None
    if not is_same:
        raise UserError(f"The run {run.path} has other settings; remove that folder, and it is trained anew.")


def _recipe(trial: Trial, data: Path, cache: Cache, listener: Listener, cancel: Cancel) -> Recipe:
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
    images = len(_training_images(recipe, data, trial.seed, cache, listener, cancel))
    per_epoch = max(1, images // recipe.training.batch_size)
    epochs = max(1, round(trial.steps / per_epoch))
    changes.append(f"training.epochs={epochs}")
    if hasattr(recipe.objective, "warm_up_epochs"):
        changes.append(f"warm_up_epochs={epochs // 3}")  # or so short a training would never get beyond it
    return load_recipe(trial.recipe, changes)


def _training_images(
    recipe: Recipe, data: Path, seed: int, cache: Cache, listener: Listener, cancel: Cancel
) -> ImageSource:
    network = build(recipe.network.family, recipe.network.settings)
    record = decide(recipe, data, network, seed, cache, part_of(listener, 0.0, 0.5), cancel)
    return images_of(recipe, record, cache, part_of(listener, 0.5, 1.0), cancel)[0]


def _judged(trial: Trial, run: RunFolder, state: TrainingState, cache: Cache, cancel: Cancel) -> Outcome:
    rows, last = state.rows, state.rows[-1]
    if last["train_mse"] > rows[0]["train_mse"]:
        rise = f"train MSE rose from {rows[0]['train_mse']:.5f} to {last['train_mse']:.5f}"
        return Outcome(trial, rise)
    recipe, record = run.recipe(), run.record()
    network = build(recipe.network.family, recipe.network.settings)
    network.load_state_dict(state.best_network)
    network.eval().requires_grad_(False)
    tests = [MR_TEST] if trial.cohort == "mr" else list(PHANTOM_TESTS)
    quality = quality_of(network, test_images_of(recipe, record, tests, cache, cancel))
    kl = [row.get("validation_kl", row.get("train_kl", 0.0)) for row in rows]
    loss = [row.get("validation_loss", row["train_loss"]) for row in rows]
    then = len(rows) * 2 // 3 - 1 if len(rows) >= 3 else -1
    steps_per_s, share = _pace(run.path / "timing.json")
    return Outcome(
        trial,
        "",
        train_mse=last["train_mse"],
        test_mse=quality.mse,
        test_ms_ssim=quality.ms_ssim,
        kl=kl[-1],
        kl_growth=kl[-1] / kl[then] if kl[then] > 0 else 0.0,
        loss_fell=loss[-1] < loss[then],
        perplexity=_mean_of(last, "perplexity"),
        usage=_mean_of(last, "usage"),
        steps_per_s=steps_per_s,
        computing_share=share,
    )


@dataclasses.dataclass(frozen=True)
class _Timing:
    seconds: dict[str, float]
    steps: int


def _pace(path: Path) -> tuple[float, float]:
    """Steps a second of computing and the share of computing; 0 both where ``timing.json`` is missing or damaged.

    No figure of a model's quality depends on them, so hours of training are not thrown away for it.
    """
    try:
        timing = from_data(_Timing, json.loads(path.read_text(encoding="utf-8")), str(path))
        return timing.steps / timing.seconds["compute"], training_speed.computing_share(timing.seconds)
    except (OSError, ValueError, UserError, KeyError, ZeroDivisionError):
        return 0.0, 0.0


def _mean_of(row: dict[str, float], name: str) -> float:
    """A validation figure of all codebooks, of which there may be several; 0 without any."""
    values = [value for key, value in row.items() if key.rstrip("_0123456789") == f"validation_{name}"]
    return sum(values) / len(values) if values else 0.0
