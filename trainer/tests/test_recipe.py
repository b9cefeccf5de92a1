import json

import pytest

from slicervae.cli import main
from slicervae.recipe import load_recipe, parse_recipe, recipe_names
from SlicerVAELib.core.errors import UserError


def test_recipes_lists_the_published_sizes(capsys):
    assert main(["recipes", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["vae50"]["encoder_parameters"] == 2_556_060
    assert rows["vae50"]["decoder_parameters"] == 1_304_889
    assert rows["vae50"]["latent_size"] == 50


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_survives_being_written_and_read(name):
    recipe = load_recipe(name)
    assert parse_recipe(recipe.to_yaml(), "the copy") == recipe


def test_settings_change_by_path_by_short_name_and_by_pattern():
    recipe = load_recipe("vae50", ["size=128", "training.batch_size=8", "include=*FLAIR*", "noise=fixed"])
    assert recipe.network.settings["size"] == 128
    assert recipe.training.batch_size == 8
    assert recipe.data.include == ["*FLAIR*"]
    assert recipe.objective.noise == "fixed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["batch_sze=8"], "did you mean 'batch_size'"),
        (["batch_size"], "has no value"),
        (["batch_size=1"], "allowed is 2 to"),
        (["epochs=ten"], "a whole number"),
        (["noise=wild"], "'fixed', 'optimal'"),
        (["learning_rate=.nan"], "finite"),
    ],
)
def test_a_wrong_setting_is_told_with_the_way_out(changes, words):
    with pytest.raises(UserError) as failure:
        load_recipe("vae50", changes)
    assert words in str(failure.value)


def test_an_unknown_recipe_is_told_with_the_nearest_one(capsys):
    assert main(["fit", "vae5", "--data", ".", "--out", "nowhere"]) == 1
    assert "did you mean 'vae50'" in capsys.readouterr().err
