"""Augmentation: one change for all that belongs to an image, structures that stay probabilities, draws that repeat."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slicervae.data.augmentation import Augmentation, augmentation_of
from slicervae.data.batch import Batch
from slicervae.draws import Draws
from slicervae.recipe import AugmentationSettings
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing

PLAIN = Preprocessing(HounsfieldWindow(), 32, 4.0)
NAMED = Preprocessing(HounsfieldWindow(), 32, 4.0, channels=("A", "B"), structures=("Heart", "Cord"))


def draws(seed: int = 0, part: int = 0, parts: int = 1) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), part, parts)


def batch_of(count: int, seed: int = 0, cube: bool = False) -> Batch:
    """Two images and two structures with their complement, and a mask of what is kept."""
    generator = torch.Generator().manual_seed(seed)
    shape = (8, 32, 32) if cube else (32, 32)
    images = torch.rand(count, 2, *shape, generator=generator)
    owner = torch.randint(3, (count, *shape), generator=generator)
    classes = torch.nn.functional.one_hot(owner, 3).movedim(-1, 1).float()
    kept = (torch.rand(count, 1, *shape, generator=generator) > 0.1).float()
    return Batch(torch.cat([images, classes], dim=1), kept)


def test_nothing_is_changed_unless_it_is_asked_for():
    assert augmentation_of(AugmentationSettings(), PLAIN) is None
    batch = batch_of(3)
    same = Augmentation(AugmentationSettings(), NAMED)(batch, draws())
    torch.testing.assert_close(same.images, batch.images)
    assert same.kept is batch.kept


class Whole(Draws):
    """Draws that are always the largest there are."""

    def uniform(self, shape, low=0.0, high=1.0):
        return torch.full(shape, high)


def test_a_shift_is_in_mm_and_a_turn_in_degrees():
    images = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    largest = Whole(torch.Generator())
    moved = Augmentation(AugmentationSettings(shift_mm=8.0), PLAIN)(Batch(images), largest).images
    torch.testing.assert_close(moved[:, :, :30, :30], images[:, :, 2:, 2:], atol=1e-5, rtol=0)
    assert (moved[:, :, 30:] == 0).all()
    turned = Augmentation(AugmentationSettings(rotation_degrees=90.0), PLAIN)(Batch(images), largest).images
    torch.testing.assert_close(turned, torch.rot90(images, 1, (2, 3)), atol=1e-4, rtol=0)


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    st.floats(0, 60),
    st.floats(0, 180),
    st.floats(0, 0.9),
    st.floats(0, 0.9),
    st.booleans(),
    st.integers(0, 99),
)
def test_structures_stay_probabilities_and_masks_zero_or_one(shift, turn, scale, offset, cube, seed):
    augment = Augmentation(AugmentationSettings(shift, turn, scale, offset), NAMED)
    before = batch_of(2, seed, cube)
    after = augment(before, draws(seed))
    assert after.images.shape == before.images.shape
    assert after.images.min() >= 0
    assert after.images.max() <= 1
    torch.testing.assert_close(after.images[:, 2:].sum(dim=1), torch.ones_like(after.images[:, 0]))
    assert set(after.kept.unique().tolist()) <= {0.0, 1.0}


def test_images_structures_and_what_is_left_out_move_together():
    square = torch.zeros(4, 1, 32, 32)
    square[:, :, 10:22, 8:20] = 1
    classes = torch.cat([square, torch.zeros_like(square), 1 - square], dim=1)
    batch = Batch(torch.cat([square, square, classes], dim=1), 1 - square)
    after = Augmentation(AugmentationSettings(shift_mm=12.0, rotation_degrees=30.0), NAMED)(batch, draws())
    torch.testing.assert_close(after.images[:, 0], after.images[:, 1])
    torch.testing.assert_close(after.images[:, 0], after.images[:, 2])
    left_out = 1 - after.kept[:, 0]
    # At least half a pixel within the square along either axis is a quarter of it; the same outside.
    assert (after.images[:, 0][left_out == 1] > 0.249).all()
    assert (after.images[:, 0][left_out == 0] < 0.751).all()
    assert 100 < float(left_out[0].sum()) < 160
    assert len({tuple(image.flatten().tolist()) for image in left_out}) == 4, "every image has draws of its own"


def test_a_cubes_slices_all_move_alike():
    batch = batch_of(2, cube=True)
    batch.images[:] = batch.images[:, :, :1]
    after = Augmentation(AugmentationSettings(shift_mm=9.0, rotation_degrees=20.0), NAMED)(batch, draws()).images
    torch.testing.assert_close(after, after[:, :, :1].expand_as(after))
    flat = Batch(batch.images[:, :, 0])
    expected = Augmentation(AugmentationSettings(shift_mm=9.0, rotation_degrees=20.0), NAMED)(flat, draws()).images
    torch.testing.assert_close(after[:, :, 0], expected)


def test_intensities_change_as_said_and_in_the_image_channels_alone():
    batch = Batch(batch_of(3).images)
    after = Augmentation(AugmentationSettings(intensity_scale=0.2, intensity_offset=0.1), NAMED)(batch, draws(5))
    generator = torch.Generator().manual_seed(5)
    torch.rand(3, 3, generator=generator)
    factor, offset = (2 * torch.rand(3, 2, generator=generator) - 1 for _ in range(2))
    expected = batch.images[:, :2] * (1 + 0.2 * factor)[:, :, None, None] + 0.1 * offset[:, :, None, None]
    torch.testing.assert_close(after.images[:, :2], expected.clamp(0, 1))
    torch.testing.assert_close(after.images[:, 2:], batch.images[:, 2:])


@pytest.mark.parametrize("parts", [2, 4])
def test_the_parts_of_a_batch_change_as_the_whole_does(parts):
    augment = Augmentation(AugmentationSettings(8.0, 15.0, 0.1, 0.1), NAMED)
    whole = batch_of(8)
    expected = augment(whole, draws(3))
    size = 8 // parts
    for part in range(parts):
        own = Batch(*(values[part * size : (part + 1) * size] for values in (whole.images, whole.kept)))
        changed = augment(own, draws(3, part, parts))
        torch.testing.assert_close(changed.images, expected.images[part * size : (part + 1) * size])
        torch.testing.assert_close(changed.kept, expected.kept[part * size : (part + 1) * size])
