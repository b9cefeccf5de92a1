"""Copies of training images, the use of latents, averages, and which images are shown."""

import math

import pytest
import torch

from slicervae.data.batch import ImagesInMemory
from slicervae.evaluation.averages import Figure, average
from slicervae.evaluation.cohort import Group, HeldVolume, Seen, evenly, without_empty
from slicervae.evaluation.columns import columns_of, read_labels
from slicervae.evaluation.latents import CodebookUseOverBatches, LatentUseOverBatches, codes_of, posterior_of
from slicervae.evaluation.memorisation import memorised, nearest
from slicervae.evaluation.metrics import peak_signal_to_noise
from slicervae.evaluation.reading import read
from SlicerVAELib.core.encoding import CodeLevels, Codes, DiagonalGaussian, HierarchicalGaussian, Point
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.latent import Latent
from SlicerVAELib.core.placement import Placement
from SlicerVAELib.core.progress import Cancel, Meter, ignore
from Testing.headless.tiny_bundle import tiny_network
from tests.small_vae import small_vae


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def meter() -> Meter:
    return Meter(ignore, "", 1)


def held(patient: str, path: str, count: int = 10, tmp_path=None) -> HeldVolume:
    return HeldVolume(patient, path, f"content of {path}", False, tmp_path, tuple(range(5, 5 + count)), count + 10)


def test_psnr_of_known_errors():
    errors = torch.tensor([1.0, 0.01, 1e-4, 0.0])
    torch.testing.assert_close(peak_signal_to_noise(errors), torch.tensor([0.0, 20.0, 40.0, 100.0]))


def test_nearest_equals_brute_force_over_batches():
    rows, others = random(5, 16), random(23, 16, seed=1)
    others[17] = rows[2]
    found = nearest(rows, others.split(4))
    distances = (rows[:, None] - others[None]).square().mean(dim=2).sqrt()
    torch.testing.assert_close(found.distance, distances.min(dim=1).values, atol=1e-6, rtol=1e-5)
    assert found.index.tolist() == distances.argmin(dim=1).tolist()
    assert found.index[2] == 17 and found.distance[2] < 1e-6


def test_copies_of_training_images_are_found_and_shown():
    placement = Placement.of(small_vae().float().eval(), Hardware(device="cpu"))
    train = Group("train", ImagesInMemory(random(30, 1, 8, 8)), "train")
    test = Group("test", ImagesInMemory(random(20, 1, 8, 8, seed=1)), "test")
    fresh = random(10, 8, 8, seed=2)
    copies = torch.cat([fresh[:5], train.images.batch(torch.arange(5)).images[:, 0]])
    innocent, _ = memorised(placement, fresh, train, test, meter(), Cancel())
    guilty, closest = memorised(placement, copies, train, test, meter(), Cancel())
    assert guilty.suspicious >= 0.5
    assert guilty.suspicious - innocent.suspicious >= 0.4
    torch.testing.assert_close(closest.samples[:5], closest.training[:5])
    assert closest.distance[4] < 1e-3 < closest.distance[5]
    # The shown training image lies at the told distance.
    told = (closest.samples - closest.training).square().flatten(1).mean(dim=1).sqrt()
    torch.testing.assert_close(closest.distance, told, atol=1e-4, rtol=1e-4)


