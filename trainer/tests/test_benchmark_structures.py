"""The structures benchmark on a few coarse phantoms: its cohort, its resuming, and what it counts."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from slicervae.benchmarks import structures
from slicervae.benchmarks.structures import Outcome, dice_of_patients, measure, standard_plan, table
from slicervae.benchmarks.structures_cohort import read_patients
from slicervae.recipe import load_recipe
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore


@pytest.fixture(scope="module")
def plan():
    standard = standard_plan()
    preprocessing = dataclasses.replace(standard.cohort.preprocessing, size=64, spacing_mm=390 / 64)
    cohort = dataclasses.replace(
        standard.cohort,
        preprocessing=preprocessing,
        training=2,
        validation=1,
        test=1,
        phantom_size=64,
        phantom_slices=10,
    )
    changes = ["network.settings.size=64", "network.settings.filters=2", "epochs=2", "batch_size=4"]
    return dataclasses.replace(standard, cohort=cohort, recipe=load_recipe("rtvae_structures", changes))


@pytest.fixture(scope="module")
def done(plan, tmp_path_factory):
    out = tmp_path_factory.mktemp("structures")
    return out, measure(plan, out, 2, 1, ignore, Cancel())


def test_every_slice_of_the_cohort_has_one_class_a_pixel_and_both_lungs(plan, done):
    patients = read_patients(done[0] / "cohort", range(1, 5), 5)
    pixels = patients.batch(torch.arange(len(patients))).images
    assert pixels.shape[1:] == (6, 64, 64)
    assert torch.equal(pixels[:, 1:].sum(dim=1), torch.ones(len(pixels), 64, 64))
    assert set(pixels[:, 1:].unique().tolist()) == {0.0, 1.0}
    assert (pixels[:, 2:4].mean(dim=(2, 3)) >= plan.cohort.lung_share).all()
    assert 0 <= pixels[:, 0].min() < pixels[:, 0].max() <= 1
    assert pixels[:, 0][pixels[:, 2] == 1].mean() < 0.2 < pixels[:, 0][pixels[:, 1] == 1].mean()  # air and tissue


def test_trains_every_loss_with_its_seeds(done):
    outcomes = done[1]
    assert [(outcome.loss, outcome.seed) for outcome in outcomes] == [
        ("dice-and-log-weighted", 0),
        ("dice-and-log-weighted", 1),
        ("cross-entropy", 0),
        ("weighted-cross-entropy", 0),
    ]
    for outcome in outcomes:
        assert set(outcome.dice) == {"BODY", "Lung_L", "Lung_R", "SpinalCord"}
        assert all(len(values) == 1 and 0 <= values[0] <= 1 for values in outcome.dice.values())
    assert outcomes[0].dice != outcomes[1].dice


def test_a_rerun_trains_only_what_is_missing(plan, done, monkeypatch):
    out, outcomes = done
    missing = out / "cross-entropy-0.json"
    missing.unlink()
    trained = []
    original = structures._train

    def watched(plan, folder, loss, seed, listener, cancel):
        trained.append((loss, seed))
        return original(plan, folder, loss, seed, listener, cancel)

    monkeypatch.setattr(structures, "_train", watched)
    again = measure(plan, out, 2, 1, ignore, Cancel())
    assert trained == [("cross-entropy", 0)]
    assert [outcome.dice for outcome in again] == [outcome.dice for outcome in outcomes]  # same seed, same result
    other = dataclasses.replace(plan, cohort=dataclasses.replace(plan.cohort, seed=1))
    with pytest.raises(UserError, match="other settings"):
        measure(other, out, 2, 1, ignore, Cancel())
    assert json.loads(missing.read_text())["loss"] == "cross-entropy"


def test_a_training_whose_loss_is_no_number_has_diverged(plan, done, tmp_path):
    (tmp_path / "cohort").symlink_to(done[0] / "cohort")
    wild = dataclasses.replace(plan.recipe.training, learning_rate=10.0)
    outcomes = measure(
        dataclasses.replace(plan, recipe=dataclasses.replace(plan.recipe, training=wild)),
        tmp_path,
        1,
        0,
        ignore,
        Cancel(),
    )
    assert outcomes[0].diverged
    assert "| yes |" in table(outcomes)
    assert "met by 0 of 1" in table(outcomes)


def test_dice_is_over_all_slices_of_a_patient():
    network = build("conv_pool_structures", {"size": 64, "structures": 2, "filters": 2})
    truth = torch.randint(0, 3, (5, 64, 64), generator=torch.Generator().manual_seed(0))
    seen = torch.where(torch.rand(5, 64, 64, generator=torch.Generator().manual_seed(1)) < 0.3, 2, truth)
    channels = [torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float() for classes in (truth, seen)]
    images = [torch.cat([torch.zeros(5, 1, 64, 64), classes], dim=1) for classes in channels]
    network.reconstruct = lambda part: images[1][: len(part)]
    found = dice_of_patients(network, [images[0]], ["a", "b"])
    for number, name in enumerate("ab"):
        mask, true = seen.numpy() == number, truth.numpy() == number
        assert found[name] == [pytest.approx(2 * np.sum(mask & true) / (mask.sum() + true.sum()))]


def test_the_table_names_the_worst_patient_and_whether_the_target_is_met():
    good = {"BODY": [0.95, 0.93], "Lung_L": [0.92, 0.9], "Lung_R": [0.92, 0.9], "SpinalCord": [0.7, 0.55]}
    bad = {**good, "SpinalCord": [0.6, 0.5]}
    text = table([Outcome("dice-and-log-weighted", seed, "", 60.0, dice) for seed, dice in enumerate((good, bad))])
    rows = text.splitlines()
    assert "0.625 (0.550)" in rows[2]
    assert "0.550 (0.500)" in rows[3]
    assert "met by 1 of 2" in rows[-1]
