"""What the settings of training do: averaged weights, images of the prior, early stopping, logs, precision."""

import copy
import functools

import pytest
import torch

from slicervae.data.batch import Batch, ImagesInMemory, Joined
from slicervae.draws import Draws
from slicervae.recipe import load_recipe
from slicervae.training.fit import fit, resume
from slicervae.training.loop import Training
from slicervae.training.place import launched
from slicervae.training.prior_images import draw_prior_images, reason_against
from slicervae.training.run_folder import RunFolder
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore

SMALL = ("size=64", "latent=8", "batch_size=8", "epochs=3")
PRIOR = ("augment_by_prior=5", "augment_by_prior_epochs=1")
EVERYTHING = (*SMALL, *PRIOR, "accumulate=2", "weight_average=0.9", "clip_norm=100")


def trained(cohort, run, *settings, **options):
    recipe = load_recipe("vae50", settings)
    fit(recipe, cohort, run, seed=7, listener=options.pop("listener", ignore), cancel=Cancel(), **options)
    return RunFolder(run).load()


HEAD = ("intensity=auto", "lower=auto", "upper=auto")  # of which source 002 had none
DROPOUT = ("size=64", "filters=2", "latent=3", "keep=0.5", "batch_size=8", "epochs=3", *HEAD)


@pytest.mark.parametrize(("name", "settings"), [("vae50", EVERYTHING), ("rtvae2d", DROPOUT)])
def test_a_run_with_every_option_goes_on_bit_for_bit(name, settings, mr_cohort, tmp_path):
    recipe = load_recipe(name, settings)
    fit(recipe, mr_cohort, tmp_path / "whole", seed=7, listener=ignore, cancel=Cancel())
    whole = RunFolder(tmp_path / "whole").load()
    cancel = Cancel()

    def stop(progress):
        if progress.stage.startswith("epoch 2"):  # which has images of the prior
            cancel.request()

    torch.manual_seed(99)  # whatever torch's own generator holds here, it has no part in the run
    before = torch.get_rng_state()
    with pytest.raises(Cancelled):
        fit(recipe, mr_cohort, tmp_path / "run", seed=7, listener=stop, cancel=cancel)
    assert torch.equal(torch.get_rng_state(), before)
    stopped = RunFolder(tmp_path / "run").load()
    assert stopped.position > 0
    assert (stopped.prior_images is not None) == (name == "vae50")
    resume(tmp_path / "run", listener=ignore, cancel=Cancel())
    other = RunFolder(tmp_path / "run").load()
    assert whole.rows == other.rows
    for kind in ("objective", "average", "best_network"):
        weights, others = getattr(whole, kind), getattr(other, kind)
        assert all(torch.equal(value, others[key]) for key, value in weights.items())


def test_averaged_weights_lie_between_and_are_what_is_kept(mr_cohort, tmp_path):
    state = trained(mr_cohort, tmp_path / "run", *SMALL, "weight_average=0.9")
    name = "encoder.0.weight"
    assert not torch.equal(state.average[name], state.network[name])
    torch.testing.assert_close(state.average[name], state.network[name], atol=0.1, rtol=0)
    assert torch.equal(state.average["encoder.1.running_mean"], state.network["encoder.1.running_mean"])
    if state.best_epoch == 3:
        assert torch.equal(state.best_network[name], state.average[name])


def test_training_ends_when_validation_has_not_improved(mr_cohort, tmp_path):
    # With a learning rate of almost nothing the validation loss only moves with the batch norms' statistics.
    settings = ("size=64", "latent=8", "batch_size=8", "epochs=30", "patience=2", "learning_rate=1e-9")
    state = trained(mr_cohort, tmp_path / "run", *settings)
    assert state.finished
    assert state.epoch == state.best_epoch + 2 < 30
    best = min(state.rows, key=lambda row: row["validation_loss"])
    assert best["epoch"] == state.best_epoch
    assert best["validation_loss"] == state.best_loss


