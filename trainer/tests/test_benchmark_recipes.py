"""The recipes benchmark on a few slices: that it goes on, what it refuses, what it reads off, and its timing."""

import contextlib
import dataclasses
import json
import shutil
import signal
import threading

import nibabel
import numpy as np
import pytest
import torch

from slicervae import console
from slicervae.benchmarks import training_speed
from slicervae.benchmarks.budgets import FULL_SEEDS, FULL_STEPS, SMALL_STEPS
from slicervae.benchmarks.outcomes import Outcome, report, targets
from slicervae.benchmarks.recipes import MR_TEST, SPEED_CHANGES, finished, run_trials, speed
from slicervae.benchmarks.trials import COMPARED, Trial, smallest_size, trials_of
from slicervae.cli import main
from slicervae.data.batch import ImagesInMemory
from slicervae.data.cache import Cache
from slicervae.data.preparation import decide, images_of
from slicervae.objectives import Moment, objective_for
from slicervae.recipe import load_recipe
from slicervae.training.run_folder import RunFolder
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.networks import build, families
from SlicerVAELib.core.networks.registry import Family
from SlicerVAELib.core.networks.table52 import Table52Settings, Table52VAE
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.io.write import write_json_atomically

FIRST, SECOND = TRIALS = [Trial("vqvae_adpt", "mr", 64, 2), Trial("vae50", "mr", 64, 2)]


@pytest.fixture(scope="module")
def cohort(mr_cohort, tmp_path_factory):
    """Folders named as in open_ms, with the brightest voxels of one patient in the place of its lesions."""
    data = tmp_path_factory.mktemp("open-ms")
    places = ["longitudinal/patient01", "longitudinal/patient03", "longitudinal/patient04", MR_TEST]
    for source, place in zip(sorted(mr_cohort.iterdir()), places, strict=True):
        shutil.copytree(source, data / place)
    image = nibabel.load(data / places[0] / "FLAIR.nii.gz")
    values = np.asarray(image.dataobj)
    lesions = (values > np.percentile(values, 99.5)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(lesions, image.affine), data / places[0] / "lesions.nii.gz")
    return data


@pytest.fixture(scope="module")
def interrupted(cohort, tmp_path_factory):
    """Stopped after the first step of the second trial."""
    out, cancel = tmp_path_factory.mktemp("trials"), Cancel()

    def stop(progress):
        if progress.stage.startswith(f"{SECOND.name}: epoch 1 of 2"):
            cancel.request()

    with pytest.raises(Cancelled):
        run_trials(TRIALS, cohort, out, stop, cancel)
    return out


@pytest.fixture(scope="module")
def gone_on(cohort, interrupted, tmp_path_factory):
    """The same benchmark, called again."""
    out = tmp_path_factory.mktemp("gone-on") / "trials"
    shutil.copytree(interrupted, out)
    before = _times(out / FIRST.name)
    outcomes = run_trials(TRIALS, cohort, out, ignore, Cancel())
    assert _times(out / FIRST.name) == before
    return out, outcomes


@pytest.fixture
def copied(gone_on, tmp_path):
    """A finished benchmark to spoil."""
    shutil.copytree(gone_on[0], tmp_path / "trials")
    return tmp_path / "trials"


def _times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def _quality(outcome):
    return dataclasses.replace(outcome, steps_per_s=0.0, computing_share=0.0)


def test_an_interrupted_benchmark_goes_on_as_if_it_had_never_stopped(cohort, interrupted, gone_on, tmp_path):
    assert finished(TRIALS, interrupted) == gone_on[1][:1]
    assert RunFolder(interrupted / SECOND.name / "run").load().step == 1
    assert RunFolder(gone_on[0] / SECOND.name / "run").load().step == 2
    straight = run_trials([SECOND], cohort, tmp_path, ignore, Cancel())
    assert _quality(straight[0]) == _quality(gone_on[1][1])


def test_a_finished_benchmark_trains_nothing_and_gives_the_same(cohort, gone_on):
    out, outcomes = gone_on
    before = _times(out)
    assert run_trials(TRIALS, cohort, out, ignore, Cancel()) == outcomes
    assert _times(out) == before


def test_an_outcome_tells_quality_and_speed(gone_on):
    codes, gaussian = gone_on[1]
    for outcome in (codes, gaussian):
        assert outcome.divergence == ""
        assert 0 < outcome.test_mse < 0.2
        assert 0 < outcome.train_mse < 0.2
        assert -1 <= outcome.test_ms_ssim <= 1
        assert outcome.steps_per_s > 0
        assert 0 < outcome.computing_share < 1
    assert codes.kl == 0 < codes.usage <= 1
    assert codes.perplexity >= 1
    assert gaussian.kl > 0 == gaussian.usage


