"""The objectives of the plain autoencoder and the VQ-VAE, and how a codebook is learned."""

import copy
import math

import lightning_fabric
import pytest
import torch
from torch import multiprocessing
from torch.distributions import Normal
from vector_quantize_pytorch import VectorQuantize

from slicervae.data.batch import Batch, ImagesInMemory
from slicervae.draws import Draws
from slicervae.objectives import Moment, objective_for
from slicervae.objectives.autoencoder import AutoencoderSettings
from slicervae.objectives.codebook_learning import CodebookLearning, CodebookSettings, perplexity
from slicervae.objectives.vqvae import VQVAEObjective, VQVAESettings
from slicervae.recipe import TrainingSettings, load_recipe
from slicervae.training.loop import Training
from SlicerVAELib.core.encoding import CodeLevels, Codes
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.networks.codebook import Codebook, CodeNetwork
from SlicerVAELib.core.progress import Cancel, ignore


def draws(seed=0, part=0, parts=1):
    return Draws(torch.Generator().manual_seed(seed), part, parts)


def moment(seed=0):
    return Moment(0, 100, 0.0, draws(seed))


def batch_of(count=8, seed=1):
    return Batch(torch.rand(count, 1, 64, 64, generator=torch.Generator().manual_seed(seed)))


def network(**settings):
    torch.manual_seed(0)
    return build("table52_vqvae", {"size": 64, "codebook_size": 12, "dimension": 4, **settings})


def codes_of(codebook, rows):
    """Rows (M, D) as the codes of one image of M vectors."""
    return codebook(rows.T[None])


def learnt(codebook, rows, settings=None, seed=0):
    learning = CodebookLearning(codebook, settings or CodebookSettings())
    learning.start(codebook, rows.T[None], draws(seed))
    return learning


class TwoLevels(CodeNetwork):
    """The smallest network with two codebooks, whose finer level sees the codes of the coarser."""

    image_size, channels = 4, 1

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Conv2d(1, 2, 2, stride=2)
        self.decoder = torch.nn.Linear(10, 16)
        self.top, self.bottom = Codebook(3, 2), Codebook(5, 2)

    @property
    def latent(self):
        return Latent("codes", (10,), grids=((1, 1), (2, 2)), codebook_size=5)

    @property
    def codebooks(self):
        return [self.top, self.bottom]

    def encode(self, images):
        fine = self.encoder(images)
        top = self.top(fine.mean((2, 3), keepdim=True))
        return CodeLevels((top, self.bottom(fine - top.mode)))

    def decode(self, latents):
        return torch.sigmoid(self.decoder(latents)).reshape(-1, 1, 4, 4)


def test_the_autoencoders_loss_is_the_negative_log_likelihood():
    plain = build("table52_ae", {"size": 64, "latent": 5}).eval()
    objective = objective_for(plain, AutoencoderSettings(noise="fixed", noise_variance=0.02))
    batch = batch_of()
    terms = objective(batch, moment())
    likelihood = Normal(plain.reconstruct(batch.images), math.sqrt(0.02)).log_prob(batch.images)
    torch.testing.assert_close(terms.loss, -likelihood.flatten(1).sum(dim=1).mean(), rtol=1e-5, atol=1e-2)
    measured = {name: float(value.detach().mean()) for name, value in objective.measure(batch).items()}
    assert objective.judge(measured) == pytest.approx(terms.loss.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("family", "settings", "words"),
    [
        ("table52_vae", AutoencoderSettings(), "plain autoencoder"),
        ("table52_ae", VQVAESettings(), "codebook"),
    ],
)
def test_a_network_of_another_kind_is_refused(family, settings, words):
    with pytest.raises(UserError, match=words):
        objective_for(build(family, {"size": 64}), settings)


@pytest.mark.parametrize("grid", [4, 8])
def test_the_loss_weighs_pixels_and_latents_alike_whatever_the_grid(grid):
    codes = network(grid=grid).eval()
    objective = VQVAEObjective(codes, VQVAESettings(noise="fixed", noise_variance=0.02, commitment=0.25))
    batch = batch_of()
    terms = objective(batch, moment())
    encoding = codes.encode(batch.images)
    likelihood = Normal(codes.decode(encoding.quantised), math.sqrt(0.02)).log_prob(batch.images).mean()
    distance = (encoding.continuous - encoding.quantised).square().mean()
    torch.testing.assert_close(terms.loss / 4096, -likelihood + 0.25 * distance, rtol=1e-5, atol=1e-5)
    summed_distance = distance * 4 * grid**2
    torch.testing.assert_close(terms.parts["commitment"], summed_distance)
    measured = {name: float(value.detach().mean()) for name, value in objective.measure(batch).items()}
    assert objective.judge(measured) == pytest.approx(terms.loss.item(), rel=1e-4)


