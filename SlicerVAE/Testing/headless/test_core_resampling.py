"""A volume and its twin on a turned grid give the same slices, and the same maps back on their own grids."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.resampling import coverage, resample
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from Testing.headless.twins import body, grid, hounsfield, positions, rotation, turned_back, twin

ORDERS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
PROPERTY = settings(max_examples=80, deadline=None, derandomize=True, database=None)

lengths = st.floats(0.4, 6.0).map(lambda x: round(x, 3))
sizes = st.tuples(st.integers(1, 12), st.integers(1, 24), st.integers(1, 24))
flips = st.tuples(st.booleans(), st.booleans(), st.booleans())
turns = st.one_of(
    st.just(np.eye(3)),
    st.builds(
        rotation, st.tuples(st.floats(0.1, 1), st.floats(-1, 1), st.floats(-1, 1)), st.floats(0.5, 40).map(np.float64)
    ),
    st.floats(-0.4, 0.4).map(lambda s: np.array([[1, s, 0], [0, 1, -s], [0, 0, 1.0]])),  # a parent transform's shear
)
preprocessings = st.builds(
    Preprocessing,
    st.sampled_from([HounsfieldWindow(), ForegroundPercentiles()]),
    st.just(16),
    lengths,
    st.sampled_from(["grid", "foreground"]),
    st.one_of(st.none(), lengths),
)


@PROPERTY
@given(
    sizes,
    st.tuples(lengths, lengths, lengths),
    turns,
    preprocessings,
    st.sampled_from(ORDERS),
    flips,
    st.integers(0, 99),
)
def test_a_volume_stored_with_turned_axes_gives_the_same(shape, spacing, turn, preprocessing, order, flip, seed):
    array = np.random.default_rng(seed).normal(0, 400, shape).astype(np.float32)
    volume = Volume(array, grid(shape, spacing, turn), Modality.CT)
    other = twin(volume, order, flip)
    canonical, stack = prepare(volume, preprocessing), prepare(other, preprocessing)
    assert stack.geometry.matches(canonical.geometry)
    torch.testing.assert_close(stack.pixels, canonical.pixels, atol=1e-4, rtol=0)
    back = turned_back(stack.to_source(stack.pixels[:, 0], fill=-1.0), order, flip)
    np.testing.assert_allclose(back, canonical.to_source(canonical.pixels[:, 0], fill=-1.0), atol=1e-4)
    np.testing.assert_array_equal(turned_back(stack.seen(), order, flip), canonical.seen())


@PROPERTY
@given(sizes, st.tuples(lengths, lengths, lengths), turns, preprocessings)
def test_what_the_model_did_not_see_is_marked_and_nothing_else(shape, spacing, turn, preprocessing):
    volume = Volume(np.zeros(shape, np.int16), grid(shape, spacing, turn), Modality.CT)
    stack = prepare(volume, preprocessing)
    back = stack.to_source(torch.ones(stack.geometry.shape), fill=-5.0)
    seen = stack.seen()
    np.testing.assert_array_equal(back[~seen], -5.0)
    np.testing.assert_allclose(back[seen], 1.0, atol=1e-5)
    # Where that is, told from the positions alone: in the square about the stack's axis, between its outer slices.
    away = np.abs(positions(volume.geometry) - stack.geometry.centre)
    half = np.array([preprocessing.field_of_view_mm] * 2 + [stack.geometry.shape[0] * stack.geometry.spacing[2]]) / 2
    grain = 0.05 * stack.geometry.spacing.max()  # grids that are all but parallel are called parallel
    np.testing.assert_array_equal(seen[(away < half - grain).all(axis=-1)], True)
    np.testing.assert_array_equal(seen[(away > half + grain).any(axis=-1)], False)


@PROPERTY
@given(sizes, st.tuples(lengths, lengths, lengths), turns, preprocessings)
def test_the_slices_cover_the_volume_from_foot_to_head(shape, spacing, turn, preprocessing):
    volume = Volume(np.zeros(shape, np.int16), grid(shape, spacing, turn), Modality.CT)
    stack = prepare(volume, preprocessing)
    heights = np.array(stack.positions_mm())
    assert (np.diff(heights) > 0).all()
    half = stack.geometry.spacing[2] / 2
    corners = positions(volume.geometry)[..., 2]
    assert heights[0] - half <= corners.min() + 1e-6
    assert heights[-1] + half >= corners.max() - 1e-6
    assert stack.pixels.shape == (len(heights), 1, 16, 16)
    assert stack.pixels.min() >= 0
    assert stack.pixels.max() <= 1


@pytest.mark.parametrize("axis", [(0, 0, 1), (1, 0, 0), (0.3, -1, 0.5)])
@pytest.mark.parametrize("degrees", [0.02, 1, 12, 45])
def test_an_oblique_scan_of_a_patient_gives_what_a_straight_one_gives(axis, degrees):
    straight = body(grid((40, 60, 60), (2.5, 2.5, 3.0)))
    oblique = body(grid((40, 60, 60), (2.5, 2.5, 3.0), rotation(axis, degrees)))
    target = grid((20, 32, 32), (3.0, 3.0, 3.0), np.diag([-1.0, -1, 1]))
    both = coverage(straight.geometry, target) & coverage(oblique.geometry, target)
    assert both.mean() > 0.8
    values = [resample(v.array, v.geometry, target, fill=0.0).numpy()[both] for v in (straight, oblique)]
    truth = hounsfield(positions(target))[both]
    span = np.ptp(truth)
    assert np.abs(values[0] - truth).max() < 0.02 * span  # linear interpolation of a body this smooth
    assert np.abs(values[1] - values[0]).max() < 0.02 * span


@pytest.mark.parametrize("ratio", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("degrees", [1, 20, 45])
def test_noise_is_averaged_alike_whether_the_scan_is_oblique_or_not(ratio, degrees):
    noise = np.random.default_rng(0).normal(size=(4, 200, 200)).astype(np.float32)
    count = int(130 / ratio)
    # A straight target at many phases of the source's grid, as an oblique one meets them.
    straight, oblique = (
        resample(noise, grid(noise.shape, (1, 1, 1)), grid((4, count, count), spacing, turn), fill=0.0).std().item()
        for spacing, turn in [
            ((ratio + 0.013, ratio + 0.013, 1), None),
            ((ratio, ratio, 1), rotation((0, 0, 1), degrees)),
        ]
    )
    assert oblique == pytest.approx(straight, rel=0.2)


@pytest.mark.parametrize("degrees", [0, 10, 45])
def test_a_pattern_finer_than_the_target_does_not_alias(degrees):
    stripes = np.broadcast_to(np.where(np.arange(256) % 2, 1.0, -1.0), (1, 256, 256)).astype(np.float32)
    target = grid((1, 48, 48), (3.0, 3.0, 1.0), rotation((0, 0, 1), degrees))
    assert resample(stripes, grid((1, 256, 256), (1, 1, 1)), target, fill=0.0).abs().max() < 0.15


def test_a_straight_image_on_its_own_grid_is_copied_bit_for_bit():
    array = np.random.default_rng(1).normal(size=(5, 12, 9)).astype(np.float32)
    geometry = grid(array.shape, (0.7, 1.3, 3.1))
    assert np.array_equal(resample(array, geometry, geometry, fill=0.0).numpy(), array)


def test_a_value_beside_the_image_is_not_smeared_into_the_fill():
    source = Geometry((1, 4, 4), np.eye(4))
    target = Geometry((1, 8, 8), np.array([[1, 0, 0, -2.0], [0, 1, 0, -2], [0, 0, 1, 0], [0, 0, 0, 1]]))
    expected = np.full((1, 8, 8), -1.0)
    expected[:, 2:6, 2:6] = 7
    assert np.array_equal(resample(np.full((1, 4, 4), 7.0), source, target, fill=-1.0).numpy(), expected)