@pytest.mark.parametrize("text", [None, "{", '{"seconds": {}, "steps": 2}', "[]"])
def test_a_lost_timing_costs_no_training(cohort, gone_on, copied, text):
    timing = copied / SECOND.name / "run" / "timing.json"
    timing.unlink()
    if text is not None:
        timing.write_text(text)
    (copied / SECOND.name / "outcome.json").unlink()
    outcome = run_trials([SECOND], cohort, copied, ignore, Cancel())[0]
    assert outcome == _quality(gone_on[1][1])
    assert outcome.line.replace(" ", "").endswith(")||||")  # neither codes nor steps a second nor share


@pytest.mark.parametrize("name", ["run.json", "recipe.yaml", "checkpoint.pt"])
def test_a_damaged_run_is_named_and_left_as_it_is(cohort, copied, name):
    (copied / SECOND.name / "outcome.json").unlink()
    run = copied / SECOND.name / "run"
    (run / name).write_text("[")
    before = _times(run)
    with pytest.raises(UserError) as refused:
        run_trials(TRIALS, cohort, copied, ignore, Cancel())
    assert str(refused.value) == f"The run {run} is damaged; remove that folder, and it is trained anew."
    assert _times(run) == before


def test_a_run_that_lost_its_record_is_damaged_too(cohort, copied):
    (copied / SECOND.name / "outcome.json").unlink()
    (copied / SECOND.name / "run" / "run.json").unlink()
    with pytest.raises(UserError, match="is damaged; remove"):
        run_trials([SECOND], cohort, copied, ignore, Cancel())


def test_a_damaged_outcome_is_named(cohort, copied):
    (copied / FIRST.name / "outcome.json").write_text("{}")
    with pytest.raises(UserError, match=rf"{FIRST.name}.outcome\.json is damaged; remove it"):
        run_trials(TRIALS, cohort, copied, ignore, Cancel())


def test_trials_of_another_length_are_not_taken_for_this_one(cohort, copied):
    longer = dataclasses.replace(SECOND, steps=3)
    with pytest.raises(UserError, match="of 2 steps, not 3; remove it"):
        run_trials([longer], cohort, copied, ignore, Cancel())
    (copied / SECOND.name / "outcome.json").unlink()
    with pytest.raises(UserError, match="has other settings; remove"):
        run_trials([longer], cohort, copied, ignore, Cancel())


def test_a_training_that_ends_without_numbers_has_diverged(cohort, interrupted, tmp_path):
    out = tmp_path / "trials"
    shutil.copytree(interrupted, out)
    run = RunFolder(out / SECOND.name / "run")
    state = run.load()
    name = next(iter(state.objective))
    state.objective[name] = torch.full_like(state.objective[name], torch.nan)
    run.save(state)
    outcome = run_trials([SECOND], cohort, out, ignore, Cancel())[0]
    assert outcome.divergence.endswith("is no longer a number at step 2")
    assert json.loads((out / SECOND.name / "outcome.json").read_text())["divergence"] == outcome.divergence


def test_a_training_whose_error_rose_has_diverged(cohort, interrupted, tmp_path):
    out = tmp_path / "trials"
    shutil.copytree(interrupted, out)
    run = RunFolder(out / SECOND.name / "run")
    state = run.load()
    for row in state.rows:
        row["train_mse"] = 1e-5
    run.save(state)
    assert run_trials([SECOND], cohort, out, ignore, Cancel())[0].divergence.startswith("train MSE rose from 0.00001")


def _outcome(recipe, mse, seed=0, **more):
    return Outcome(Trial(recipe, "mr", 64, 2, seed), "", train_mse=mse, test_mse=mse, **more)


def test_targets_compare_means_over_seeds():
    outcomes = [
        _outcome("vae50", 0.010, kl=9.0, kl_growth=1.2),
        _outcome("vae50", 0.014, seed=1, kl=9.0, kl_growth=1.6),
        _outcome("vqvae_adpt", 0.003, usage=0.95, perplexity=12.0),
        _outcome("svae16x16x32", 0.015, kl=90.0, kl_growth=1.9, loss_fell=True),
        Outcome(Trial("vae8192", "mr", 64, 2), "the kl term is no longer a number at step 7"),
    ]
    rows = {figure.what: figure for figure in targets(outcomes)}
    better = rows["brain MR (FLAIR): test MSE of vqvae_adpt to vae50"]
    worse = rows["brain MR (FLAIR): test MSE of svae16x16x32 to vae50"]
    assert (better.value, better.target, better.is_met) == (pytest.approx(0.25), 0.4, True)
    assert (worse.value, worse.target, worse.is_met) == (pytest.approx(1.25), 1.0, False)
    assert rows["brain MR (FLAIR): codebook usage of vqvae_adpt"].is_met
    assert not any("vae8192" in what for what in rows)
    assert (rows["trainings that diverged"].value, rows["trainings that diverged"].is_met) == (1, False)
    growth = rows["largest growth of KL in the last third of a training, of those whose loss did not fall in it"]
    assert (growth.value, growth.is_met) == (1.6, False)


