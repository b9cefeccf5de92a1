"""A similar patient is moved by where the bodies lie in the images, not by where the images' middles are."""

import numpy as np

from SlicerVAELib.core.volume import Geometry, Modality, Volume
from SlicerVAELib.scene.alignment import translation_onto

SPACING = (2.0, 2.0, 5.0)
AIR, WATER = -1000, 0


def box(left_mm: float, front_mm: float, *, shape=(10, 60, 60), origin=(0.0, 0.0, 0.0), tissue=WATER) -> Volume:
    """A body of 40 × 20 mm through all slices, its corner at that place in the image (LPS)."""
    array = np.full(shape, AIR, np.int16)
    i, j = round(left_mm / SPACING[0]), round(front_mm / SPACING[1])
    array[:, j : j + 10, i : i + 20] = tissue
    return Volume(array, Geometry.from_lps(shape, spacing=SPACING, origin=origin), Modality.CT)


def levels(volume: Volume, first: int, last: int) -> np.ndarray:
    """Centres of the image's slices from ``first`` up to ``last``, LPS mm."""
    spacing, origin, _ = volume.geometry.lps
    middle = origin + (np.array(volume.array.shape[::-1]) - 1) / 2 * spacing
    superior = origin[2] + spacing[2] * np.arange(first, last)
    return np.column_stack([np.full(len(superior), middle[0]), np.full(len(superior), middle[1]), superior])


def test_bodies_lie_on_each_other_whatever_the_image_shows_around_them():
    query, other = box(40, 60), box(12, 20, shape=(10, 40, 44), origin=(100.0, -50.0, 300.0))
    moved = translation_onto(query, levels(query, 2, 8), other, levels(other, 2, 8))
    in_lps = moved * (-1, -1, 1)
    assert np.allclose(in_lps, (40 - 112, 60 - (-30), -300))


def test_matched_levels_lie_on_each_other_in_the_mean():
    query, other = box(40, 60), box(40, 60)
    pairs = levels(query, 0, 4), levels(other, 3, 7)[[0, 1, 2, 2]]
    assert np.allclose(translation_onto(query, pairs[0], other, pairs[1]), (0, 0, 7.5 - 5 * 4.25))


def test_slices_without_a_body_are_taken_by_their_middle():
    query, other = box(40, 60, tissue=AIR), box(12, 20, tissue=AIR)
    assert np.allclose(translation_onto(query, levels(query, 0, 5), other, levels(other, 1, 6)), (0, 0, -5))


def test_images_without_units_and_upside_down():
    query, other = box(40, 60), box(12, 20)
    turned = np.ascontiguousarray(other.array[::-1])
    matrix = other.geometry.ijk_to_ras.copy()
    matrix[:3, 3] += 9 * matrix[:3, 2]
    matrix[:3, 2] *= -1
    upside_down = Volume(turned, Geometry(turned.shape, matrix), Modality.MR)
    moved = translation_onto(query, levels(query, 2, 8), upside_down, levels(other, 2, 8))
    assert np.allclose(moved * (-1, -1, 1), (28, 40, 0))
