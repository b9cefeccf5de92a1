import csv
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch

from slicervae.cli import main
from slicervae.data.cache import Cache
from slicervae.data.preparation import images_of
from slicervae.recipe import load_recipe
from slicervae.training.fit import fit, resume
from slicervae.training.run_folder import RunFolder
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel, ignore

RECIPE = ("size=64", "latent=8", "batch_size=8", "epochs=3")
LONGER = (*RECIPE[:-1], "epochs=6")  # long enough to be stopped before the end


def weights_of(run):
    state = RunFolder(run).load()
    return {**state.network, **{f"best.{name}": value for name, value in state.best_network.items()}}, state


def assert_same_run(run, other):
    (weights, state), (others, other_state) = weights_of(run), weights_of(other)
    assert state.rows == other_state.rows
    assert weights.keys() == others.keys()
    for name, value in weights.items():
        assert torch.equal(value, others[name]), name


@pytest.fixture(scope="module")
def uninterrupted(mr_cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    fit(load_recipe("vae50", RECIPE), mr_cohort, run, seed=7, listener=ignore, cancel=Cancel())
    return run


@pytest.fixture(scope="module")
def longer(mr_cohort, tmp_path_factory):
    run = tmp_path_factory.mktemp("longer") / "run"
    fit(load_recipe("vae50", LONGER), mr_cohort, run, seed=7, listener=ignore, cancel=Cancel())
    return run


def test_training_learns_and_writes_what_it_learned(small_run):
    rows = list(csv.DictReader((small_run / "metrics.csv").read_text().splitlines()))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert float(rows[-1]["train_mse"]) < 0.7 * float(rows[0]["train_mse"])
    assert float(rows[-1]["validation_mse"]) > 0
    record = RunFolder(small_run).record()
    assert len(record.validation_patients) == 1
    assert not set(record.validation_patients) & set(record.training_patients)


def test_training_begins_with_images_as_dark_as_the_data(mr_cohort, tmp_path):
    """A sigmoid's grey, 0.5 everywhere, is further from these images than black is."""
    recipe = load_recipe("vae50", ("size=64", "latent=8", "batch_size=8", "epochs=1", "learning_rate=1e-7"))
    row = fit(recipe, mr_cohort, tmp_path / "run", seed=7, listener=ignore, cancel=Cancel()).rows[0]
    record = RunFolder(tmp_path / "run").record()
    images, _ = images_of(recipe, record, Cache(None), ignore, Cancel())
    pixels = images.batch(torch.arange(len(images))).images
    assert row["train_mse"] < 1.5 * float(pixels.var())
    assert float((pixels - 0.5).square().mean()) > 2 * float(pixels.var())


def test_the_same_seed_gives_the_same_run_and_another_seed_another(mr_cohort, uninterrupted, tmp_path):
    recipe = load_recipe("vae50", RECIPE)
    fit(recipe, mr_cohort, tmp_path / "again", seed=7, listener=ignore, cancel=Cancel())
    assert_same_run(uninterrupted, tmp_path / "again")
    fit(recipe, mr_cohort, tmp_path / "other", seed=8, listener=ignore, cancel=Cancel())
    assert RunFolder(tmp_path / "other").load().rows != RunFolder(uninterrupted).load().rows


@pytest.mark.parametrize("stop_at", [1, 4])
def test_a_cancelled_run_goes_on_bit_for_bit(mr_cohort, uninterrupted, tmp_path, stop_at):
    cancel, steps = Cancel(), []

    def stop(progress):
        if "mean squared error" in progress.stage:
            steps.append(progress)
            if len(steps) == stop_at:
                cancel.request()

    with pytest.raises(Cancelled):
        fit(load_recipe("vae50", RECIPE), mr_cohort, tmp_path / "run", seed=7, listener=stop, cancel=cancel)
    assert RunFolder(tmp_path / "run").load().step == stop_at
    resume(tmp_path / "run", listener=ignore, cancel=Cancel())
    assert_same_run(uninterrupted, tmp_path / "run")


# A Ctrl-C, and SIGKILL while the first images are prepared, within the first epoch, and after a checkpoint.
@pytest.mark.parametrize(
    ("how", "sign"),
    [
        (signal.SIGINT, "metrics.csv"),
        (signal.SIGKILL, "run.json"),
        (signal.SIGKILL, "tensorboard"),
        (signal.SIGKILL, "metrics.csv"),
    ],
)
def test_a_stopped_process_can_be_resumed_from_the_command_line(mr_cohort, longer, tmp_path, how, sign):
    run = tmp_path / "run"
    words = [sys.executable, "-m", "slicervae", "fit", "vae50", "--out", str(run)]
    settings = [word for change in LONGER for word in ("--set", change)]
    process = subprocess.Popen(
        [*words, "--data", str(mr_cohort), "--seed", "7", *settings],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    deadline = time.monotonic() + 120
    while not (run / sign).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(how)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    if how is signal.SIGINT:
        assert "--resume" in error
        assert not list(run.glob("*.tmp"))
    assert main([*words[3:], "--resume"]) == 0
    assert_same_run(longer, run)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(uninterrupted, tmp_path):
    shutil.copytree(uninterrupted, tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    state = folder.load()
    name = next(iter(state.objective))
    state.objective[name] = torch.full_like(state.objective[name], torch.nan)
    folder.save(state)
    with pytest.raises(UserError, match=r"step \d+: the \w+ term is no longer a number"):
        resume(tmp_path / "run", epochs=5, listener=ignore, cancel=Cancel())
    assert folder.load().step == state.step


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["fit", "vae50", "--out", "RUN"], "needs --data"),
        (["fit", "vae50", "--data", "EMPTY", "--out", "RUN"], "EMPTY"),
        (["fit", "vae50", "--data", "COHORT", "--out", "DONE"], "holds a run already"),
        (["fit", "vae50", "--data", "COHORT", "--out", "FULL"], "is not empty"),
        (["fit", "vae50", "--data", "EMPTY", "--out", "FULL"], "is not empty"),
        (["fit", "vae50", "--data", "EMPTY", "--out", "FULL/thesis.txt/run"], "can't be written"),
        (["fit", "vae50", "--data", "EMPTY", "--out", "RUN", "--set", "accumulate=64"], "smaller training.accumulate"),
        (["fit", "vae50", "--resume", "--out", "RUN"], "no run to resume"),
        (["fit", "ae50", "--resume", "--out", "DONE"], "is a run of vae50, not of ae50"),
        (["fit", "vae50", "--resume", "--out", "DONE", "--max-epochs", "9", "--precision", "bfloat16"], "keeps to it"),
        (["fit", "vae50", "--resume", "--out", "DONE", "--set", "size=128"], "keeps its settings"),
        (["fit", "vae50", "--data", "COHORT", "--out", "RUN", "--device", "cuda:9"], "no device 'cuda:9'"),
        (["fit", "vae50", "--data", "COHORT", "--out", "RUN", "--set", "size=100"], "64, 128, 256"),
        (["fit", "vae50", "--data", "COHORT", "--out", "RUN", "--set", "exclude_patients=patient1"], "did you mean"),
        (["export", "EMPTY", "--out", "BUNDLE"], "not a run"),
        (["export", "DONE", "--out", "FULL"], "exists already"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(words, sentence, mr_cohort, small_run, tmp_path, capsys):
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FULL").mkdir()
    (tmp_path / "FULL" / "thesis.txt").write_text("precious")
    places = {"COHORT": str(mr_cohort), "DONE": str(small_run)}
    real = [places.get(word, str(tmp_path / word) if word[:4].isupper() else word) for word in words]
    before = sorted(small_run.iterdir())
    assert main(real) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert sentence in error
    assert error.startswith("slicervae: ")
    assert not (tmp_path / "RUN").exists()
    assert not (tmp_path / "BUNDLE").exists()
    assert [p.name for p in (tmp_path / "FULL").iterdir()] == ["thesis.txt"]
    assert sorted(small_run.iterdir()) == before


def test_a_full_disk_ends_training_in_one_sentence(mr_cohort, uninterrupted, tmp_path):
    # A limit on file sizes makes the checkpoint's write fail as a full disk does; the images are in the cache already.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from slicervae.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    settings = [word for change in RECIPE for word in ("--set", change)]
    words = ["fit", "vae50", "--data", str(mr_cohort), "--out", str(tmp_path / "run"), "--seed", "7", *settings]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "checkpoint.pt" in done.stderr.splitlines()[-1]
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == [
        "metrics.csv",
        "recipe.yaml",
        "run.json",
        "tensorboard",
        "timing.json",
    ]