def test_codes_have_no_growth_of_kl():
    assert [figure.what for figure in targets([_outcome("vqvae_8x8", 0.1, perplexity=3.0, usage=0.5)])] == [
        "trainings that diverged"
    ]


def test_a_report_has_a_row_for_each_outcome_and_names_what_is_left_out():
    outcomes = [
        _outcome("vae50", 0.01, kl=20.0, kl_growth=1.25, steps_per_s=1.5, computing_share=0.971),
        Outcome(Trial("ae50", "mr", 64, 2), "the mse term is no longer a number at step 7"),
    ]
    text = report(outcomes, left_out=[Trial("vae50", "phantom", 64, 2)])
    header, *rows = [line for line in text.splitlines() if line.startswith("| recipe") or "| 64 |" in line]
    assert rows[0] == "| vae50 | 64 | 2 | 0 | 0.01000 | 0.01000 | 0.000 | 20.0 (×1.25) |  | 1.50 | 97 % |"
    assert "| the mse term is no longer a number at step 7 |" in rows[1]
    assert {row.count("|") for row in rows} == {header.count("|")} == {12}
    assert "### Brain MR (FLAIR)" in text
    assert "### Chest CT" not in text
    assert "- phantom-64-vae50-seed0" in text


@pytest.mark.parametrize(
    ("recipe", "size"), [("vae50", 64), ("rtvae3d", 64), ("vqvae_8x8", 64), ("vqvae_adpt", 64), ("svae3x3x9", 64)]
)
def test_the_smallest_size_is_one_that_the_network_has(recipe, size):
    network = load_recipe(recipe).network
    assert smallest_size(network.family, network.settings) == size


