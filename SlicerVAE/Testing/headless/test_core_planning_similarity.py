"""Overlap-volume histograms against shapes of known distance, and distances against SciPy's."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.planning_similarity import (
    RADII_MM,
    OrganGeometry,
    PlanGeometry,
    geometric_distance,
    overlap_volume_histogram,
    plan_geometry,
    rank_sum,
)
from SlicerVAELib.core.records import from_data, to_data
from SlicerVAELib.core.squared_distance import bounding_box, squared_distances
from SlicerVAELib.core.volume import Volume
from Testing.headless.twins import grid, positions, rotation

SPACING = (2.0, 2.0, 3.0)


def spheres(geometry, **radii_and_places):
    """A volume with spheres as masks: a radius and a centre in RAS mm each."""
    places = positions(geometry)
    masks = {
        name: ((places - np.array(centre)) ** 2).sum(axis=-1) < radius**2
        for name, (radius, centre) in radii_and_places.items()
    }
    return Volume(np.zeros(geometry.shape, np.float32), geometry, masks=masks)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 999), share=st.floats(0.003, 0.6), spacing=st.tuples(*[st.floats(0.5, 5.0)] * 3))
def test_distances_are_those_of_scipy_in_any_box(seed, share, spacing):
    random = np.random.default_rng(seed)
    mask = random.random((7, 9, 11)) < share
    mask[tuple(random.integers(mask.shape))] = True
    ends = [np.sort(random.choice(count + 1, 2, replace=False)) for count in mask.shape]
    wanted = tuple(slice(int(low), int(high)) for low, high in ends)
    found = np.sqrt(squared_distances(mask, bounding_box(mask), wanted, np.array(spacing)))
    expected = distance_transform_edt(~mask, sampling=spacing[::-1])[wanted]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_histogram_counts_the_signed_distances_of_scipy(seed):
    random = np.random.default_rng(seed)
    target, organ = (np.zeros((20, 30, 25), bool) for _ in range(2))
    for mask in (target, organ):
        low = random.integers(0, 12, size=3)
        mask[tuple(slice(start, start + int(random.integers(2, 9))) for start in low)] = True
    found = overlap_volume_histogram(target, bounding_box(target), organ, np.array(SPACING))
    sampling = SPACING[::-1]
    outside, inside = (distance_transform_edt(mask, sampling=sampling) for mask in (~target, target))
    signed = (outside - inside)[organ]
    np.testing.assert_allclose(found, [(signed <= radius + 1e-3).mean() for radius in RADII_MM])


@pytest.mark.parametrize("turn", [None, rotation((0.3, 1.0, 0.2), 25)], ids=["straight", "oblique"])
def test_spheres_have_the_volumes_distances_and_histogram_of_spheres(turn):
    geometry = grid((50, 75, 75), SPACING, turn)
    volume = spheres(geometry, PTV=(20.0, (-30, 0, 0)), Heart=(15.0, (30, 0, 0)), Inner=(10.0, (-30, 0, 0)))
    found = plan_geometry(volume, "PTV", ["Heart", "Inner"])
    heart, inner = found.organs
    assert found.target_volume_cm3 == pytest.approx(4 / 3 * np.pi * 20**3 / 1000, rel=0.02)
    assert heart.volume_cm3 == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.03)
    assert heart.centroid_distance_mm == pytest.approx(60, abs=0.3)
    assert inner.centroid_distance_mm == pytest.approx(0, abs=0.3)
    curve = np.array(heart.overlap_volume_histogram)
    assert np.all(np.diff(curve) >= 0) and curve[0] == 0 and curve[-1] == 1
    # The heart begins 25 mm from the target's surface and ends at 55 mm; half of it is nearer than about 41 mm.
    assert curve[RADII_MM <= 22].max() == 0 and curve[RADII_MM >= 58].min() == 1
    assert np.interp(0.5, curve, RADII_MM) == pytest.approx(41, abs=2.5)
    # All of the inner sphere lies between 10 and 20 mm under the surface.
    deep = np.array(inner.overlap_volume_histogram)
    assert deep[RADII_MM >= -8].min() == 1 and deep[RADII_MM <= -24].max() == 0


def test_a_plan_survives_being_stored():
    volume = spheres(grid((20, 30, 30), (4.0, 4.0, 4.0)), PTV=(20.0, (0, 0, 0)), Heart=(15.0, (30, 0, 0)))
    found = plan_geometry(volume, "PTV", ["Heart"])
    assert from_data(PlanGeometry, json.loads(json.dumps(to_data(found))), "The geometry") == found
    short = to_data(found) | {"organs": [to_data(found.organs[0]) | {"overlap_volume_histogram": [1.0]}]}
    with pytest.raises(UserError, match="66 shares"):
        from_data(PlanGeometry, short, "The geometry")


def step_at(radius_mm):
    return tuple((radius_mm <= RADII_MM).astype(float).tolist())


def ball(radius_mm):
    return 4 / 3 * np.pi * radius_mm**3 / 1000


def test_the_distance_of_two_geometries_is_in_mm_what_the_formula_says():
    one = PlanGeometry("PTV", ball(20), (OrganGeometry("Heart", ball(30), 60.0, step_at(20)),))
    same_heart = OrganGeometry("Heart", ball(30), 60.0, step_at(20))
    assert geometric_distance(one, one) == 0
    larger_target = PlanGeometry("PTV", ball(23), (same_heart,))
    assert geometric_distance(one, larger_target) == pytest.approx(3)
    moved = PlanGeometry("PTV", ball(20), (OrganGeometry("Heart", ball(34), 65.0, step_at(32)),))
    assert geometric_distance(one, moved) == pytest.approx(12 + 5 + 4) == geometric_distance(moved, one)
    with_another = PlanGeometry("PTV", ball(20), (same_heart, OrganGeometry("Lung_L", ball(50), 10.0, step_at(-2))))
    assert geometric_distance(one, with_another) == 0
    without = PlanGeometry("PTV", ball(20), with_another.organs[1:])
    with pytest.raises(UserError, match="no organ in common"):
        geometric_distance(one, without)


def test_moving_an_organ_away_is_a_distance_that_grows():
    geometry = grid((20, 40, 60), (4.0, 4.0, 4.0))
    plans = [
        plan_geometry(spheres(geometry, PTV=(15.0, (-70, 0, 0)), Heart=(20.0, (x, 0, 0))), "PTV", ["Heart"])
        for x in (-30.0, -10.0, 10.0, 50.0)
    ]
    apart = [geometric_distance(plans[0], plan) for plan in plans]
    assert apart == sorted(apart)
    assert apart[1] == pytest.approx(2 * 20, abs=4)  # its centroid, and all of its histogram


def test_ranks_are_added_whatever_the_units():
    nats, mm = np.array([5e5, 1e5, 9e5, 2e5]), np.array([1.0, 4.0, 2.0, 0.5])
    assert rank_sum(nats).tolist() == [1, 3, 0, 2]
    # Ranks 2, 0, 3, 1 and 1, 3, 2, 0.
    assert rank_sum(nats, mm).tolist() == [3, 0, 1, 2]
    # Equal distances share ranks 1 and 2, so that the second list decides.
    assert rank_sum(np.array([0.0, 7.0, 7.0]), np.array([9.0, 8.0, 1.0])).tolist() == [2, 0, 1]


def test_a_structure_that_is_missing_or_empty_is_told():
    volume = spheres(grid((9, 9, 9), (4.0, 4.0, 4.0)), PTV=(10.0, (0, 0, 0)), Heart=(1.0, (99, 0, 0)))
    with pytest.raises(UserError, match="'Heart' is empty"):
        plan_geometry(volume, "PTV", ["Heart"])
    with pytest.raises(UserError, match="'Lung' is not there"):
        plan_geometry(volume, "PTV", ["Lung"])
