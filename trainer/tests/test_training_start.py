"""A run that begins with the weights of another one."""

import shutil

import pytest
import torch

from slicervae.cli import main
from slicervae.training.fit import fit, resume
from slicervae.training.run_folder import RunFolder
from slicervae.training.start import recipe_on
from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.progress import Cancel, ignore

GAME = ["epochs=2", "warm_up_epochs=1", "batch_size=8"]


def begin(start, out, changes, name="soft_introvae50", listener=ignore, cancel=None):
    recipe = recipe_on(start, name, changes)
    data = RunFolder(start).record().data
    return fit(recipe, data, out, start=start, seed=3, listener=listener, cancel=cancel or Cancel())


def test_what_was_learned_is_there_at_the_first_step(small_run, tmp_path):
    start, now = (
        RunFolder(small_run).load(),
        begin(small_run, tmp_path / "run", ["epochs=1", "learning_rate=1e-9"], "vae50"),
    )
    assert now.rows[0]["train_mse"] < 0.7 * start.rows[0]["train_mse"]
    for name, value in now.network.items():
        if name.endswith(("weight", "bias")):  # batch norm's running statistics move at any learning rate
            torch.testing.assert_close(value, start.best_network[name], atol=1e-6, rtol=0)


def test_patients_images_and_network_are_those_of_the_first_run(small_run, tmp_path):
    run = tmp_path / "run"
    settings = [word for change in GAME for word in ("--set", change)]
    assert main(["fit", "soft_introvae50", "--start-from", str(small_run), "--out", str(run), *settings]) == 0
    before, after = RunFolder(small_run), RunFolder(run)
    assert after.recipe().name == "soft_introvae50"
    for section in ("network", "preprocessing", "data"):
        assert getattr(after.recipe(), section) == getattr(before.recipe(), section)
    for field in ("data", "preprocessing", "training_patients", "validation_patients", "contents"):
        assert getattr(after.record(), field) == getattr(before.record(), field)
    assert after.record().started_from == str(small_run)
    assert main(["export", str(run), "--out", str(tmp_path / "bundle")]) == 0


def test_a_run_that_died_before_its_first_checkpoint_begins_there_again(small_run, tmp_path):
    begin(small_run, tmp_path / "whole", GAME)

    def stop(progress):
        if "mean squared error" in progress.stage:
            cancel.request()

    cancel = Cancel()
    with pytest.raises(Cancelled):
        begin(small_run, tmp_path / "died", GAME, listener=stop, cancel=cancel)
    (tmp_path / "died" / "checkpoint.pt").unlink()
    resume(tmp_path / "died", listener=ignore, cancel=Cancel())
    whole, died = (RunFolder(tmp_path / name).load() for name in ("whole", "died"))
    assert whole.rows == died.rows
    for name, value in whole.network.items():
        assert torch.equal(value, died.network[name]), name


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["soft_introvae50", "--start-from", "EMPTY"], "is not a run of 'slicervae fit'"),
        (["soft_introvae50", "--start-from", "BEGUN"], "has no finished epoch yet"),
        (["soft_introvae50", "--start-from", "DONE", "--data", "EMPTY"], "leave out --data or --start-from"),
        (["soft_introvae50", "--start-from", "DONE", "--resume"], "has begun already"),
        (["vqvae_std", "--start-from", "DONE"], "whose network is of the family table52_vae"),
        (["vae50", "--start-from", "DONE", "--set", "size=128"], "leave out --set for network"),
        (["vae50", "--start-from", "DONE", "--set", "exclude_patients=[patient01]"], "leave out --set for data"),
        (["vae50", "--start-from", "DONE", "--set", "validation_share=0.5"], "leave out --set validation_share"),
    ],
)
def test_what_contradicts_the_first_run_is_one_sentence(words, sentence, small_run, tmp_path, capsys):
    (tmp_path / "EMPTY").mkdir()
    shutil.copytree(small_run, tmp_path / "BEGUN", ignore=shutil.ignore_patterns("checkpoint.pt"))
    places = {"DONE": str(small_run), "EMPTY": str(tmp_path / "EMPTY"), "BEGUN": str(tmp_path / "BEGUN")}
    assert main(["fit", *(places.get(word, word) for word in words), "--out", str(tmp_path / "RUN")]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("slicervae: ")
    assert sentence in error
    assert not (tmp_path / "RUN").exists()