def test_the_decoders_gradient_passes_straight_through_to_the_encoder():
    codes = network().eval()
    images = batch_of(2).images
    encoding = codes.encode(images)
    encoding.continuous.retain_grad()
    encoding.mode.mul(3.0).sum().backward()
    assert torch.equal(encoding.continuous.grad, torch.full_like(encoding.continuous, 3.0))
    assert torch.equal(encoding.mode.detach(), (encoding.continuous + (encoding.quantised - encoding.continuous)).data)


@pytest.mark.parametrize("how", ["average", "loss"])
def test_the_codebook_is_moved_by_its_average_or_by_the_loss_never_by_both(how):
    codes = network()
    objective = VQVAEObjective(codes, VQVAESettings(codebook=how, restart_after=0))
    objective(batch_of(), moment()).loss.backward()
    started = codes.codebook.vectors.detach().clone()
    trained = [id(parameter) for parameter in objective.parameters_of("all")]
    if how == "average":
        assert id(codes.codebook.vectors) not in trained
        assert codes.codebook.vectors.grad is None
    else:
        assert id(codes.codebook.vectors) in trained
        weight = 4096 / codes.latent.size
        encoding = copy.deepcopy(codes).encode(batch_of().images)
        expected = torch.zeros_like(started)
        rows = encoding.continuous.detach().movedim(1, -1).reshape(-1, 4)
        for row, index in zip(rows, encoding.indices.flatten(), strict=True):
            expected[index] += 2 * weight * (started[index] - row) / 8
        torch.testing.assert_close(codes.codebook.vectors.grad, expected, rtol=1e-3, atol=1e-3)
    objective(batch_of(seed=2), moment())
    objective.after_step(moment())
    assert torch.equal(codes.codebook.vectors, started) == (how == "loss")


def test_one_step_agrees_with_an_independent_implementation():
    torch.manual_seed(7)
    codebook, rows = Codebook(16, 6), torch.randn(400, 6)
    learning = learnt(codebook, rows, CodebookSettings(codebook_average=0.9, restart_after=0))
    oracle = VectorQuantize(dim=6, codebook_size=16, decay=0.9, eps=1e-5, threshold_ema_dead_code=0).train()
    oracle._codebook.embed.copy_(codebook.vectors[None])
    oracle._codebook.embed_avg.copy_(learning.sums[None])
    oracle._codebook.cluster_size.copy_(learning.counts[None])
    for _ in range(3):
        continuous = torch.randn(2, 6, 5, 5)
        codes = codebook(continuous)
        quantised, indices, _ = oracle(continuous.flatten(2).transpose(1, 2))
        assert torch.equal(codes.indices.flatten(1), indices)
        torch.testing.assert_close(codes.quantised.flatten(2).transpose(1, 2), quantised)
        learning.observe(codes, draws())
        learning.update(codebook)
        torch.testing.assert_close(codebook.vectors.data, oracle._codebook.embed[0])
        torch.testing.assert_close(learning.counts, oracle._codebook.cluster_size[0])


def test_the_start_finds_well_separated_clusters():
    generator = torch.Generator().manual_seed(8)
    centres = 50 * torch.randn(6, 3, generator=generator)
    rows = centres.repeat_interleave(40, dim=0) + torch.randn(240, 3, generator=generator)
    codebook = Codebook(24, 3)
    learnt(codebook, rows)
    assert torch.cdist(rows, codebook.vectors.detach()).min(dim=1).values.max() < 5
    # The codes are means of their clusters: another round of k-means changes little.
    indices = codebook.nearest(rows)
    for code in indices.unique():
        assert (rows[indices == code].mean(dim=0) - codebook.vectors[code]).norm() < 1


