"""What a run does with numbers that are none, with another recipe's checkpoint, and with another end."""

import csv
import json

import pytest
import torch

from slicervae.data.batch import ImagesInMemory
from slicervae.objectives import Terms
from slicervae.objectives.introvae import IntroVAEObjective, IntroVAESettings
from slicervae.objectives.vae import VAEObjective, VAESettings
from slicervae.recipe import TrainingSettings, load_recipe
from slicervae.training.fit import _compile, fit, resume
from slicervae.training.loop import Training
from slicervae.training.place import launched
from slicervae.training.run_folder import RunFolder
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore
from tests.small_vae import small_vae

RECIPE = ("size=64", "filters=2", "latent=3", "batch_size=8", "intensity=auto", "lower=auto", "upper=auto")
IMAGES = ImagesInMemory(torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
NONE = ImagesInMemory(torch.zeros(0, 1, 8, 8))


class SpoiledGradient(torch.autograd.Function):
    """The value as it is, with a gradient that is no number."""

    @staticmethod
    def forward(context, value):
        return value.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * torch.nan


def loop_of(objective, saved, **settings):
    training = TrainingSettings(batch_size=8, learning_rate=1e-3, **settings)
    return Training(objective, training, fabric=launched(Hardware(device="cpu")), seed=0, save=saved.append)


@pytest.mark.parametrize(("at", "validation"), [(5, IMAGES), (5, NONE), (2, IMAGES)])
def test_a_gradient_that_is_no_number_reaches_no_checkpoint(at, validation):
    """Step 5 is the last of the second epoch and of the run: no later term could tell."""

    class Spoiled(VAEObjective):
        def forward(self, batch, moment, phase="all"):
            terms = super().forward(batch, moment, phase)
            return Terms(SpoiledGradient.apply(terms.loss), terms.parts) if moment.step == at else terms

    saved = []
    objective = Spoiled(small_vae().float(), VAESettings())
    with pytest.raises(UserError, match=rf"step {at + 1}: the weight \S+ is no longer a number"):
        loop_of(objective, saved, epochs=2).run(IMAGES, validation, None, ignore, Cancel())
    for state in saved:
        assert all(value.isfinite().all() for value in state.best_network.values())


def test_the_term_that_spoiled_a_step_is_named_and_not_those_after_it():
    class Spoiled(IntroVAEObjective):
        def encoder_terms(self, seen, moment):
            terms = super().encoder_terms(seen, moment)
            return Terms(terms.loss * torch.nan, {**terms.parts, "kl": terms.parts["kl"] * torch.nan})

    objective = Spoiled(small_vae().float(), IntroVAESettings(warm_up_epochs=0))
    with pytest.raises(UserError, match="step 1: the kl term"):
        loop_of(objective, [], epochs=1).run(IMAGES, NONE, None, ignore, Cancel())


def test_without_validation_the_last_weights_are_kept():
    """In a warm-up of the KL divergence the training loss is at its lowest at the beginning."""
    state = loop_of(VAEObjective(small_vae().float(), VAESettings(kl_warm_up_epochs=4)), [], epochs=4).run(
        IMAGES, NONE, None, ignore, Cancel()
    )
    assert state.best_epoch == 4
    assert all(torch.equal(value, state.network[name]) for name, value in state.best_network.items())


def test_a_checkpoint_of_another_recipe_is_refused_before_time_is_spent(mr_cohort, tmp_path):
    run = tmp_path / "run"
    fit(load_recipe("rtvae2d", (*RECIPE, "epochs=1")), mr_cohort, run, listener=ignore, cancel=Cancel())
    file = run / "recipe.yaml"
    file.write_text(file.read_text().replace("latent: 3", "latent: 4"))
    stages = []
    with pytest.raises(UserError, match=r"recipe\.yaml"):
        resume(run, epochs=2, listener=lambda progress: stages.append(progress.stage), cancel=Cancel())
    assert not stages


def stopped_in(stage, run, **options):
    """Resume the run and cancel it as soon as a stage of that name begins."""
    cancel = Cancel()

    def stop(progress):
        if progress.stage.startswith(stage):
            cancel.request()

    with pytest.raises(Cancelled):
        resume(run, listener=stop, cancel=cancel, **options)


def test_another_end_is_kept_and_needs_no_step_when_it_is_behind(mr_cohort, tmp_path):
    run = tmp_path / "run"
    fit(load_recipe("rtvae2d", (*RECIPE, "epochs=1")), mr_cohort, run, listener=ignore, cancel=Cancel())
    stopped_in("epoch 2", run, epochs=3)
    assert RunFolder(run).load().epoch < 3
    assert resume(run, listener=ignore, cancel=Cancel()).epoch == 3
    assert resume(run, epochs=2, listener=ignore, cancel=Cancel()).epoch == 3
    assert len(list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))) == 3


