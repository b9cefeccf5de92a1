"""The body without the couch, and what a model that sees only the body says of the rest."""

import numpy as np
import pytest

from SlicerVAELib.core.body import STEP_MM, TISSUE_HU, body_of
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.resampling import resample
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Geometry, Modality, Volume
from Testing.headless.twins import grid, positions, rotation

AIR, FAT, LUNG, COUCH = -1000.0, -80.0, -850.0, 300.0


def patient(geometry: Geometry) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HU of a trunk with lungs on a curved couch of 6 mm, where its body lies, and the couch but where they touch."""
    x, y, z = np.moveaxis(positions(geometry), -1, 0)
    body = (x / 150) ** 2 + (y / 95) ** 2 < 1
    lungs = (((np.abs(x) - 65) / 45) ** 2 + ((y - 5) / 60) ** 2 < 1) & (np.abs(z) < 60)
    couch = (np.abs(y + 98 - 0.0008 * x**2) < 3) & (np.abs(x) < 220)
    array = np.where(couch, COUCH, AIR)
    array = np.where(body, np.where(lungs, LUNG, FAT), array)
    return array.astype(np.float32), body, couch & (np.abs(x) > 90)


def on(geometry: Geometry, mask: tuple[np.ndarray, Geometry]) -> np.ndarray:
    return resample(*mask, geometry, fill=0.0).numpy() > 0.5


@pytest.mark.parametrize("turn", [None, rotation((0.3, 1, 0.2), 20)], ids=["straight", "oblique"])
@pytest.mark.parametrize("spacing", [(2.0, 2.0, 5.0), (1.2, 1.2, 3.0)])
def test_the_body_is_kept_with_its_lungs_and_the_couch_is_not(spacing, turn):
    geometry = grid((int(150 / spacing[2]), int(460 / spacing[1]), int(460 / spacing[0])), spacing, turn)
    array, body, couch = patient(geometry)
    found = on(geometry, body_of(array, geometry, TISSUE_HU, AIR))
    assert 2 * (found & body).sum() / (found.sum() + body.sum()) > 0.97
    assert (found & couch).sum() < 0.01 * couch.sum()
    assert found[array == LUNG].mean() > 0.99


def test_a_part_of_the_inside_counts_whole():
    geometry = grid((10, 60, 60), (2.0, 2.0, 4.0))
    array, _, _ = patient(geometry)  # 120 mm: fat in front and behind, lungs open to both sides
    mask, coarse = body_of(array, geometry, TISSUE_HU, AIR)
    assert mask.all()
    assert coarse.spacing == pytest.approx(STEP_MM)


@pytest.mark.parametrize("value", [AIR, FAT])
def test_an_image_of_one_value_counts_whole(value):
    geometry = grid((4, 30, 30), (3.0, 3.0, 5.0))
    assert body_of(np.full(geometry.shape, value, np.float32), geometry, TISSUE_HU, AIR)[0].all()


def test_nothing_thick_enough_counts_whole():
    geometry = grid((10, 60, 60), (4.0, 4.0, 4.0))
    array = np.full(geometry.shape, AIR, np.float32)
    array[4:6, 30, 10:50] = FAT
    assert body_of(array, geometry, TISSUE_HU, AIR)[0].all()


@pytest.mark.parametrize(
    ("intensity", "modality"),
    [(HounsfieldWindow(), Modality.CT), (ForegroundPercentiles(), Modality.MR)],
    ids=["CT", "MR"],
)
def test_a_model_of_the_body_sees_no_couch_and_says_so(intensity, modality):
    geometry = grid((12, 200, 200), (2.3, 2.3, 8.0))
    array, body, couch = patient(geometry)
    if modality is Modality.MR:
        array = array - AIR
    volume = Volume(array, geometry, modality)
    plain = prepare(volume, Preprocessing(intensity, 64, 8.0))
    bare = prepare(volume, Preprocessing(intensity, 64, 8.0, body_only=True))
    on_couch = resample(couch, geometry, bare.geometry, fill=0.0).numpy() > 0.3
    in_body = resample(body, geometry, bare.geometry, fill=0.0).numpy() > 0.99
    assert float(plain.pixels[:, 0][on_couch].mean()) > 0.2
    assert float(bare.pixels[:, 0][on_couch].mean()) < 0.02 * float(plain.pixels[:, 0][on_couch].mean())
    np.testing.assert_array_equal(bare.pixels[:, 0][in_body], plain.pixels[:, 0][in_body])
    assert plain.seen()[couch].all()
    assert bare.seen()[couch].mean() < 0.02
    assert bare.seen()[body].mean() > 0.99
