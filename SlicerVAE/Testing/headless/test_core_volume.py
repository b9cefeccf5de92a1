"""Geometry: where a voxel lies, in the frames of Slicer (RAS) and of DICOM (LPS)."""

import numpy as np
import pytest
import SimpleITK as sitk

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel, Meter
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from Testing.headless.twins import grid, rotation


def test_lps_is_read_and_given_as_simpleitk_does():
    image = sitk.Image([5, 4, 3], sitk.sitkInt16)
    image.SetSpacing((0.7, 1.1, 3.0))
    image.SetOrigin((10.0, -20.0, 30.0))
    image.SetDirection(rotation((1, 2, 3), 30).ravel().tolist())
    geometry = Geometry.from_lps(
        (3, 4, 5), spacing=image.GetSpacing(), origin=image.GetOrigin(), direction=np.array(image.GetDirection())
    )
    for index in ((0, 0, 0), (4, 3, 2), (1, 2, 1)):
        ras = (geometry.ijk_to_ras @ [*index, 1])[:3]
        np.testing.assert_allclose(ras * [-1, -1, 1], image.TransformIndexToPhysicalPoint(index))
    spacing, origin, direction = geometry.lps
    np.testing.assert_allclose(spacing, image.GetSpacing())
    np.testing.assert_allclose(origin, image.GetOrigin())
    np.testing.assert_allclose(direction.ravel(), image.GetDirection())


def test_spacing_directions_centre_and_volume():
    turn = rotation((1, 1, 0), 50)
    geometry = grid((4, 6, 8), (2.0, 3.0, 5.0), turn)
    np.testing.assert_allclose(geometry.spacing, [2, 3, 5])
    np.testing.assert_allclose(geometry.directions, turn, atol=1e-12)
    np.testing.assert_allclose(geometry.centre, 0, atol=1e-12)
    assert geometry.voxel_volume_cm3 == pytest.approx(0.03)


def test_a_parent_transform_moves_the_grid():
    shear = np.eye(4)
    shear[0, 1], shear[:3, 3] = 0.2, (5, 6, 7)
    moved = grid((4, 6, 8), (2.0, 3.0, 5.0)).transformed(shear)
    np.testing.assert_allclose(moved.centre, (5, 6, 7))
    assert moved.voxel_volume_cm3 == pytest.approx(0.03)


def test_grids_match_when_every_corner_does():
    geometry = grid((40, 60, 80), (2.0, 3.0, 5.0))
    assert geometry.matches(grid((40, 60, 80), (2.0, 3.0, 5.0)))
    assert not geometry.matches(grid((40, 60, 81), (2.0, 3.0, 5.0)))
    assert not geometry.matches(grid((40, 60, 80), (2.0, 3.0, 5.001)))
    assert geometry.matches(grid((40, 60, 80), (2.0, 3.0, 5.001)), tolerance_mm=1)


def test_a_grid_cannot_be_changed_behind_its_back():
    matrix = np.eye(4)
    geometry = Geometry((1, 1, 1), matrix)
    matrix[0, 0] = 7
    assert geometry.ijk_to_ras[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        geometry.ijk_to_ras[0, 0] = 7


@pytest.mark.parametrize("matrix", [np.diag([1, 1, 0, 1]), np.full((4, 4), np.nan), np.diag([1, np.inf, 1, 1])])
def test_axes_that_span_no_volume_are_refused(matrix):
    with pytest.raises(UserError, match="do not span a volume"):
        Geometry((2, 2, 2), matrix)


def test_an_array_or_a_mask_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="differ"):
        Volume(np.zeros((2, 3, 5)), grid((2, 3, 4), (1, 1, 1)))
    with pytest.raises(ValueError, match="Heart"):
        Volume(np.zeros((2, 3, 4)), grid((2, 3, 4), (1, 1, 1)), masks={"Heart": np.zeros((2, 3, 5), bool)})


def test_units_are_those_of_the_modality():
    assert [m.unit for m in (Modality.CT, Modality.DOSE, Modality.MR, Modality.UNKNOWN)] == ["HU", "Gy", "", ""]


def test_a_meter_counts_to_its_end_and_estimates_what_is_left(monkeypatch):
    clock = iter([100.0, 100.0, 110.0, 130.0, 140.0, 140.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    seen = []
    meter = Meter(seen.append, "reading", 4, start=0.2, end=1.0)
    for steps in (1, 2, 1, 1):
        meter.advance(steps)
    assert [progress.fraction for progress in seen] == pytest.approx([0.2, 0.4, 0.8, 1.0, 1.0])
    assert [progress.remaining_s for progress in seen] == [None, 30.0, 10.0, 0.0, 0.0]


def test_cancel_is_raised_where_it_is_asked_for():
    cancel = Cancel()
    cancel.check()
    cancel.request()
    with pytest.raises(Cancelled, match="nothing was changed"):
        cancel.check()
