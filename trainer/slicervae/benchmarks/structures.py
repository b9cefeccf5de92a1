"""How well unseen patients' structures come out of 12 latent dimensions, for the three losses, seed by seed.

Source 002 lost the spinal cord with the plain cross-entropy, and diverged more often with the weighted one. Every
finished training is a file of its own, so that the benchmark can be interrupted and goes on where it stopped.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch

from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import Network, build
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Cancel, Listener, part_of
from SlicerVAELib.core.records import from_data, to_data
from SlicerVAELib.io.write import write_json_atomically

from ..objectives import objective_for
from ..objectives.structures import StructureLoss, StructuresSettings
from ..recipe import Recipe, load_recipe
from ..training.loop import Training
from ..training.place import launched
from ..training.run_folder import TrainingState
from .structures_cohort import CohortSettings, make_cohort, read_patients

LOSSES: tuple[StructureLoss, ...] = ("dice-and-log-weighted", "cross-entropy", "weighted-cross-entropy")
TARGETS = {"BODY": 0.9, "Lung_L": 0.9, "Lung_R": 0.9, "SpinalCord": 0.6}
# What makes a training of the recipe short enough for one core; the network, its latents and its objective stay.
CHANGES = (
    "network.settings.size=64",
    "training.epochs=11",
    "training.batch_size=8",
    "training.learning_rate=0.003",
)
BATCH = 32
FIELD_OF_VIEW_MM = 390.0
COHORT_SHARE = 0.1  # of the progress bar


@dataclasses.dataclass(frozen=True)
class Plan:
    """All that the results depend on but the loss and the seed; kept beside them."""

    cohort: CohortSettings
    recipe: Recipe


def standard_plan() -> Plan:
    """The recipe ``rtvae_structures``, small enough for one core, on the thorax of 300 phantoms.

    The field of view is just as wide as the widest of them, about the middle of the body.
    """
    recipe = load_recipe("rtvae_structures", CHANGES)
    size, structures = recipe.network.settings["size"], tuple(recipe.data.structures)
    spacing = FIELD_OF_VIEW_MM / size
    return Plan(
        CohortSettings(Preprocessing(HounsfieldWindow(), size, spacing, "foreground", structures=structures)), recipe
    )


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One training: the Dice coefficient of each test patient's reconstructed masks by structure, empty where it
    ``diverged``, which says why."""

    loss: str
    seed: int
    diverged: str
    seconds: float
    dice: dict[str, list[float]]


def measure(
    plan: Plan, out: Path, seeds: int, baseline_seeds: int, listener: Listener, cancel: Cancel
) -> list[Outcome]:
    """Train with ``seeds`` seeds, the two cross-entropies with ``baseline_seeds``, or those of them that aren't done.

    Raises UserError when ``out`` holds results of another plan, and Cancelled; the same call then goes on.
    """
    _claim(out, plan)
    make_cohort(out / "cohort", plan.cohort, part_of(listener, 0.0, COHORT_SHARE), cancel)
    jobs = [(loss, seed) for loss in LOSSES for seed in range(seeds if loss == LOSSES[0] else baseline_seeds)]
    left = [job for job in jobs if not _file(out, *job).is_file()]
    for number, job in enumerate(left):
        begin, end = (COHORT_SHARE + (1 - COHORT_SHARE) * n / len(left) for n in (number, number + 1))
        outcome = _train(plan, out / "cohort", *job, part_of(listener, begin, end), cancel)
        write_json_atomically(_file(out, *job), outcome)
    return [_read(_file(out, *job)) for job in jobs]


