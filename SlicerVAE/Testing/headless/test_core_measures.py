import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from torch.distributions import Normal, kl_divergence

from SlicerVAELib.core.encoding import CodeLevels, Codes, DiagonalGaussian, HierarchicalGaussian, Point
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.measures import MEASURES, measure_named

GAUSSIAN = Latent("gaussian", (4, 3))
CODES = Latent("codes", (3, 4, 4), grids=((4, 4),), codebook_size=11)
POINT = Latent("point", (7,))


def posteriors(count, seed):
    generator = torch.Generator().manual_seed(seed)
    mean = torch.randn(count, 4, 3, generator=generator)
    return DiagonalGaussian(mean, 3 * torch.randn(count, 4, 3, generator=generator) - 2)


def codes(count, seed):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))
    indices = torch.randint(int(torch.randint(2, 11, (1,), generator=generator)), (count, 4, 4), generator=generator)
    continuous = torch.randn(count, 3, 4, 4, generator=generator)
    return Codes(continuous, vectors[indices].movedim(-1, 1), indices)


def pairs(first, second):
    """D(first n‖second m) by torch.distributions, pair by pair."""
    table = torch.empty(len(first.mean), len(second.mean), dtype=torch.float64)
    for n in range(len(first.mean)):
        for m in range(len(second.mean)):
            one = Normal(first.mean[n].double(), (first.log_variance[n].double() / 2).exp())
            other = Normal(second.mean[m].double(), (second.log_variance[m].double() / 2).exp())
            table[n, m] = kl_divergence(one, other).sum()
    return table


def test_kl_is_that_of_torch_distributions_in_either_direction():
    queries, stored = posteriors(5, 1), posteriors(7, 2)
    forward, backward = pairs(queries, stored), pairs(stored, queries).T
    for name, expected in (("kl", forward), ("reverse-kl", backward), ("symmetric-kl", forward + backward)):
        found = measure_named(name, GAUSSIAN).between(queries, stored)
        assert found.dtype == torch.float64
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-10)
    assert not torch.allclose(forward, backward)


def test_the_distance_from_itself_is_zero_and_smaller_than_from_others():
    same = {"kl": posteriors(6, 3), "code-histogram": codes(6, 3), "pre-quantisation": codes(6, 3)}
    same["euclidean"] = Point(torch.randn(6, 7, generator=torch.Generator().manual_seed(3)))
    for name, encoding in same.items():
        table = MEASURES[name].between(encoding, encoding)
        assert float(table.diagonal().abs().max()) < 1e-9
        assert float(table.min()) >= 0
        assert (table + torch.eye(6) * 1e9 > 1e-6).all()


def test_a_hierarchy_is_judged_by_its_first_level():
    first, other = posteriors(3, 1), posteriors(4, 2)
    flat = [DiagonalGaussian(p.mean.flatten(1), p.log_variance.flatten(1)) for p in (first, other)]

    def unused(latents):
        raise AssertionError("z₂ has no part in it")

    measure = measure_named("kl", Latent("gaussian", (24,)))
    found = measure.between(*(HierarchicalGaussian(posterior, unused) for posterior in flat))
    torch.testing.assert_close(found, pairs(first, other), rtol=1e-12, atol=1e-10)


def test_code_histograms_are_compared_by_jensen_and_shannon_in_bits():
    queries, stored = codes(4, 1), codes(5, 2)
    found = measure_named("code-histogram", CODES).between(queries, stored)
    for n in range(4):
        for m in range(5):
            shares = [
                np.bincount(indices.flatten().numpy(), minlength=11) / 16
                for indices in (queries.indices[n], stored.indices[m])
            ]
            assert float(found[n, m]) == pytest.approx(jensenshannon(*shares, base=2) ** 2, abs=1e-12)


def test_images_without_a_common_code_are_one_bit_apart():
    vectors = torch.zeros(1, 3, 2, 2)
    one, other = (Codes(vectors, vectors, torch.full((1, 2, 2), code)) for code in (0, 3))
    assert float(MEASURES["code-histogram"].between(one, other)) == pytest.approx(1.0)


def test_vectors_before_quantisation_are_compared_place_by_place():
    queries, stored = codes(4, 1), codes(5, 2)
    found = measure_named("pre-quantisation", CODES).between(queries, stored)
    difference = queries.continuous[:, None].double() - stored.continuous[None].double()
    torch.testing.assert_close(found, difference.square().flatten(2).mean(dim=2).sqrt())


def test_levels_of_codes_are_taken_together():
    coarse, fine = (codes(3, 1), codes(3, 2)), (codes(3, 4), codes(3, 5))
    queries, stored = (CodeLevels(levels) for levels in zip(coarse, fine, strict=True))
    between = MEASURES["code-histogram"].between
    torch.testing.assert_close(between(queries, stored), (between(*coarse) + between(*fine)) / 2)
    squares = [MEASURES["pre-quantisation"].between(*level) ** 2 for level in (coarse, fine)]
    found = MEASURES["pre-quantisation"].between(queries, stored)
    torch.testing.assert_close(found, ((squares[0] + squares[1]) / 2).sqrt())


def test_points_are_compared_by_their_distance():
    generator = torch.Generator().manual_seed(0)
    here, there = torch.randn(3, 7, generator=generator), torch.randn(4, 7, generator=generator)
    found = measure_named("euclidean", POINT).between(Point(here), Point(there))
    expected = (here[:, None].double() - there[None].double()).norm(dim=2)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", ["kl", "reverse-kl", "symmetric-kl"])
def test_codes_have_no_kl_but_two_other_measures(name):
    with pytest.raises(UserError) as refusal:
        measure_named(name, CODES)
    words = str(refusal.value)
    assert "no posterior" in words and "'code-histogram' or 'pre-quantisation'" in words and words.count(".") == 1


def test_every_kind_of_latent_refuses_the_measures_of_others():
    for latent in (GAUSSIAN, CODES, POINT):
        for name in MEASURES:
            if name in latent.similarity:
                assert measure_named(name, latent) is MEASURES[name]
            else:
                with pytest.raises(UserError, match=latent.similarity[0]):
                    measure_named(name, latent)


def test_an_unknown_measure_is_met_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'euclidean'"):
        measure_named("euclidian", POINT)