def test_latent_use_over_batches_is_that_of_all():
    generator = torch.Generator().manual_seed(3)
    mean = torch.randn(37, 4, generator=generator) * torch.tensor([2.0, 0.05, 1.0, 0.0]) + 1000
    kl = torch.rand(37, 4, generator=generator)
    over = LatentUseOverBatches(Latent("gaussian", (2, 2)))
    for part, divergence in zip(mean.split(10), kl.split(10), strict=True):
        over.add(part, divergence)
    use = over.use()
    torch.testing.assert_close(use.variance, mean.double().var(dim=0, correction=0), rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(use.kl, kl.double().mean(dim=0))
    assert use.active == 2
    assert use.by_activity[:2] == [0, 2]


def test_active_latents_are_judged_by_the_priors_variance():
    over = LatentUseOverBatches(Latent("gaussian", (1,), prior_variance=100.0))
    over.add(torch.tensor([[-0.5], [0.5]]), torch.zeros(2, 1))
    assert over.use().active == 0


def test_a_hierarchys_posterior_has_the_kl_of_both_levels():
    first = DiagonalGaussian(random(3, 2), random(3, 2, seed=1))
    encoding = HierarchicalGaussian(first, lambda high: DiagonalGaussian(high.repeat(1, 2), -high.repeat(1, 2)))
    posterior = posterior_of(encoding)
    torch.testing.assert_close(posterior.kl(), encoding.divergence())
    assert posterior.mean.shape == (3, 6)
    assert posterior_of(Point(random(3, 2))) is None


def test_codebook_use_of_known_codes():
    """Two of four codes, each half of the time: half are used, and the perplexity is 2."""
    vectors = torch.zeros(2, 1, 2, 1)
    coarse = Codes(vectors, vectors, torch.tensor([[[0], [1]], [[1], [0]]]))
    fine = Codes(vectors, vectors, torch.full((2, 2, 1), 3))
    over = CodebookUseOverBatches(Latent("codes", (8,), grids=((2, 1), (2, 1)), codebook_size=4))
    over.add(codes_of(CodeLevels((coarse, fine))))
    over.add(codes_of(CodeLevels((coarse, fine))))
    first, second = over.use()
    assert (first.size, first.usage) == (4, 0.5)
    assert first.perplexity == pytest.approx(2)
    assert (second.usage, second.perplexity) == (0.25, pytest.approx(1))


def test_a_reading_is_that_of_the_whole_and_of_its_spans():
    network = tiny_network()
    images = random(9, 1, 64, 64)
    reading = read(Placement.of(network, Hardware(device="cpu")), ImagesInMemory(images), [4, 5], meter(), Cancel())
    with torch.inference_mode():
        encoding = network.encode(images)
        errors = (network.decode(encoding.mean) - images).square().flatten(1).mean(dim=1)
    assert reading.quality.mse == pytest.approx(float(errors.mean()), rel=1e-4)
    assert reading.spans[1].mse == pytest.approx(float(errors[4:].mean()), rel=1e-4)
    assert [span.slices for span in reading.spans] == [4, 5]
    assert float(reading.latents.kl.sum()) == pytest.approx(float(encoding.kl().mean()), rel=1e-4)


def test_empty_images_do_not_count():
    images = random(6, 1, 4, 4)
    images[[0, 3]] = 0.5
    kept = without_empty(ImagesInMemory(images))
    assert len(kept) == 4
    torch.testing.assert_close(kept.batch(torch.tensor([0, 3])).images, images[[1, 5]])


def test_averages_over_trials():
    value = average([1.0, 2.0, 4.0])
    assert value.mean == pytest.approx(7 / 3)
    assert value.deviation == pytest.approx(math.sqrt(((4 / 3) ** 2 + (1 / 3) ** 2 + (5 / 3) ** 2) / 2))
    assert value.in_words(Figure("PSNR", "dB", ".1f")) == "2.3 ± 1.5 dB"
    assert average([3.0]).in_words(Figure("MSE", form=".2f")) == "3.00"


def test_whom_a_model_has_seen(tmp_path):
    seen = Seen(tmp_path, {"content of a": "train"}, {"one": "train", "two": "validation"})
    elsewhere = tmp_path / "copy"
    assert seen.role_of(held("renamed", "a"), elsewhere) == "train"  # the very file
    assert seen.role_of(held("two", "b"), tmp_path) == "validation"  # another image of the patient
    assert seen.role_of(held("two", "b"), elsewhere) == "test"  # a folder's name says nothing in another place
    identified = HeldVolume("two", "b", "another", True, tmp_path, (0,), 1)
    assert seen.role_of(identified, elsewhere) == "validation"


def test_shown_images_come_from_all_volumes_or_one_for_each_label(tmp_path):
    volumes = [held(f"p{n}", f"{n}.nii") for n in range(3)]
    columns = columns_of(volumes, {})
    assert len(columns) == 8 and {column.patient for column in columns} == {"p0", "p1", "p2"}
    assert all(0 < column.position < 1 for column in columns)
    labelled = columns_of(volumes, {"p1": "grade 0", "p2": "grade 1", "p0": "grade 1"})
    assert [(column.title, column.patient) for column in labelled] == [("grade 0", "p1"), ("grade 1", "p0")]
    with pytest.raises(UserError, match="no patient 'q'"):
        columns_of(volumes, {"q": "grade 0"})
    assert evenly(10, 3).tolist() == [0, 4, 9] and evenly(2, 5).tolist() == [0, 1]


def test_labels_are_read_and_other_files_refused(tmp_path):
    good, bad = tmp_path / "good.csv", tmp_path / "bad.csv"
    good.write_text("patient,age,label\np1,50,mild\np2,60,\n", encoding="utf-8")
    bad.write_text("name;grade\np1;mild\n", encoding="utf-8")
    assert read_labels(good) == {"p1": "mild"}
    for path in (bad, tmp_path / "none.csv"):
        with pytest.raises(UserError, match="patient"):
            read_labels(path)