def test_tensorboard_shows_each_epoch_once_also_after_a_resume(mr_cohort, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    state = trained(mr_cohort, tmp_path / "run", *SMALL)
    resume(tmp_path / "run", epochs=4, listener=ignore, cancel=Cancel())
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    logged = events.Scalars("mse/validation")
    assert [event.step for event in logged] == [1, 2, 3, 4]
    assert logged[0].value == pytest.approx(state.rows[0]["validation_mse"])
    assert events.Images("originals over reconstructions")


def test_images_of_the_prior_are_decoded_draws_of_training_posteriors():
    torch.manual_seed(0)
    network = build("table52_vae", {"size": 64, "latent": 4}).train()
    images = ImagesInMemory(torch.rand(3, 1, 64, 64))
    before = copy.deepcopy(network.state_dict())
    drawn = draw_prior_images(network, images, 6, torch.Generator().manual_seed(1), torch.device("cpu"))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    again = draw_prior_images(network, images, 6, torch.Generator().manual_seed(1), torch.device("cpu"))
    assert torch.equal(drawn, again)
    generator = torch.Generator().manual_seed(1)
    picked = torch.randint(3, (6,), generator=generator)
    noise = torch.randn(6, 4, generator=generator)
    posterior = network.eval().encode(images.images[picked])
    expected = network.decode(posterior.mean + torch.exp(posterior.log_variance / 2) * noise)
    torch.testing.assert_close(drawn, expected, atol=1e-5, rtol=1e-4)


def test_structures_of_the_prior_are_one_class_a_pixel_the_most_probable():
    torch.manual_seed(0)
    network = build("conv_pool_structures", {"size": 64, "structures": 2, "filters": 2, "latent": 3})
    images = ImagesInMemory(torch.rand(3, 4, 64, 64))
    drawn = draw_prior_images(network, images, 5, torch.Generator().manual_seed(1), torch.device("cpu"))
    generator = torch.Generator().manual_seed(1)
    picked, noise = torch.randint(3, (5,), generator=generator), torch.randn(5, 3, generator=generator)
    with torch.inference_mode():
        decoded = network.eval().decode(network.encode(images.images[picked]).draw(noise))
    torch.testing.assert_close(drawn[:, :1], decoded[:, :1], atol=1e-5, rtol=1e-4)
    assert set(drawn[:, 1:].unique().tolist()) == {0.0, 1.0}
    assert torch.equal(drawn[:, 1:].sum(dim=1), torch.ones(5, 64, 64))
    assert (drawn[:, 1:].argmax(dim=1) == decoded[:, 1:].argmax(dim=1)).float().mean() > 0.99


@pytest.mark.parametrize(
    ("family", "refused"), [("table52_vqvae", True), ("table52_ae", True), ("table52_vae", False), ("chvae", False)]
)
def test_only_posteriors_can_be_drawn_from_for_the_prior(family, refused):
    reason = reason_against(build(family, {"size": 64}))
    assert ("Gaussian" in reason) == refused
    assert bool(reason) == refused


def test_joined_images_keep_their_order_and_masks():
    first = ImagesInMemory(torch.arange(3.0)[:, None, None, None], torch.zeros(3, 1, 1, 1))
    second = ImagesInMemory(torch.arange(10.0, 12.0)[:, None, None, None])
    batch = Joined(first, second).batch(torch.tensor([4, 1, 3, 0]))
    assert batch.images.flatten().tolist() == [11, 1, 10, 0]
    assert batch.kept.flatten().tolist() == [1, 0, 1, 0]


def test_parts_draw_the_rows_of_the_whole_batch():
    whole = Draws(torch.Generator().manual_seed(4))
    normal, uniform = whole.normal((6, 2)), whole.uniform((6,), 2.0, 3.0)
    for part in range(3):
        draws = Draws(torch.Generator().manual_seed(4), part, 3)
        assert torch.equal(draws.normal((2, 2)), normal[2 * part : 2 * part + 2])
        assert torch.equal(draws.uniform((2,), 2.0, 3.0), uniform[2 * part : 2 * part + 2])


def test_bfloat16_trains_to_about_the_same_loss(mr_cohort, tmp_path):
    full = trained(mr_cohort, tmp_path / "full", *SMALL)
    half = trained(mr_cohort, tmp_path / "half", *SMALL, hardware=Hardware("cpu", "bfloat16"))
    assert half.rows != full.rows
    assert half.rows[-1]["train_mse"] == pytest.approx(full.rows[-1]["train_mse"], rel=0.2)
    assert all(value.dtype is not torch.bfloat16 for value in half.network.values())


def test_float16_on_a_cpu_is_refused(mr_cohort, tmp_path):
    with pytest.raises(UserError, match="float16 trains on CUDA"):
        trained(mr_cohort, tmp_path / "run", *SMALL, hardware=Hardware("cpu", "float16"))
    assert not (tmp_path / "run").exists()


def test_a_batch_that_can_not_be_cut_is_refused(mr_cohort, tmp_path):
    with pytest.raises(UserError, match=r"8 images .* 16 part"):
        trained(mr_cohort, tmp_path / "run", *SMALL, "accumulate=16")
    assert not (tmp_path / "run").exists()


def test_running_out_of_memory_names_the_way_out(mr_cohort, tmp_path, monkeypatch):
    def fails(self, *arguments):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(Training, "_step", fails)
    with pytest.raises(UserError, match="accumulate=2"):
        trained(mr_cohort, tmp_path / "run", *SMALL)


def test_a_compiled_network_trains_as_the_plain_one(mr_cohort, tmp_path, monkeypatch):
    # Everything is traced and differentiated as always; only the C++ back end, which takes minutes, is left out.
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    settings = ("size=64", "latent=8", "batch_size=8", "epochs=1")
    plain = trained(mr_cohort, tmp_path / "plain", *settings)
    compiled = trained(mr_cohort, tmp_path / "compiled", *settings, compiled=True)
    assert compiled.network.keys() == plain.network.keys()
    assert compiled.rows[0] == pytest.approx(plain.rows[0], rel=1e-2)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > graphs


def test_a_place_is_the_device_asked_for():
    fabric = launched(Hardware("cpu"))
    assert fabric.device == torch.device("cpu")
    assert fabric.world_size == 1
    assert isinstance(fabric.to_device(Batch(torch.zeros(1, 1, 2, 2))), Batch)
