"""Cubes, several co-registered images and structures: what of a volume becomes which channel of the model's images."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.classes import one_class_per_pixel
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.records import from_data, to_data
from SlicerVAELib.core.resampling import coverage
from SlicerVAELib.core.stack import model_grid, prepare, slices_of
from SlicerVAELib.core.volume import Modality, Volume
from Testing.headless.tiny_bundle import tiny_manifest, write_tiny_bundle
from Testing.headless.twins import body, grid, positions, rotation, twin

WIDE = HounsfieldWindow(lower=-1000.0, upper=1000.0)
PROPERTY = settings(max_examples=40, deadline=None, derandomize=True, database=None)
OBLIQUE = rotation((0.2, 1, 0.4), 25)
lengths = st.floats(0.8, 5.0).map(lambda x: round(x, 3))
sizes = st.tuples(st.integers(1, 12), st.integers(4, 20), st.integers(4, 20))


def cube(size: int, spacing: float, **changes) -> Preprocessing:
    return Preprocessing(WIDE, size, spacing, depth="cube", **changes)


def test_ten_slices_become_as_many_as_there_are_rows_over_the_same_extent():
    volume = body(grid((10, 64, 64), (2.0, 2.0, 9.0)))
    stack = prepare(volume, cube(32, 4.0))
    assert stack.is_cube
    assert stack.pixels.shape == (32, 1, 32, 32)
    assert stack.images.shape == (1, 1, 32, 32, 32)
    assert torch.equal(slices_of(stack.images), stack.pixels)
    assert stack.geometry.shape[0] * stack.geometry.spacing[2] == pytest.approx(90.0)
    assert np.diff(stack.positions_mm()) == pytest.approx(90 / 32)
    np.testing.assert_allclose(stack.geometry.centre, volume.geometry.centre, atol=1e-9)
    # Between the middles of two slices the values lie on the line between them.
    heights, own = np.array(stack.positions_mm()), positions(volume.geometry)[:, 0, 0, 2]
    flat = body(grid((10, 64, 64), (2.0, 2.0, 9.0))).replace(
        array=np.broadcast_to(np.arange(10.0)[:, None, None] * 100, (10, 64, 64)).astype(np.float32)
    )
    values = prepare(flat, cube(32, 4.0)).pixels[:, 0, 16, 16].numpy() * 2000 - 1000
    np.testing.assert_allclose(values, np.interp(heights, own, np.arange(10.0) * 100), atol=0.01)


@PROPERTY
@given(sizes, st.tuples(lengths, lengths, lengths), st.sampled_from([np.eye(3), OBLIQUE]), st.integers(8, 20))
def test_a_cube_covers_the_whole_extent_of_any_volume(shape, spacing, turn, size):
    geometry = grid(shape, spacing, turn)
    volume = Volume(np.zeros(shape, np.int16), geometry, Modality.CT)
    model = model_grid(volume, cube(size, 100.0))
    assert model.shape == (size, size, size)
    assert coverage(model, geometry).all()
    extent = np.abs(geometry.ijk_to_ras[2, :3]) @ np.array(shape[::-1])
    assert model.spacing[2] * size == pytest.approx(extent)


@pytest.mark.parametrize("turn", [None, OBLIQUE], ids=["straight", "oblique"])
def test_a_cube_comes_back_to_the_grid_of_the_volume(turn):
    volume = body(grid((24, 50, 50), (2.0, 2.0, 4.0), turn))
    stack = prepare(volume, cube(64, 2.5))
    back = stack.to_source(stack.pixels[:, 0], fill=-1.0) * stack.scale + stack.window[0]
    assert back.shape == volume.array.shape
    inner = (slice(3, -3), slice(5, -5), slice(5, -5))
    assert stack.seen()[inner].all()
    assert np.abs(back - volume.array)[inner].max() < 0.03 * np.ptp(volume.array)


def test_slices_of_several_cubes_follow_each_other():
    images = torch.rand(2, 3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    slices = slices_of(images)
    assert slices.shape == (8, 3, 5, 5)
    assert torch.equal(slices[4 + 2], images[1, :, 2])
    assert torch.equal(slices_of(slices), slices)


def test_every_image_has_a_window_of_its_own():
    volume = body(grid((6, 20, 20), (4.0, 4.0, 5.0)))
    shifted = volume.replace(channels={"B": volume.array * 3 + 5000})
    stack = prepare(shifted, Preprocessing(ForegroundPercentiles(), 16, 5.0, channels=("A", "B")))
    assert stack.pixels.shape[1] == 2
    torch.testing.assert_close(stack.pixels[:, 0], stack.pixels[:, 1], atol=1e-4, rtol=0)
    (low, high), (low_of_b, high_of_b) = stack.windows
    assert stack.window == (low, high)
    assert low_of_b == pytest.approx(low * 3 + 5000, rel=1e-4)
    assert high_of_b == pytest.approx(high * 3 + 5000, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"channels": ("CT", "PET")}, "no channel 'PET'"), ({"structures": ("Hart",)}, "did you mean 'Heart'")],
)
def test_what_is_missing_is_named(changes, words):
    volume = body(grid((4, 16, 16), (4.0, 4.0, 5.0)))
    mask = np.ones(volume.array.shape, bool)
    with pytest.raises(UserError, match=words):
        prepare(volume.replace(masks={"Heart": mask}), Preprocessing(WIDE, 16, 4.0, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"depth": "cube", "slice_step_mm": 3.0},
        {"channels": ("A", "A")},
        {"structures": ("Heart", "")},
        {"depth": "cylinder"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes):
    data = to_data(Preprocessing(WIDE, 16, 4.0)) | changes
    with pytest.raises(UserError):
        from_data(Preprocessing, data, "the bundle")


def test_a_channel_of_another_shape_is_refused():
    volume = body(grid((4, 16, 16), (4.0, 4.0, 5.0)))
    with pytest.raises(ValueError, match="channel 'T2'"):
        volume.replace(channels={"T2": np.zeros((4, 16, 15))})


@PROPERTY
@given(sizes, st.tuples(lengths, lengths, lengths), st.sampled_from([np.eye(3), OBLIQUE]), st.integers(0, 999))
def test_every_pixel_has_exactly_one_class(shape, spacing, turn, seed):
    generator = np.random.default_rng(seed)
    masks = [generator.random(shape) < share for share in (0.5, 0.2, 0.05)]
    source = grid(shape, spacing, turn)
    target = model_grid(Volume(masks[0], source, Modality.CT), Preprocessing(WIDE, 16, 4.0))
    classes = one_class_per_pixel(masks, source, target)
    assert classes.shape == (4, *target.shape)
    assert set(classes.unique().tolist()) <= {0.0, 1.0}
    assert torch.equal(classes.sum(dim=0), torch.ones(target.shape))
    unseen = ~torch.from_numpy(coverage(source, target))
    assert torch.equal(classes[3][unseen], torch.ones(int(unseen.sum())))


@PROPERTY
@given(st.integers(0, 999))
def test_on_its_own_grid_a_mask_stays_as_it_is_and_the_smaller_one_wins(seed):
    generator = np.random.default_rng(seed)
    shape = (3, 12, 12)
    masks = [generator.random(shape) < share for share in (0.1, 0.6)]
    source = grid(shape, (-2.0, -2.0, 3.0))  # the model's grid runs to the left and to the back
    classes = one_class_per_pixel(masks, source, source).numpy() > 0
    small, large = sorted((0, 1), key=lambda n: masks[n].sum())
    assert np.array_equal(classes[small], masks[small])
    assert np.array_equal(classes[large], masks[large] & ~masks[small])
    assert np.array_equal(classes[2], ~masks[0] & ~masks[1])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=["axial", "sagittal"])
@pytest.mark.parametrize("spacing", [3.0, 5.0, 8.0])
def test_a_cord_thinner_than_a_pixel_keeps_its_area(spacing, order):
    """A column of 5 mm in a trunk, seen with pixels of up to 8 mm: by the largest share alone it would vanish."""
    geometry = grid((40, 120, 120), (1.0, 1.0, 3.0))
    where = positions(geometry)
    trunk = (where[..., 0] / 50) ** 2 + (where[..., 1] / 40) ** 2 < 1
    bend = 6 * np.sin(where[..., 2] / 30)
    cord = (where[..., 0] - 3.3) ** 2 + (where[..., 1] + 20 - bend) ** 2 < 5**2
    volume = Volume(trunk.astype(np.int16), geometry, Modality.CT)
    flips = (True, False, False)
    masks = {
        name: twin(volume.replace(array=mask), order, flips).array for name, mask in (("trunk", trunk), ("cord", cord))
    }
    turned = twin(volume, order, flips)
    names = ("trunk", "cord")
    stack = prepare(turned.replace(masks=masks), Preprocessing(WIDE, 40, spacing, structures=names))
    area = stack.pixels[:, 2].sum(dim=(1, 2)) * spacing**2
    assert stack.pixels.shape[1] == 4
    assert float(area.mean()) == pytest.approx(float(cord.sum(axis=(1, 2)).mean()), rel=0.03)
    assert (area > 0).all()
    # What was marked lies where the cord is.
    far = (stack.share_of(masks["cord"]) == 0) & (stack.pixels[:, 2] > 0)
    assert not far.any()


def test_an_old_bundle_is_read_and_a_network_of_other_images_is_refused(tmp_path):
    bundle = tmp_path / "bundle"
    write_tiny_bundle(bundle)
    data = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    for name in ("depth", "channels", "structures"):
        del data["preprocessing"][name]
    assert from_data(Preprocessing, data["preprocessing"], "old") == read_manifest(bundle).preprocessing
    made = tiny_manifest().preprocessing
    for changes, words in (
        ({"channels": ("T1", "T2")}, "and 2 channel"),
        ({"structures": ("Heart",)}, "2 of them of structures"),
        ({"depth": "cube"}, "cubes of 64"),
    ):
        other = from_data(Preprocessing, to_data(made) | to_data(changes), "changed")
        with pytest.raises(UserError, match=words):
            write_tiny_bundle(tmp_path / "new", preprocessing=other)
        assert not (tmp_path / "new").exists()
