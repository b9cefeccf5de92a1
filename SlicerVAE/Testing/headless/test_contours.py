"""Contours in mm become masks on a volume's grid."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.contours import fill
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry
from SlicerVAELib.io.rtstruct import read_rtstruct

GRID = Geometry((6, 40, 50), np.diag([1.0, 1.0, 2.0, 1.0]))  # RAS mm = voxel indices, but for slices of 2 mm


def ring(radius: float, centre: tuple[float, float] = (25, 20), z: float = 4.0, points: int = 200) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    return np.stack(
        [centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), np.full(points, z)], axis=1
    )


def box(x0: float, y0: float, x1: float, y1: float, z: float = 4.0) -> np.ndarray:
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])


def is_inside(polygons: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The even–odd rule point by point and edge by edge: a ray to the right is crossed an odd number of times."""
    odd = np.zeros(np.broadcast(x, y).shape, bool)
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 != y1:
                odd ^= ((y0 > y) != (y1 > y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return odd


def test_a_voxel_belongs_when_its_centre_lies_inside():
    mask = fill([box(9.6, 4.4, 14.4, 7.6)], GRID)
    expected = np.zeros(GRID.shape, bool)
    expected[2, 5:8, 10:15] = True
    np.testing.assert_array_equal(mask, expected)


def test_neighbours_that_share_an_edge_through_centres_share_no_voxel_and_leave_none_out():
    left, right, both = (fill([box(*sides)], GRID) for sides in ((5, 5, 10, 15), (10, 5, 20, 15), (5, 5, 20, 15)))
    assert not (left & right).any()
    np.testing.assert_array_equal(left | right, both)


def test_a_contour_within_a_contour_is_a_hole_and_one_within_that_is_not():
    mask = fill([ring(15), ring(10), ring(5)], GRID)[2]
    assert mask[20, 25] and not mask[20, 25 + 7] and mask[20, 25 + 12] and not mask[20, 25 + 16]


def test_a_keyhole_contour_equals_an_outer_and_an_inner_one():
    outer, inner = ring(15), ring(7)[::-1]
    keyhole = np.concatenate([outer, outer[:1], inner, inner[:1]])
    np.testing.assert_array_equal(fill([keyhole], GRID), fill([outer, inner], GRID))


def test_separate_parts_of_a_slice_are_all_filled():
    mask = fill([ring(4, (10, 10)), ring(4, (35, 28))], GRID)[2]
    assert mask[10, 10] and mask[28, 35] and not mask[20, 25]


def test_a_contour_that_stands_twice_in_the_file_does_not_cancel_itself():
    np.testing.assert_array_equal(fill([ring(9), ring(9)], GRID), fill([ring(9)], GRID))


def test_closing_the_contour_with_its_first_point_changes_nothing():
    closed = np.concatenate([ring(9), ring(9)[:1]])
    np.testing.assert_array_equal(fill([closed], GRID), fill([ring(9)], GRID))


@pytest.mark.parametrize(("z", "expected"), [(4.9, [2]), (5.0, [3]), (5.1, [3]), (-0.9, [0]), (-1.1, []), (11.1, [])])
def test_a_contour_goes_to_the_slice_within_half_a_slice(z, expected):
    assert np.flatnonzero(fill([ring(9, z=z)], GRID).any(axis=(1, 2))).tolist() == expected


def test_of_several_planes_on_one_slice_the_nearest_counts():
    planes = [ring(5, z=3.4), ring(9, z=4.1), ring(12, z=4.8)]
    np.testing.assert_array_equal(fill(planes, GRID), fill([ring(9)], GRID))


def test_every_slice_gets_one_plane_when_planes_lie_midway():
    contours = [ring(9, z=z + 1e-9 * (-1) ** n) for n, z in enumerate(np.arange(1.0, 11.0, 2.0))]
    assert np.flatnonzero(fill(contours, GRID).any(axis=(1, 2))).tolist() == [1, 2, 3, 4, 5]


def test_points_lines_and_what_lies_outside_mark_nothing():
    assert not fill([ring(9)[:1], ring(9)[:2], np.empty((0, 3)), ring(9, (500, 500)), ring(9, z=99)], GRID).any()
    assert not fill([], GRID).any()


def test_a_contour_that_reaches_beyond_the_image_is_cut_at_its_border():
    assert fill([box(-1e12, -1e12, 1e12, 1e12)], GRID)[2].all()


@pytest.mark.parametrize(("axes", "turned"), [((0, 2, 1), (1, 0, 2)), ((2, 1, 0), (2, 1, 0))])
def test_contours_across_the_slices_fill_as_those_along_them(axes, turned):
    """Coronal or sagittal contours on axial slices give what axial ones give on slices turned with them."""
    cube = Geometry((50, 50, 50), np.eye(4))
    contours = [ring(15.3, z=20.0), ring(8.3, z=20.0), ring(12.3, z=21.0), ring(12.3, z=22.0)]
    across = fill([contour[:, axes] for contour in contours], cube)
    np.testing.assert_array_equal(across.transpose(turned), fill(contours, cube))


@settings(max_examples=12, deadline=None)
@given(angle=st.floats(0.05, 1.5), turn=st.floats(-3, 3), gap=st.floats(1.5, 4.0))
def test_contours_in_any_plane_mark_the_centres_that_lie_inside_along_the_normal(angle, turn, gap):
    normal = np.array([np.sin(angle) * np.cos(turn), np.sin(angle) * np.sin(turn), np.cos(angle)])
    u = np.cross(normal, [0.0, 1.0, 0.3])
    u /= np.linalg.norm(u)
    frame = np.stack([u, np.cross(normal, u), normal])
    centre = np.array([14.0, 14.0, 14.0])
    heights = gap * np.arange(-3, 4)
    flat = [ring(11.3, (0, 0), z=0.0), box(-4.2, -3.1, 5.3, 4.4, z=0.0)]
    contours = [(points + np.array([0, 0, height])) @ frame + centre for height in heights for points in flat]
    mask = fill(contours, Geometry((30, 30, 30), np.eye(4)))
    k, j, i = np.indices(mask.shape).reshape(3, -1)
    x, y, height = frame @ (np.stack([i, j, k]) - centre[:, None])
    expected = is_inside([points[:, :2] for points in flat], x, y) & (np.abs(height) <= 3.5 * gap)
    # Where rounding decides: at the ends of the slabs and on the polygons' edges.
    unclear = np.abs(np.abs(height) - 3.5 * gap) < 1e-4
    unclear |= (np.abs(np.hypot(x, y) - 11.3) < 2e-3) | is_near_box(x, y)
    np.testing.assert_array_equal(mask.ravel()[~unclear], expected[~unclear])


def is_near_box(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    near = [np.abs(x + 4.2), np.abs(x - 5.3), np.abs(y + 3.1), np.abs(y - 4.4)]
    return np.min(near, axis=0) < 1e-4


@pytest.mark.parametrize("every", [2, 3])
def test_slices_between_regularly_drawn_contours_are_filled(every):
    fine = Geometry((12, 40, 50), np.diag([1.0, 1.0, 1.0, 1.0]))
    drawn = range(every // 2, 12, every)
    mask = fill([ring(6 + n % 2, z=float(n)) for n in drawn], fine)
    assert mask[drawn[0] :].any(axis=(1, 2)).all()
    for n in drawn:
        np.testing.assert_array_equal(mask[n], fill([ring(6 + n % 2, z=float(n))], fine)[n])


def test_parts_far_apart_are_not_joined():
    fine = Geometry((40, 40, 50), np.eye(4))
    heights = [3.0, 4.0, 5.0, 25.0, 26.0]
    assert np.flatnonzero(fill([ring(6, z=z) for z in heights], fine).any(axis=(1, 2))).tolist() == [3, 4, 5, 25, 26]
    assert np.flatnonzero(fill([ring(6, z=z) for z in (5.0, 25.0)], fine).any(axis=(1, 2))).tolist() == [5, 25]


def test_a_contour_that_lies_in_no_plane_and_planes_that_cross_are_refused():
    bent = ring(9)
    bent[:, 2] += np.linspace(0, 6, len(bent))
    with pytest.raises(UserError, match="parallel planes"):
        fill([bent], GRID)
    with pytest.raises(UserError, match="parallel planes"):
        fill([ring(9), ring(9)[:, [0, 2, 1]]], GRID)


def test_a_contour_with_a_missing_number_is_refused():
    broken = ring(9)
    broken[3, 0] = np.nan
    with pytest.raises(UserError, match="not numbers"):
        fill([broken], GRID)


@pytest.mark.parametrize("radius", [18.5, 19.0, 19.3])
def test_area_is_that_of_the_polygon(radius):
    area = fill([ring(radius)], GRID).sum()
    assert area == pytest.approx(np.pi * radius**2, rel=0.01)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 4), points=st.integers(3, 30))
def test_any_polygons_are_filled_by_the_even_odd_rule(seed, count, points):
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-10, 60, (points, 2)).round(rng.integers(0, 4)) for _ in range(count)]
    mask = fill([np.column_stack([polygon, np.full(points, 4.0)]) for polygon in polygons], GRID)[2]
    x, y = np.arange(GRID.shape[2])[None, :], np.arange(GRID.shape[1])[:, None]
    unclear = np.zeros(mask.shape, bool)  # centres on an edge, where the two ways of computing may round apart
    for polygon in polygons:
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            length = max(np.hypot(*(end - start)), 1e-9)
            distance = ((end[0] - start[0]) * (y - start[1]) - (end[1] - start[1]) * (x - start[0])) / length
            unclear |= np.abs(distance) < 1e-5
    np.testing.assert_array_equal(mask[~unclear], is_inside(polygons, x, y)[~unclear])