def test_the_start_makes_do_with_fewer_vectors_than_codes():
    codebook, rows = Codebook(10, 2), torch.tensor([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]])
    learning = learnt(codebook, rows)
    assert torch.cdist(rows, codebook.vectors.detach()).min(dim=1).values.max() == 0
    learning.observe(codes_of(codebook, rows), draws())
    learning.update(codebook)
    assert codebook.vectors.isfinite().all()


@pytest.mark.parametrize(("batch", "steps"), [(200, 10), (4, 20)])
def test_a_dead_code_begins_anew_at_a_vector_of_the_batch(batch, steps):
    """After ten steps of at least as many vectors as codes, or twice as many of half as many vectors."""
    generator = torch.Generator().manual_seed(9)
    rows = torch.randn(200, 3, generator=generator)
    codebook = Codebook(8, 3)
    learning = learnt(codebook, rows)
    with torch.no_grad():
        codebook.vectors[2:4] = 1e3  # where no vector ever comes
        learning.sums[2:4] = learning.counts[2:4, None] * 1e3
    before = codebook.vectors.detach().clone()
    for step in range(steps):
        assert codebook.vectors[2:4].min() > 900
        seen = rows[torch.arange(step * batch, (step + 1) * batch) % len(rows)]
        learning.observe(codes_of(codebook, seen), draws(step))
        learning.update(codebook)
    assert learning.figures()["usage"] == 6 / 8
    distances = torch.cdist(codebook.vectors[2:4].detach(), rows)
    assert distances.min(dim=1).values.max() < 1e-6
    assert not torch.equal(codebook.vectors[2], codebook.vectors[3])
    others = [0, 1, 4, 5, 6, 7]
    assert (codebook.vectors.detach()[others] - before[others]).norm() < 1
    learning.observe(codes_of(codebook, rows), draws())
    learning.update(codebook)
    assert learning.figures()["usage"] == 1


def test_perplexity_and_usage_say_how_many_codes_are_in_use():
    assert float(perplexity(torch.tensor([5.0, 5.0, 5.0, 5.0]))) == pytest.approx(4)
    assert float(perplexity(torch.tensor([7.0, 0.0, 0.0]))) == pytest.approx(1)
    shares = torch.tensor([0.5, 0.25, 0.25])
    assert float(perplexity(40 * shares)) == pytest.approx(2**1.5)

    objective = VQVAEObjective(network().eval(), VQVAESettings())
    objective(batch_of(), moment())
    batches = [batch_of(3, seed=4), batch_of(5, seed=5)]
    with torch.inference_mode():
        indices = [objective.network.encode(batch.images).indices for batch in batches]
        for batch in batches:
            objective.measure(batch)
    counts = torch.bincount(torch.cat([part.flatten() for part in indices]), minlength=12).double()
    shares = counts[counts > 0] / counts.sum()
    summary = objective.summary()
    assert summary["usage"] == pytest.approx(float((counts > 0).double().mean()))
    assert summary["perplexity"] == pytest.approx(math.exp(float(-(shares * shares.log()).sum())))
    assert objective.summary()["usage"] == 0  # it begins anew


def test_a_network_of_two_levels_learns_both_codebooks():
    torch.manual_seed(10)
    objective = objective_for(TwoLevels(), VQVAESettings())
    images = torch.rand(16, 1, 4, 4)
    terms = objective(Batch(images), moment())
    assert {"perplexity_1", "usage_1", "perplexity_2", "usage_2"} <= terms.parts.keys()
    encoding = objective.network.encode(images)
    for level in encoding.levels:  # begun at the vectors' clusters, so that no code is far
        spread = level.continuous - level.continuous.mean(dim=(0, 2, 3), keepdim=True)
        assert (level.continuous - level.quantised).square().mean() < 0.7 * spread.square().mean()
    before = [codebook.vectors.detach().clone() for codebook in objective.network.codebooks]
    objective(Batch(images * 0.5), moment())
    objective.after_step(moment())
    for codebook, old in zip(objective.network.codebooks, before, strict=True):
        assert not torch.equal(codebook.vectors, old)
    objective.measure(Batch(images))
    assert set(objective.summary()) == {"perplexity_1", "usage_1", "perplexity_2", "usage_2"}


