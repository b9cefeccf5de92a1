"""Where the zero of body positions lies, on phantoms, on real images and on turned ones."""

import numpy as np
import pytest

from SlicerVAELib.core.body import body_of, tissue_threshold
from SlicerVAELib.core.body_position import LEAST_LUNGS_CM3, body_origin
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from SlicerVAELib.io.read import read_volume
from Testing.headless.twins import grid, positions, rotation, turned

LUNG, FAT, AIR = -850.0, -80.0, -1000.0


def origin_of(volume, low=-800.0, high=700.0):
    threshold = tissue_threshold(volume.modality, low, high)
    return body_origin(volume, body_of(volume.array, volume.geometry, threshold, low))


def trunk(geometry, lungs_at_mm=20.0, lungs_mm=60.0, modality=Modality.CT):
    """A trunk along S with two lungs of some height about a level, cut off by the image above and below."""
    x, y, z = np.moveaxis(positions(geometry), -1, 0)
    body = (x / 150) ** 2 + (y / 95) ** 2 < 1
    lungs = (((np.abs(x) - 65) / 45) ** 2 + (y / 60) ** 2 < 1) & (np.abs(z - lungs_at_mm) < lungs_mm)
    array = np.where(body, np.where(lungs, LUNG, FAT), AIR).astype(np.float32)
    return Volume(array, geometry, modality)


UPRIGHT = grid((48, 52, 70), (5.0, 5.0, 5.0))


def test_the_zero_is_the_middle_of_the_lungs():
    found = origin_of(trunk(UPRIGHT))
    assert found.landmark == "lungs"
    assert found.superior_mm == pytest.approx(20, abs=3)
    shown = found.positions(np.array([20.0, 50.0, -100.0]))
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, [0, 30, -120], atol=3)


@pytest.mark.parametrize("flips", [(True, False, False), (False, True, True)])
def test_the_order_of_the_voxels_does_not_matter(flips):
    volume = trunk(UPRIGHT)
    steps = np.array([-1.0 if flip else 1.0 for flip in flips])[::-1]
    matrix = volume.geometry.ijk_to_ras.copy()
    matrix[:3, 3] += matrix[:3, :3] @ np.where(steps < 0, np.array(volume.array.shape[::-1]) - 1, 0)
    matrix[:3, :3] *= steps
    other = Volume(turned(volume.array, (0, 1, 2), flips), Geometry(volume.array.shape, matrix), Modality.CT)
    assert origin_of(other).landmark == "lungs"
    assert origin_of(other).superior_mm == pytest.approx(20, abs=3)


def test_a_tilted_scan_has_its_zero_at_the_same_place():
    tilted = grid((48, 56, 70), (5.0, 5.0, 5.0), rotation((1.0, 0.0, 0.0), 12))
    found = origin_of(trunk(tilted))
    assert found.landmark == "lungs"
    assert found.superior_mm == pytest.approx(20, abs=4)


def test_small_lungs_cut_lungs_and_an_mr_are_placed_by_the_middle_of_the_scan():
    height = 500 * LEAST_LUNGS_CM3 / (np.pi * 45 * 60 * 2)  # half the least volume
    for volume in (
        trunk(UPRIGHT, lungs_mm=height / 2),
        trunk(UPRIGHT, lungs_at_mm=130.0),
        trunk(UPRIGHT).replace(array=trunk(UPRIGHT).array + 1000, modality=Modality.MR),
    ):
        found = origin_of(volume, low=200.0 if volume.modality is Modality.MR else -800.0)
        assert found.landmark == "scan"
        assert found.superior_mm == pytest.approx(volume.geometry.centre[2])


def test_a_head_is_placed_by_its_top():
    x, y, z = np.moveaxis(positions(UPRIGHT), -1, 0)
    head = x**2 + y**2 + np.maximum(z - 20, 0) ** 2 < 80**2  # from a neck upwards, its top at 100 mm
    found = origin_of(Volume(np.where(head, 40.0, AIR).astype(np.float32), UPRIGHT, Modality.CT))
    assert found.landmark == "vertex"
    assert found.superior_mm == pytest.approx(100, abs=5)


def test_an_image_of_the_inside_alone_is_placed_by_its_middle():
    volume = Volume(np.full((10, 40, 40), FAT, np.float32), grid((10, 40, 40), (4.0, 4.0, 4.0)), Modality.CT)
    assert origin_of(volume).landmark == "scan"


@pytest.mark.parametrize(
    ("file", "landmark"),
    [
        ("totalsegmentator/chest_abdomen_ct.nii.gz", "scan"),  # half a litre of lung, which the top of the scan cuts
        ("totalsegmentator/thorax_ct_a.nii.gz", "scan"),  # cut off to all sides
        ("open_ms/cross_sectional/patient07/FLAIR.nii.gz", "vertex"),  # 182 slices of 1 mm with air above the brain
        ("open_ms/longitudinal/patient01/study1_FLAIR.nii.gz", "scan"),  # ends within the skull
    ],
)
def test_real_images(shared_data, file, landmark):
    volume = read_volume(shared_data / file)
    window = np.percentile(volume.array, [0.5, 99.5]) if volume.modality is Modality.MR else (-800.0, 700.0)
    found = origin_of(volume, *window)
    assert found.landmark == landmark
    if landmark == "vertex":
        above = np.flatnonzero((volume.array > window[0] + 0.1 * (window[1] - window[0])).any(axis=(1, 2)))[-1]
        top = volume.geometry.ijk_to_ras @ [90, 109, above, 1]
        assert found.superior_mm == pytest.approx(top[2], abs=6)