def table(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as a Markdown table: Dice as the mean over test patients, and the worst of them."""
    names = list(TARGETS)
    lines = [
        f"| loss | seed | diverged | {' | '.join(names)} | minutes |",
        f"| --- | --- | --- |{' --- |' * (len(names) + 1)}",
    ]
    for outcome in outcomes:
        cells = [_cell(outcome.dice[name]) if outcome.dice else "–" for name in names]
        diverged = "yes" if outcome.diverged else "no"
        minutes = f"{outcome.seconds / 60:.1f}"
        lines.append(f"| {outcome.loss} | {outcome.seed} | {diverged} | {' | '.join(cells)} | {minutes} |")
    targets = " | ".join(f"at least {least:g}" for least in TARGETS.values())
    met = sum(_is_met(outcome) for outcome in outcomes if outcome.loss == LOSSES[0])
    of = sum(outcome.loss == LOSSES[0] for outcome in outcomes)
    lines.append(f"| target for {LOSSES[0]} | | no | {targets} | met by {met} of {of} |")
    return "\n".join(lines)


def dice_of_patients(
    network: Network, patients: Iterable[torch.Tensor], names: Sequence[str]
) -> dict[str, list[float]]:
    """Dice coefficients of the most probable classes, decoded from the posterior mean, against the truth.

    ``patients`` are the slices (n, C, H, W) of one patient each; a coefficient is over all of them.
    """
    first = network.channels - network.structure_channels
    found: dict[str, list[float]] = {name: [] for name in names}
    network.eval()
    with torch.inference_mode():
        for slices in patients:
            decoded = torch.cat([network.reconstruct(part) for part in slices.split(BATCH)])
            seen, truth = (pixels[:, first:].argmax(dim=1) for pixels in (decoded, slices))
            for number, name in enumerate(names):
                mask, true = seen == number, truth == number
                found[name].append(float(2 * (mask & true).sum() / (mask.sum() + true.sum()).clamp_min(1)))
    return found


def _train(plan: Plan, folder: Path, loss: StructureLoss, seed: int, listener: Listener, cancel: Cancel) -> Outcome:
    recipe, cohort, names = plan.recipe, plan.cohort, plan.recipe.data.structures
    assert isinstance(recipe.objective, StructuresSettings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(recipe.network.family, recipe.network.settings)
    objective = objective_for(network, dataclasses.replace(recipe.objective, structure_loss=loss))
    fabric = launched(Hardware(device="cpu"))
    loop = Training(objective, recipe.training, fabric=fabric, seed=seed, save=_forget)
    first_test = cohort.training + cohort.validation + 1
    training = read_patients(folder, range(1, cohort.training + 1), len(names) + 1)
    validation = read_patients(folder, range(cohort.training + 1, first_test), len(names) + 1)
    began = time.monotonic()
    try:
        state = loop.run(training, validation, None, listener, cancel)
    except UserError as error:
        return Outcome(loss, seed, str(error), time.monotonic() - began, {})
    seconds = time.monotonic() - began
    losses = [row["train_loss"] for row in state.rows]
    diverged = "" if losses[-1] <= losses[0] else f"the loss rose from {losses[0]:.4g} to {losses[-1]:.4g}"
    network.load_state_dict(state.best_network)
    test = [read_patients(folder, [number], len(names) + 1) for number in range(first_test, cohort.patients + 1)]
    slices = (patient.batch(torch.arange(len(patient))).images for patient in test)
    return Outcome(loss, seed, diverged, seconds, dice_of_patients(network, slices, names))


def _forget(state: TrainingState) -> None:
    """Keep no checkpoint: a training takes minutes, and one that was interrupted begins anew."""


def _claim(out: Path, plan: Plan) -> None:
    """Make ``out`` the folder of this plan's results."""
    file = out / "plan.json"
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json_atomically(file, plan)
    elif json.loads(file.read_text(encoding="utf-8")) != json.loads(json.dumps(to_data(plan))):
        raise UserError(f"{out} holds results of other settings; choose another --out.")


def _file(out: Path, loss: str, seed: int) -> Path:
    return out / f"{loss}-{seed}.json"


def _read(file: Path) -> Outcome:
    return from_data(Outcome, json.loads(file.read_text(encoding="utf-8")), str(file))


def _cell(values: Sequence[float]) -> str:
    return f"{statistics.fmean(values):.3f} ({min(values):.3f})"


def _is_met(outcome: Outcome) -> bool:
    return not outcome.diverged and all(
        statistics.fmean(outcome.dice[name]) >= least for name, least in TARGETS.items()
    )
