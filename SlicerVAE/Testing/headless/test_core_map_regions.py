"""Regions of a map, parts of a volume, and how positions are told."""

import numpy as np
import pytest

from SlicerVAELib.core.cropping import SliceRange, crop, uncrop
from SlicerVAELib.core.engine import NOT_SEEN_SIGNED, Provenance, Reconstruction
from SlicerVAELib.core.map_regions import MOST_REGIONS, find_regions
from SlicerVAELib.core.positions import in_words, orientation_in_words, to_lps
from SlicerVAELib.core.volume import Geometry, Volume

SHAPE = (8, 10, 12)
MATRIX = np.array([[-2.0, 0, 0, 30], [0, -2, 0, 20], [0, 0, 5, -100], [0, 0, 0, 1.0]])
GEOMETRY = Geometry(SHAPE, MATRIX)  # 0.02 cm³ a voxel


@pytest.fixture
def signed_map():
    """Two bright blocks, a dark one, one voxel, and a part that the model did not see."""
    array = np.zeros(SHAPE, np.float32)
    array[1:3, 1:4, 1:4] = 4.0
    array[2, 2, 2] = 9.0
    array[5:7, 5:7, 5:8] = 6.0
    array[5:7, 1:3, 9:11] = -7.0
    array[0, 9, 11] = 20.0
    array[7] = NOT_SEEN_SIGNED
    return array


def test_regions_are_measured_and_the_highest_comes_first(signed_map):
    found = find_regions(signed_map, GEOMETRY, 3.0, smallest_cm3=0.05)
    assert [region.peak for region in found.regions] == [9.0, 6.0]
    first, second = found.regions
    assert first.volume_cm3 == pytest.approx(18 * 0.02) and first.mean == pytest.approx((17 * 4 + 9) / 18)
    assert second.volume_cm3 == pytest.approx(12 * 0.02) and second.mean == 6.0
    assert first.peak_lps_mm == (-26.0, -16.0, -90.0)  # i, j, k = 2: R 26, A 16, S −90
    assert np.array_equal(
        found.labels == 1, (signed_map > 3) & (np.arange(SHAPE[0]) < 4)[:, None, None] & (signed_map < 20)
    )


def test_both_sides_where_the_dark_one_counts(signed_map):
    found = find_regions(signed_map, GEOMETRY, 3.0, below=NOT_SEEN_SIGNED)
    assert [region.peak for region in found.regions] == [20.0, 9.0, -7.0, 6.0]
    assert not found.labels[7].any()  # not seen is no finding


def test_nothing_above_the_level(signed_map):
    found = find_regions(signed_map, GEOMETRY, 30.0)
    assert found.regions == () and found.labels.shape == SHAPE and not found.labels.any()


def test_of_very_many_the_highest_are_kept():
    array = np.zeros((3, 61, 61), np.float32)
    array[1, 1::2, 1::2] = np.arange(1, 901).reshape(30, 30)
    found = find_regions(array, Geometry(array.shape, MATRIX), 0.5)
    assert [region.peak for region in found.regions] == list(range(900, 900 - MOST_REGIONS, -1))
    assert found.labels.max() == MOST_REGIONS and np.count_nonzero(found.labels) == MOST_REGIONS


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_part_lies_where_it_was(axis):
    array = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume = Volume(array, GEOMETRY, masks={"m": array > 5})
    slices = SliceRange(axis, 2, 4)
    part = crop(volume, slices)
    assert part.array.shape[axis] == 3 and np.shares_memory(part.array, array)
    first = np.zeros(4)
    first[2 - axis], first[3] = 2, 1
    np.testing.assert_allclose(part.geometry.origin, (MATRIX @ first)[:3])
    assert np.array_equal(part.masks["m"], volume.masks["m"][slices.index])
    assert not slices.is_whole(GEOMETRY) and SliceRange(axis, 0, SHAPE[axis] - 1).is_whole(GEOMETRY)


def test_what_was_left_out_is_marked_as_not_seen():
    volume = Volume(np.zeros(SHAPE, np.int16), GEOMETRY)
    names = ("reconstruction", "residual", "anomaly", "anomaly CT", "structure Heart")
    part = {name: np.ones((2, 10, 12), np.float32) for name in names}
    result = Reconstruction(
        arrays=part | {"field_of_view": np.ones((2, 10, 12), np.uint8)},
        anomaly_unit="",
        window=(-1000.0, 600.0),
        slice_scores=(),
        slice_positions_mm=(),
        timings={},
        notices=(),
        provenance=Provenance("a", "1", "", "", "CT"),
        anomaly_is_signed=True,
    )
    whole = uncrop(result, volume, SliceRange(0, 3, 4)).arrays
    assert {array.shape for array in whole.values()} == {SHAPE}
    outside = {name: float(array[0, 0, 0]) for name, array in whole.items()}
    assert outside == {
        "reconstruction": -1000.0,
        "residual": 0.0,
        "anomaly": NOT_SEEN_SIGNED,
        "anomaly CT": NOT_SEEN_SIGNED,
        "structure Heart": 0.0,
        "field_of_view": 0.0,
    }
    assert all((array[3:5] == 1).all() for array in whole.values()) and whole["field_of_view"].dtype == np.uint8


def test_positions_in_words():
    assert to_lps(np.array([-34.2, 12.0, 120.0])) == (34.2, -12.0, 120.0)
    assert in_words((34.2, -12.0, 120.0)) == "34 mm left, 12 mm anterior, 120 mm superior"
    assert in_words((-1.0, 5.0, -7.0)) == "1 mm right, 5 mm posterior, 7 mm inferior"


def test_orientation_in_words():
    assert orientation_in_words(GEOMETRY) == "axial; columns to L, rows to P, slices to S"
    sagittal = np.eye(4)
    sagittal[:3, :3] = np.array([[0, 0, -1], [-1, 0, 0], [0, -1, 0]])
    assert orientation_in_words(Geometry(SHAPE, sagittal)) == "sagittal; columns to P, rows to I, slices to L"
    angle = np.radians(12)
    tilted = np.eye(4)
    tilted[1:3, 1:3] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert orientation_in_words(Geometry(SHAPE, tilted)).endswith("tilted by 12°")