def test_a_run_in_half_precision_goes_on_in_half_precision(mr_cohort, tmp_path):
    half = Hardware(device="cpu", precision="bfloat16")
    for name in ("whole", "run"):
        recipe = load_recipe("rtvae2d", (*RECIPE, "epochs=1"))
        fit(recipe, mr_cohort, tmp_path / name, hardware=half, listener=ignore, cancel=Cancel())
    resume(tmp_path / "whole", epochs=2, hardware=half, listener=ignore, cancel=Cancel())
    stopped_in("epoch 2", tmp_path / "run", epochs=2)
    resume(tmp_path / "run", listener=ignore, cancel=Cancel())
    assert RunFolder(tmp_path / "run").load().rows == RunFolder(tmp_path / "whole").load().rows


def test_half_precision_does_not_round_the_images():
    class Seen(VAEObjective):
        def forward(self, batch, moment, phase="all"):
            seen.append((batch.images.dtype, self.network.encode(batch.images).mean.dtype, batch.images.clone()))
            return super().forward(batch, moment, phase)

    seen = []
    objective = Seen(small_vae().float(), VAESettings())
    fabric = launched(Hardware(device="cpu", precision="bfloat16"))
    settings = TrainingSettings(batch_size=24, epochs=1)
    loop = Training(objective, settings, fabric=fabric, seed=0, save=lambda state: None)
    loop.run(IMAGES, NONE, None, ignore, Cancel())
    dtype, computed, images = seen[0]
    assert (dtype, computed) == (torch.float32, torch.bfloat16)
    assert torch.equal(images.sort(dim=0).values, IMAGES.batch(torch.arange(24)).images.sort(dim=0).values)


def test_what_is_called_of_a_container_is_compiled():
    network = build("vqvae2", {"size": 64})
    _compile(network.encoder)
    assert all(child._compiled_call_impl is not None for child in network.encoder.values())


def test_a_part_of_one_image_is_refused_where_batch_norm_can_not_be_computed(mr_cohort, tmp_path):
    recipe = load_recipe("brain_vqvae", ("size=64", "batch_size=8", "accumulate=8", "epochs=1", *RECIPE[4:]))
    with pytest.raises(UserError, match="Batch norm"):
        fit(recipe, mr_cohort, tmp_path / "run", listener=ignore, cancel=Cancel())


def test_timings_add_up_over_resumed_processes(mr_cohort, tmp_path):
    run = tmp_path / "run"
    fit(load_recipe("rtvae2d", (*RECIPE, "epochs=1")), mr_cohort, run, listener=ignore, cancel=Cancel())
    first = json.loads((run / "timing.json").read_text())
    resume(run, epochs=2, listener=ignore, cancel=Cancel())
    second = json.loads((run / "timing.json").read_text())
    assert second["steps"] == 2 * first["steps"] > 0
    for part in ("compute", "whole"):
        assert second["seconds"][part] > first["seconds"][part] > 0
    assert second["seconds"]["whole"] >= second["seconds"]["compute"]
