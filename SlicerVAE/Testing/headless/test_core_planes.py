"""Slices in the three planes of the body: where they lie, that they go back, and that the grid's axes don't matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from SlicerVAELib.core.planes import directions, slice_letter
from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Geometry
from Testing.headless.twins import body, grid, hounsfield, positions, rotation, turned_back, twin

WIDE = HounsfieldWindow(lower=-1000.0, upper=1000.0)
PLANES = ("axial", "coronal", "sagittal")
COLUMNS_ROWS_SLICES = {  # RAS
    "axial": [(-1, 0, 0), (0, -1, 0), (0, 0, 1)],
    "coronal": [(-1, 0, 0), (0, 0, -1), (0, -1, 0)],
    "sagittal": [(0, -1, 0), (0, 0, -1), (-1, 0, 0)],
}
every_plane = pytest.mark.parametrize("plane", PLANES)


def inner_part(geometry: Geometry, other: Geometry, margin_mm: float) -> np.ndarray:
    """Where voxels of one grid lie well inside another."""
    index = (positions(geometry) - other.ijk_to_ras[:3, 3]) @ np.linalg.inv(other.ijk_to_ras[:3, :3]).T
    margin = margin_mm / other.spacing
    return ((index > margin) & (index < np.array(other.shape[::-1]) - 1 - margin)).all(axis=-1)


@every_plane
def test_slices_lie_as_radiologists_look_at_them_and_hold_what_is_there(plane):
    volume = body(grid((40, 50, 60), (3.0, 3.0, 3.5), rotation((0.2, 1, 0.4), 25)))
    stack = prepare(volume, Preprocessing(WIDE, 36, 4.0, plane=plane))
    axes = stack.geometry.directions.T
    np.testing.assert_allclose(axes, COLUMNS_ROWS_SLICES[plane], atol=1e-9)
    truth = (hounsfield(positions(stack.geometry)) + 1000) / 2000
    inner = inner_part(stack.geometry, volume.geometry, 6.0)
    assert inner.sum() > 1000
    assert np.median(np.abs(stack.pixels[:, 0].numpy() - truth)[inner]) < 0.01


@every_plane
def test_positions_rise_in_lps_along_the_slices(plane):
    volume = body(grid((20, 24, 28), (4.0, 3.0, 5.0)))
    stack = prepare(volume, Preprocessing(WIDE, 32, 4.0, plane=plane))
    found = np.array(stack.positions_mm())
    assert (np.diff(found) > 0).all()
    axis = {"S": 2, "P": 1, "L": 0}[slice_letter(plane)]
    centres = positions(stack.geometry)[:, 0, 0] * (-1, -1, 1)
    np.testing.assert_allclose(found, centres[:, axis], atol=1e-6)


@every_plane
def test_own_slices_stay_one_to_one(plane):
    volume = body(grid((20, 24, 28), (4.0, 3.0, 5.0)))  # spacing and shape along R, A, S: 4, 3, 5 mm; 28, 24, 20
    stack = prepare(volume, Preprocessing(WIDE, 32, 4.0, plane=plane))
    assert (len(stack.pixels), stack.geometry.spacing[2]) == {
        "axial": (20, 5.0),
        "coronal": (24, 3.0),
        "sagittal": (28, 4.0),
    }[plane]


@settings(max_examples=30, deadline=None)
@given(
    plane=st.sampled_from(PLANES),
    order=st.permutations([0, 1, 2]),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    depth=st.sampled_from(["slices", "cube"]),
)
def test_the_order_and_direction_of_the_grids_axes_make_no_difference(plane, order, flips, depth):
    volume = body(grid((22, 26, 30), (4.0, 4.5, 3.5)))
    other = twin(volume, tuple(order), flips)
    preprocessing = Preprocessing(WIDE, 24, 5.0, plane=plane, depth=depth)
    one, two = prepare(volume, preprocessing), prepare(other, preprocessing)
    assert one.geometry.matches(two.geometry)
    assert float((one.pixels - two.pixels).abs().max()) < 1e-4
    back = turned_back(two.to_source(two.pixels[:, 0], fill=-1.0), tuple(order), flips)
    np.testing.assert_allclose(back, one.to_source(one.pixels[:, 0], fill=-1.0), atol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    plane=st.sampled_from(PLANES),
    spacing=st.tuples(*[st.floats(1.5, 4.0)] * 3),
    axis=st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda axis: np.linalg.norm(axis) > 0.1),
    degrees=st.floats(0, 360),
    size=st.integers(36, 64),
)
def test_back_on_the_input_grid_is_what_interpolation_allows(plane, spacing, axis, degrees, size):
    shape = tuple(int(110 / step) for step in reversed(spacing))
    volume = body(grid(shape, spacing, rotation(axis, degrees)))
    stack = prepare(volume, Preprocessing(WIDE, size, 90 / size, plane=plane, slice_step_mm=2.0))
    back = stack.to_source(stack.pixels[:, 0], fill=-1.0) * stack.scale + stack.window[0]
    assert back.shape == volume.array.shape
    inner = inner_part(volume.geometry, stack.geometry, 6.0) & inner_part(volume.geometry, volume.geometry, 9.0)
    assert inner.mean() > 0.02
    assert stack.seen()[inner].all()
    assert np.abs(back - volume.array)[inner].max() < 0.05 * np.ptp(volume.array)


def test_directions_are_those_of_the_patient():
    for plane, expected in COLUMNS_ROWS_SLICES.items():
        np.testing.assert_array_equal(directions(plane).T, expected)