@settings(max_examples=40, deadline=None)
@given(angles=st.tuples(*[st.floats(-3, 3)] * 3), flips=st.tuples(*[st.sampled_from([-1, 1])] * 3))
def test_the_grid_may_lie_anyhow_in_the_patient(angles, flips):
    """Contours and grid moved together give the mask that they gave before."""
    a, b, c = angles
    turn = np.eye(3)
    for i, j, angle in ((0, 1, a), (1, 2, b), (0, 2, c)):
        step = np.eye(3)
        step[[i, j, i, j], [i, j, j, i]] = np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)
        turn = turn @ step
    matrix = np.eye(4)
    matrix[:3, :3] = turn @ np.diag(flips) @ np.diag([0.7, 0.9, 3.0])
    matrix[:3, 3] = (31.0, -250.5, 812.25)
    grid = Geometry(GRID.shape, matrix)
    contours = [ring(15.3), ring(8.3, z=4.2), box(3.3, 3.3, 8.8, 9.1, z=8.0)]
    voxels = [contour / (1, 1, 2) for contour in contours]
    moved = [points @ matrix[:3, :3].T + matrix[:3, 3] for points in voxels]
    np.testing.assert_array_equal(fill(moved, grid), fill(contours, GRID))


def test_a_real_structure_set_keeps_its_areas(shared_data):
    contours = read_rtstruct(shared_data / "rt" / "rtss.dcm").contours
    grid = Geometry.from_lps((143, 512, 512), spacing=(1.074219, 1.074219, 3.0), origin=(-275.0, -524.0, -125.44))
    pixel = 1.074219**2
    for name, planes in contours.items():
        mask = fill(planes, grid)
        by_height: dict[float, float] = {}
        for points in planes:
            x, y = points[:, 0], points[:, 1]
            area = abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
            by_height[points[0, 2]] = by_height.get(points[0, 2], 0.0) + area
        assert mask.any(axis=(1, 2)).sum() == len(by_height), name
        if name in ("BODY", "Heart"):  # one contour a slice or several side by side: no holes to take off
            assert mask.sum() * pixel == pytest.approx(sum(by_height.values()), rel=0.01), name


def test_filling_a_clinical_grid_takes_little_memory():
    grid = Geometry((150, 512, 512), np.diag([1.0, 1.0, 3.0, 1.0]))
    contours = [ring(200, (256, 256), z=3.0 * k, points=400) for k in range(10, 140)]
    tracemalloc.start()
    assert fill(contours, grid).any()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6  # the mask itself is 39 MB
