"""The demonstration model: a small VAE of phantom thoraces, with all that a bundle can have."""

import dataclasses
import functools
from pathlib import Path

import torch

from SlicerVAELib.core.code_prior import CodePriorSettings
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.manifest import Manifest, read_manifest
from SlicerVAELib.core.progress import Cancel, Listener, part_of
from SlicerVAELib.io.discover import discover

from ..data.by_patient import Patients, patients_of_run
from ..data.cache import Cache
from ..evaluation.calibration import CalibrationPlan, calibrate
from ..evaluation.known_facts import read_facts
from ..evaluation.latent_space import describe_latents
from ..export import export
from ..phantom import write_cohort
from ..phantom.cohort import PARAMETERS_FILE
from ..phantom.words import in_words
from ..recipe import load_recipe
from ..training.code_priors import CodePriorTraining
from ..training.fit import fit, resume
from ..training.fit_prior import PriorPlan, fit_prior
from ..training.run_folder import RunFolder

NAME, VERSION = "demonstration-thorax", "1.0.0"
TITLE = "Small variational autoencoder of phantom thoraces with 32 latent dimensions"
RECIPE = "brain_vae"
SETTINGS = (
    "network.settings.filters=[16,32,64,128,256]",
    "latent=32",
    "epochs=36",
    "learning_rate=0.002",
    "schedule=cosine",
    "slice_step_mm=auto",
)
SEED = 0


@dataclasses.dataclass(frozen=True)
class Cohort:
    """Healthy phantoms: how many, and the seed that they follow from."""

    patients: int
    seed: int


TRAINED_ON, CALIBRATED_ON = Cohort(60, 11), Cohort(44, 12)


def make_model(out: Path, work: Path, *, listener: Listener, cancel: Cancel) -> Manifest:
    """Train the demonstration model and write it as the new bundle ``out``; returns its manifest.

    ``work`` keeps cohorts, run and prepared images, so that the same call completes what was interrupted. Takes about
    15 minutes of one processor core. Raises UserError and Cancelled.
    """
    _write(TRAINED_ON, work / "training", part_of(listener, 0.0, 0.05), cancel)
    _write(CALIBRATED_ON, work / "healthy", part_of(listener, 0.05, 0.1), cancel)
    _train(work, part_of(listener, 0.1, 0.85), cancel)
    return complete_model(out, work, part_of(listener, 0.85, 1.0), cancel)


def complete_model(out: Path, work: Path, listener: Listener, cancel: Cancel) -> Manifest:
    """Export the run in ``work`` as the new bundle ``out``, with prior, described latents and calibration."""
    run, cache = work / "run", work / "cache"
    export(run, out, name=NAME, version=VERSION, is_demonstration=True, cache=cache, stored_as=torch.float16)
    patients = functools.partial(_patients, run=run, cache=Cache(cache), cancel=cancel)
    plan = PriorPlan(SEED, "cpu", CodePriorSettings(), CodePriorTraining())
    fit_prior(out, patients, plan, None, listener=part_of(listener, 0.0, 0.3), cancel=cancel)
    known = in_words(read_facts(work / "training" / PARAMETERS_FILE))
    describe_latents(out, patients, known, "cpu", listener=part_of(listener, 0.3, 0.5), cancel=cancel)
    return _calibrate(out, work, part_of(listener, 0.5, 1.0), cancel)


def calibrate_again(out: Path, work: Path, *, listener: Listener, cancel: Cancel) -> Manifest:
    """Calibrate the finished model ``out`` anew, which takes about two minutes, and return its manifest.

    ``work`` is as in ``make_model``. Raises UserError and Cancelled; the model is then as it was.
    """
    _write(CALIBRATED_ON, work / "healthy", part_of(listener, 0.0, 0.5), cancel)
    return _calibrate(out, work, part_of(listener, 0.5, 1.0), cancel)


def _calibrate(out: Path, work: Path, listener: Listener, cancel: Cancel) -> Manifest:
    found = discover(work / "healthy", cancel=cancel)
    calibrate(out, found, CalibrationPlan(), Hardware("cpu"), listener, cancel)
    return read_manifest(out)


def _write(cohort: Cohort, folder: Path, listener: Listener, cancel: Cancel) -> None:
    write_cohort(folder, patients=cohort.patients, seed=cohort.seed, lesion_share=0.0, progress=listener, cancel=cancel)


def _train(work: Path, listener: Listener, cancel: Cancel) -> None:
    run, cache = work / "run", work / "cache"
    if RunFolder(run).exists:
        resume(run, cache=cache, listener=listener, cancel=cancel)
    else:
        recipe = dataclasses.replace(load_recipe(RECIPE, SETTINGS), title=TITLE)
        fit(recipe, work / "training", run, seed=SEED, cache=cache, listener=listener, cancel=cancel)


def _patients(manifest: Manifest, listener: Listener, *, run: Path, cache: Cache, cancel: Cancel) -> Patients:
    return patients_of_run(manifest, run, SEED, cache, listener, cancel)
