"""The learned prior over codes is a probability distribution, and what is drawn from it follows it."""

import itertools

import pytest
import torch

from SlicerVAELib.core import code_prior, code_prior_sampling
from SlicerVAELib.core.code_prior import CodePrior, CodePriorSettings
from SlicerVAELib.core.code_prior_sampling import draw_codes
from SlicerVAELib.core.errors import Cancelled
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.progress import Cancel, Meter, ignore


def prior_over(*grids: tuple[int, int], codes: int, seed: int = 0) -> CodePrior:
    """A prior with random weights, large enough to be far from uniform."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = CodePrior(Latent("codes", (1,), grids=grids, codebook_size=codes), CodePriorSettings(8, 3, 0.2))
        for parameter in made.parameters():
            parameter.data.mul_(2.0)
    return made.double().eval().requires_grad_(False)


def drawn(prior: CodePrior, count: int, *, seed: int = 0, temperature: float = 1.0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return draw_codes(prior, count, generator, temperature, Meter(ignore, "drawing", count), Cancel())


def all_configurations(prior: CodePrior, codes: int) -> list[torch.Tensor]:
    """The codes of every level of all pictures there can be."""
    sizes = [rows * columns for rows, columns in prior.grids]
    every = torch.tensor(list(itertools.product(range(codes), repeat=sum(sizes))))
    return [part.unflatten(1, grid) for part, grid in zip(every.split(sizes, dim=1), prior.grids, strict=True)]


@pytest.fixture(params=["one grid", "two grids", "two stages of a grid"])
def small(request, monkeypatch) -> tuple[CodePrior, int]:
    if request.param == "one grid":
        return prior_over((2, 2), codes=4), 4
    if request.param == "two grids":
        return prior_over((1, 2), (2, 4), codes=2), 2
    monkeypatch.setattr(code_prior, "SMALLEST_SIDE", 1)
    return prior_over((2, 2), codes=4), 4


def test_probabilities_of_all_pictures_sum_to_one(small):
    prior, codes = small
    nats = prior.surprise(*all_configurations(prior, codes)).sum(dim=(1, 2))
    assert float(torch.exp(-nats).sum()) == pytest.approx(1.0, abs=1e-6)


def test_pictures_are_drawn_as_often_as_they_are_probable(small, monkeypatch):
    monkeypatch.setattr(code_prior_sampling, "TOGETHER", 4000)
    prior, codes = small
    count = 4000
    probabilities = torch.exp(-prior.surprise(*all_configurations(prior, codes)).sum(dim=(1, 2)))
    flat = torch.cat([level.flatten(1) for level in drawn(prior, count)], dim=1)
    numbers = (flat * codes ** torch.arange(flat.shape[1] - 1, -1, -1)).sum(dim=1)
    counts = torch.bincount(numbers, minlength=len(probabilities))
    deviations = (counts - count * probabilities) / (count * probabilities * (1 - probabilities)).sqrt()
    likely = count * probabilities > 10
    assert likely.sum() > 10
    assert float(deviations[likely].abs().max()) < 4.5
    assert int(counts[~likely].sum()) < 2 * count * float(probabilities[~likely].sum()) + 20


def test_a_code_is_judged_by_what_was_read_before_it_alone():
    prior = prior_over((8, 8), (16, 16), codes=5)
    generator = torch.Generator().manual_seed(1)
    levels = [torch.randint(5, (1, *grid), generator=generator) for grid in prior.grids]
    for stage in prior.stages:
        before = stage.nats(levels)
        codes = stage.codes_of(levels)
        for row, column in ((0, 0), (3, 4), (7, 7)):
            if stage.given()[row, column]:
                continue
            kept = codes[0, row, column].clone()
            codes[0, row, column] = (kept + 1) % 5
            changed = (stage.nats(levels) != before)[0].flatten()
            codes[0, row, column] = kept
            place = row * stage.grid[1] + column
            assert changed[place]
            assert not changed[:place].any()


def test_what_was_kept_while_drawing_gives_the_same_codes_as_the_whole_network():
    prior = prior_over((8, 8), (16, 16), codes=7)
    levels = drawn(prior, 3, temperature=0.0)
    for stage in prior.stages:
        codes = stage.codes_of(levels)
        most_probable = stage.network(codes, stage.known(levels)).argmax(dim=1)
        assert bool(((most_probable == codes) | stage.given()).all())
        assert len(codes.unique()) > 1


def test_a_picture_depends_on_the_seed_and_its_number_alone():
    prior = prior_over((8, 8), codes=6).float()
    few, many = drawn(prior, 2, seed=3)[0], drawn(prior, 40, seed=3)[0]
    assert torch.equal(few, many[:2])
    assert not torch.equal(few, drawn(prior, 2, seed=4)[0])


def test_a_low_temperature_draws_more_probable_pictures():
    prior = prior_over((4, 4), codes=6)
    cold, warm = (float(prior.surprise(*drawn(prior, 50, temperature=t)).mean()) for t in (0.3, 1.0))
    assert cold < warm


def test_drawing_can_be_cancelled():
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        draw_codes(prior_over((8, 8), codes=4), 1, torch.Generator(), 1.0, Meter(ignore, "", 1), cancel)