def test_parts_of_a_batch_teach_the_codebook_what_the_whole_does():
    rows = torch.randn(64, 3, generator=torch.Generator().manual_seed(11))
    results = []
    for parts in (1, 4):
        torch.manual_seed(12)
        codebook = Codebook(6, 3)
        learning = learnt(codebook, rows)
        with torch.no_grad():
            learning.idle_steps[5] = 1000  # a restart is due
            codebook.vectors[5] = 1e3
        for part, own in enumerate(rows.chunk(parts)):
            learning.observe(codes_of(codebook, own), draws(3, part, parts))
        learning.update(codebook)
        results.append(codebook.vectors.detach())
    torch.testing.assert_close(results[0], results[1])


def learn_in_a_process(rank, count, place, results):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=count)
    results.put((rank, learn_together(rank, count).tolist()))
    torch.distributed.destroy_process_group()


def learn_together(rank, count):
    torch.manual_seed(13)
    codebook, learning = Codebook(6, 3), None
    learning = CodebookLearning(codebook, CodebookSettings(restart_after=1))
    for step in range(4):
        rows = torch.randn(64, 3, generator=torch.Generator().manual_seed(step)).chunk(count)[rank]
        own = draws(step, rank, count)
        if not learning.started:
            learning.start(codebook, rows.T[None], own)
        learning.observe(codes_of(codebook, rows), own)
        learning.update(codebook)
    return codebook.vectors.detach()


def test_two_processes_keep_one_codebook_which_is_that_of_one_process(tmp_path):
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    workers = [
        context.Process(target=learn_in_a_process, args=(rank, 2, tmp_path / "meeting", results)) for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    vectors = dict(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert vectors[0] == vectors[1]
    torch.testing.assert_close(torch.tensor(vectors[0]), learn_together(0, 1), rtol=1e-4, atol=1e-5)


def trained(steps_before_stop=None, **settings):
    """A VQ-VAE after six steps; stopped and resumed from its checkpoint after some of them where asked for."""
    images = ImagesInMemory(batch_of(24, seed=14).images)
    options = TrainingSettings(epochs=2, batch_size=8, learning_rate=1e-3, **settings)
    cancel, saved = Cancel(), []

    def training():
        fabric = lightning_fabric.Fabric(accelerator="cpu", devices=1)
        objective = VQVAEObjective(network(), VQVAESettings())
        return objective, Training(
            objective, options, fabric=fabric, seed=3, save=lambda state: saved.append(copy.deepcopy(state))
        )

    def listener(_progress):
        steps.append(_progress)
        if len(steps) == steps_before_stop:
            cancel.request()

    steps = []
    objective, run = training()
    try:
        state = run.run(images, images, None, listener, cancel)
    except Exception:
        if steps_before_stop is None:
            raise
        objective, run = training()
        state = run.run(images, images, saved[-1], ignore, Cancel())
    return objective, state


def test_a_resumed_run_has_the_codebook_of_one_that_never_stopped():
    (objective, state), (other, resumed) = trained(), trained(steps_before_stop=4)
    assert state.rows == resumed.rows
    assert {"validation_usage", "validation_perplexity", "train_usage", "train_perplexity"} <= state.rows[0].keys()
    for name, value in objective.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name


def test_a_codebook_without_gradient_survives_the_averaging_of_weights():
    objective, state = trained(weight_average=0.9)
    assert state.average["codebook.vectors"].isfinite().all()
    averaged = network()
    averaged.load_state_dict(state.average)
    present, before = objective.network.codebook.vectors, network().codebook.vectors
    assert (averaged.codebook.vectors - present).norm() < (before - present).norm()
    assert isinstance(averaged.encode(batch_of(1).images), Codes)


@pytest.mark.parametrize(
    "name", ["ae50", "vae8192", "svae3x3x9", "svae16x16x32", "vqvae_std", "vqvae_8x8", "vqvae_adpt"]
)
def test_every_recipe_of_the_table_takes_a_step(name):
    recipe = load_recipe(name, ["size=64"])
    torch.manual_seed(0)
    objective = objective_for(build(recipe.network.family, recipe.network.settings), recipe.objective)
    optimizer = torch.optim.Adam(objective.parameters_of("all"), lr=1e-3)
    losses = []
    for _ in range(4):
        optimizer.zero_grad()
        terms = objective(batch_of(4), moment())
        terms.loss.backward()
        optimizer.step()
        objective.after_step(moment())
        losses.append(terms.loss.item())
    assert losses[-1] < losses[0]
