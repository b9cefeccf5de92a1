"""Two processes on gloo learn from a batch what one process learns from the whole of it."""

import pytest
import torch
from torch import distributed, multiprocessing

from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.objectives import Moment
from slicervae.objectives.structures import StructuresObjective, StructuresSettings
from slicervae.objectives.vae import KLSettings, penalised_kl
from SlicerVAELib.core.encoding import DiagonalGaussian
from SlicerVAELib.core.networks import build

ROWS, LATENTS, FLOOR = 8, 5, 0.4


def work(rank, place, results):
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{place}", rank=rank, world_size=2)
    results.put((rank, {"free bits": free_bits(rank, 2), "shares": shares(rank, 2)}))
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """What either process found."""
    context = multiprocessing.get_context("spawn")
    results, place = context.Queue(), tmp_path_factory.mktemp("gloo") / "meeting"
    workers = [context.Process(target=work, args=(rank, place, results)) for rank in range(2)]
    for worker in workers:
        worker.start()
    found = dict(results.get(timeout=120) for _ in workers)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    return found


def posteriors():
    """Of the first two latents, each process's half is on another side of the floor than the whole."""
    mean = torch.zeros(ROWS, LATENTS)
    mean[: ROWS // 2, 0] = 1.2
    mean[ROWS // 2 :, 1] = 0.95
    mean[:, 2:] = torch.tensor([1.5, 0.1, 0.92])
    return mean


def free_bits(rank, count):
    """The penalty of this process's rows, and its gradient, as plain numbers."""
    mean = posteriors().chunk(count)[rank].clone().requires_grad_()
    penalty = penalised_kl(DiagonalGaussian(mean, torch.zeros_like(mean)), KLSettings(free_bits=FLOOR))
    penalty.backward()
    return penalty.item(), mean.grad.tolist()


def images():
    classes = torch.zeros(ROWS, 64, 64, dtype=torch.long)
    for number, image in enumerate(classes):
        image[:number, :number] = 1
        image[40 : 40 + 2 * number] = 2
    structures = torch.nn.functional.one_hot(classes, 3).movedim(-1, 1).float()
    return torch.cat([torch.full((ROWS, 1, 64, 64), 0.5), structures], dim=1)


def shares(rank, count, parts=2):
    """The classes' shares after each of two steps, in as many parts of every process, and every weight used."""
    torch.manual_seed(0)
    network = build("conv_pool_structures", {"size": 64, "structures": 2, "filters": 2, "latent": 2})
    objective, found = StructuresObjective(network, StructuresSettings()), []
    for batch in (images(), images().flip(0).flip(2)[: ROWS - 4]):
        own = batch.chunk(count * parts)[rank * parts : (rank + 1) * parts]
        for part, rows in enumerate(own):
            moment = Moment(0, 2, 0.0, Draws(torch.Generator().manual_seed(1), rank * parts + part, count * parts))
            objective(Batch(rows), moment)
            found.append(objective._weights(64**2).tolist())
        objective.after_step(moment)
        found.append(objective.shares.tolist())
    return found


def test_free_bits_are_of_the_mean_over_all_processes(of_two):
    value, gradient = free_bits(0, 1)
    both = [of_two[rank]["free bits"] for rank in range(2)]
    assert sum(penalty for penalty, _ in both) / 2 == pytest.approx(value)
    # Averaged over processes, a mean over half of the rows has the gradient of the mean over all.
    apart = torch.tensor([row for _, rows in both for row in rows]) / 2
    torch.testing.assert_close(apart, torch.tensor(gradient))
    assert float(apart[: ROWS // 2, 0].abs().min()) == 0  # 0.36 nats over all, 0.72 in the first process


def test_shares_of_the_classes_move_once_a_step_for_all_parts_and_processes(of_two):
    whole, parts = shares(0, 1, parts=1), shares(0, 1, parts=2)
    for found in (parts, of_two[0]["shares"], of_two[1]["shares"]):
        for step in range(2):
            *weights, after = found[3 * step : 3 * step + 3]
            weight, expected = whole[2 * step : 2 * step + 2]
            assert all(used == pytest.approx(weight) for used in weights)
            assert after == pytest.approx(expected)
