"""Distances between sets of pictures, against independent computations and closed forms."""

import numpy as np
import pytest
import scipy.linalg
import torch
from matplotlib import cbook, image

from slicervae.evaluation.features import EffLite0, Inception
from slicervae.evaluation.frechet import Moments, frechet_distance, moments_of
from slicervae.evaluation.kernel_distance import kernel_distance
from slicervae.evaluation.manifold_metrics import manifold_metrics
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel, Meter, ignore

MILITARY_UNIFORM = 652  # of ImageNet's classes


@pytest.fixture(scope="module")
def lite0() -> EffLite0:
    return EffLite0()


def gaussian(count: int, dimension: int, *, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimension, dimension, generator=generator)
    return torch.randn(count, dimension, generator=generator) @ mixing * scale + shift


def test_the_feature_network_knows_what_a_photograph_shows(lite0):
    """Rear Admiral Hopper, whom Matplotlib carries; any layer, padding or scale that is off makes her something
    else."""
    photograph = torch.from_numpy(np.array(image.imread(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))))
    colours = photograph.permute(2, 0, 1)[None].float()
    square = torch.nn.functional.interpolate(colours, (224, 224), mode="bilinear", antialias=True)
    with torch.inference_mode():
        probabilities = lite0._network.classify((square - 127) / 128).softmax(dim=1)[0]
    assert int(probabilities.argmax()) == MILITARY_UNIFORM
    assert float(probabilities[MILITARY_UNIFORM]) > 0.3


def test_features_do_not_depend_on_the_batch_and_stop_when_asked(lite0):
    pictures = torch.rand(11, 40, 40, generator=torch.Generator().manual_seed(0))
    whole = lite0.of(pictures, Meter(ignore, "", 11), Cancel())
    assert whole.shape == (11, 1280)
    torch.testing.assert_close(whole[9:], lite0.of(pictures[9:], Meter(ignore, "", 2), Cancel()), atol=1e-4, rtol=1e-4)
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        lite0.of(pictures, Meter(ignore, "", 11), cancel)


def test_frechet_distance_equals_scipys_matrix_square_root():
    first, second = gaussian(300, 12, seed=1), gaussian(200, 12, seed=2, shift=0.5, scale=2.0)
    a, b = first.double().numpy(), second.double().numpy()
    covariances = [np.cov(values, rowvar=False) for values in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(moments_of(first), moments_of(second)) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_known_gaussians():
    """N(m, s² I) against N(0, I) in D dimensions: ‖m‖² + D (s − 1)²."""
    near = Moments(torch.zeros(5).double(), torch.eye(5).double())
    far = Moments(torch.full((5,), 2.0).double(), 9 * torch.eye(5).double())
    assert frechet_distance(near, far) == pytest.approx(5 * 4 + 5 * 4)
    assert frechet_distance(far, near) == pytest.approx(40)
    assert frechet_distance(near, near) == pytest.approx(0, abs=1e-9)


def test_fewer_images_than_features_have_a_frechet_distance():
    first = gaussian(6, 40, seed=3)
    assert frechet_distance(moments_of(first), moments_of(first)) == pytest.approx(0, abs=1e-3)
    shifted = moments_of(first + 1)
    assert frechet_distance(moments_of(first), shifted) == pytest.approx(40, rel=1e-4)


def test_kernel_distance_equals_the_sums_written_out():
    first, second = gaussian(7, 4, seed=4), gaussian(5, 4, seed=5)

    def kernel(x, y):
        return float((x @ y / 4 + 1) ** 3)

    within = [
        sum(kernel(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j) / (len(a) * (len(a) - 1))
        for a in (first, second)
    ]
    between = sum(kernel(x, y) for x in first for y in second) / 35
    assert kernel_distance(first, second) == pytest.approx(sum(within) - 2 * between, rel=1e-4)


def test_kernel_distance_is_unbiased_where_frechets_is_not():
    halves = gaussian(800, 16, seed=6).split(400)
    assert abs(kernel_distance(*halves)) < 0.05 * kernel_distance(halves[0], halves[1] + 2)


def test_manifold_metrics_equal_brute_force():
    real, samples = gaussian(40, 3, seed=7), gaussian(30, 3, seed=7, shift=0.7)

    def distance(x, y):
        return float((x - y).square().sum().sqrt())

    def radius(points, index, k):
        return sorted(distance(points[index], other) for j, other in enumerate(points) if j != index)[k - 1]

    real_radii = [radius(real, i, 3) for i in range(40)]
    sample_radii = [radius(samples, i, 3) for i in range(30)]
    wide = [radius(real, i, 5) for i in range(40)]
    found = manifold_metrics(real, samples)
    inside = [[distance(x, y) for y in samples] for x in real]
    precision = np.mean([any(inside[i][j] <= real_radii[i] for i in range(40)) for j in range(30)])
    recall = np.mean([any(inside[i][j] <= sample_radii[j] for j in range(30)) for i in range(40)])
    density = sum(inside[i][j] <= wide[i] for i in range(40) for j in range(30)) / (5 * 30)
    coverage = np.mean([any(inside[i][j] <= wide[i] for j in range(30)) for i in range(40)])
    assert 0 < precision < 1
    assert found.precision == pytest.approx(precision)
    assert found.recall == pytest.approx(recall)
    assert found.density == pytest.approx(density)
    assert found.coverage == pytest.approx(coverage)


def test_manifold_metrics_tell_one_mode_from_noise():
    real = torch.cat([gaussian(50, 4, seed=8), gaussian(50, 4, seed=8) + 100])
    one_mode = manifold_metrics(real, real[:50] + 0.01)
    noise = manifold_metrics(real, 1000 * torch.randn(50, 4, generator=torch.Generator().manual_seed(0)))
    assert one_mode.precision == 1 and one_mode.recall <= 0.5 and one_mode.coverage <= 0.5
    assert noise.precision == 0 and noise.density == 0 and noise.coverage == 0


def test_other_weights_than_inceptions_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"can't be read"):
        Inception(tmp_path / "nothing.pth")
    (tmp_path / "other.pth").write_bytes(b"\x80\x02 something that must not be unpickled")
    with pytest.raises(UserError, match="6726825d"):
        Inception(tmp_path / "other.pth")