def test_a_network_for_large_images_has_a_large_smallest_size(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class LargeSettings(Table52Settings):
        size: int = dataclasses.field(default=256, metadata={"choices": (256, 512)})

    monkeypatch.setitem(families, "large", Family(LargeSettings, Table52VAE))
    assert smallest_size("large", {"latent": 2}) == 256
    with pytest.raises(UserError, match="'latent' is 0; allowed is 1 to"):
        smallest_size("large", {"latent": 0})


def test_small_has_every_recipe_that_the_cohort_has_data_for():
    trials = trials_of("small", ["rtvae_structures", "vae50", "rtvae2d"])
    assert next(trial.name for trial in trials if trial.cohort == "mr") == "mr-64-vae50-seed0"
    assert {trial.recipe for trial in trials if trial.cohort == "phantom"} == {"rtvae_structures", "vae50", "rtvae2d"}
    assert {trial.variant for trial in trials if trial.recipe == "rtvae2d"} == {"", "with-prior-images"}
    with pytest.raises(UserError, match="No trial of rtvae_structures is made on the cohort 'mr'"):
        trials_of("small", ["rtvae_structures"], "mr")


def test_full_has_the_compared_recipes_with_every_seed():
    trials = trials_of("full")
    assert len(trials) == len(set(trials)) == 2 * FULL_SEEDS * len(COMPARED)
    assert {trial.steps for trial in trials} == {FULL_STEPS}
    assert {trial.recipe for trial in trials[: len(COMPARED)]} == set(COMPARED)  # the first seed of each comes first
    with pytest.raises(UserError, match="The full budget has no trial of 'ae50'; it compares vae50"):
        trials_of("full", ["vae50", "ae50"])
    with pytest.raises(UserError, match="did you mean 'vae50'"):
        trials_of("full", ["vae05"])


def _words(cohort, out, *more):
    words = ["benchmark", "recipes", "--data", str(cohort), "--out", str(out), "--recipe", "vae50"]
    return [*words, "--cohort", "mr", *more]


def test_no_runs_leave_the_timing_out(cohort, tmp_path, capsys):
    trial = Trial("vae50", "mr", 64, SMALL_STEPS)
    (tmp_path / trial.name).mkdir()
    write_json_atomically(tmp_path / trial.name / "outcome.json", dataclasses.replace(_outcome("", 0.01), trial=trial))
    assert main(_words(cohort, tmp_path, "--runs", "0")) == 0
    text = capsys.readouterr().out
    assert f"| vae50 | 64 | {SMALL_STEPS} | 0 | 0.01000 |" in text
    assert "medians" not in text
    assert "PyTorch" not in text
    assert speed(cohort, tmp_path, 0, ignore, Cancel()) == []


@pytest.mark.parametrize(("kind", "runs", "least"), [("recipes", "-1", 0), ("recipes", "x", 0), ("engine", "0", 1)])
def test_a_wrong_number_of_runs_is_refused(cohort, tmp_path, capsys, kind, runs, least):
    words = _words(cohort, tmp_path) if kind == "recipes" else ["benchmark", "engine"]
    with pytest.raises(SystemExit):
        main([*words, f"--runs={runs}"])
    assert f"{runs} is not a whole number of at least {least}" in capsys.readouterr().err


def test_ctrl_c_tells_what_there_is_and_what_is_left_out(cohort, tmp_path, capsys, monkeypatch):
    @contextlib.contextmanager
    def interrupting(title):
        yield lambda progress: signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(console, "progress_bar", interrupting)
    monkeypatch.setattr(signal, "default_int_handler", lambda number, frame: None)
    assert main(_words(cohort, tmp_path)) == 130
    shown = capsys.readouterr()
    assert "### Left out\n\n- mr-64-vae50-seed0\n" in shown.out
    assert "the same command goes on" in shown.err


class Watched:
    """Images that remember which threads asked for them."""

    def __init__(self, images):
        self.images, self.threads = images, set()

    def __len__(self):
        return len(self.images)

    def batch(self, indices):
        self.threads.add(threading.current_thread().name)
        return self.images.batch(indices)


def test_the_timing_trains_from_the_cache_with_logs_and_checkpoints(cohort, tmp_path, monkeypatch):
    changes = ["size=64", "batch_size=6", "validation_share=0", "data.include=longitudinal/patient01/FLAIR*"]
    recipe = load_recipe("vae50", changes)
    network, cache = build(recipe.network.family, recipe.network.settings), Cache(None)
    record = decide(recipe, cohort, network, 0, cache, ignore, Cancel())
    images = Watched(images_of(recipe, record, cache, ignore, Cancel())[0])
    saved = []
    original = RunFolder.save

    def watched(folder, state):
        original(folder, state)
        saved.append({path.name.partition(".")[0] for path in folder.path.rglob("*")})

    monkeypatch.setattr(RunFolder, "save", watched)
    share, ratio, step = training_speed.measure(recipe, images, 1, tmp_path, ignore, Cancel(), least_s=0.0)
    assert {"checkpoint", "metrics", "events"} <= saved[-1]
    assert any(name.startswith("batches") for name in images.threads)
    assert 0 < share.value < 100
    assert (share.target, share.sense) == (90, "at least")
    assert (ratio.target, ratio.sense) == (1.05, "at most")
    assert ratio.value > 0 < step.value
    assert list(tmp_path.iterdir()) == []


def test_the_timing_is_of_vae50_at_128_pixels_in_batches_of_32_without_validation():
    recipe = load_recipe("vae50", SPEED_CHANGES)
    assert (recipe.network.settings["size"], recipe.training.batch_size) == (128, 32)
    assert recipe.training.validation_share == 0
    assert recipe.data.exclude_patients == [MR_TEST]


def test_the_timing_can_be_cancelled(tmp_path):
    recipe, cancel = load_recipe("vae50", ["size=64", "batch_size=4"]), Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        training_speed.measure(recipe, ImagesInMemory(torch.rand(8, 1, 64, 64)), 1, tmp_path, ignore, cancel)


def test_the_bare_loop_minimises_what_the_engine_does():
    recipe = load_recipe("vae50", ["size=64"])
    torch.manual_seed(0)
    network = build(recipe.network.family, recipe.network.settings).train()
    images = torch.rand(4, 1, 64, 64)

    class SameNoise:
        def normal(self, shape):
            torch.manual_seed(1)
            return torch.randn(shape)

    torch.manual_seed(1)
    bare = training_speed.negative_evidence_lower_bound(network, images).detach()
    objective, moment = objective_for(network, recipe.objective), Moment(0, 1, 0.0, SameNoise())
    engine = objective(ImagesInMemory(images), moment).loss.detach()
    assert float(bare) == pytest.approx(float(engine), rel=1e-5)


def test_validation_counts_neither_as_computing_nor_as_time():
    seconds = {"data": 2.0, "compute": 60.0, "validation": 20.0, "saving": 3.0, "logging": 1.0, "whole": 90.0}
    assert training_speed.computing_share(seconds) == pytest.approx(60 / 70)
