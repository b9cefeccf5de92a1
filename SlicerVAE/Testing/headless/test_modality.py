"""What a volume is taken for when no header says so."""

import numpy as np
import pytest

from SlicerVAELib.core.modality import infer_modality
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.read import read_volume


def test_every_real_volume_is_taken_for_what_it_is(shared_data):
    wrong = {}
    for path in sorted(shared_data.rglob("*.nii.gz")):
        volume = read_volume(path)
        if "label" in path.name or "lesion" in path.name:
            expected = Modality.UNKNOWN
        else:
            expected = Modality.CT if "totalsegmentator" in path.parts else Modality.MR
        assert volume.modality_is_inferred
        if volume.modality != expected:
            wrong[path.name] = volume.modality
    assert not wrong


@pytest.fixture(scope="module")
def chest(shared_data) -> np.ndarray:
    return read_volume(shared_data / "totalsegmentator" / "chest_abdomen_ct.nii.gz").array


@pytest.fixture(scope="module")
def brain(shared_data) -> np.ndarray:
    return read_volume(shared_data / "open_ms" / "longitudinal" / "patient01" / "study1_T1W.nii.gz").array


def test_a_ct_stays_one_when_cropped_padded_or_stored_as_float(chest):
    assert infer_modality(chest[80:, 20:80, 20:100]) is Modality.CT
    assert infer_modality(np.pad(chest, 5, constant_values=-3024)) is Modality.CT
    assert infer_modality(chest.astype(np.float64)) is Modality.CT


def test_windowed_scaled_and_standardised_values_are_not_guessed(chest, brain):
    assert infer_modality(np.clip(chest, -160, 240)) is Modality.UNKNOWN
    assert infer_modality((chest - chest.mean()) / chest.std()) is Modality.UNKNOWN
    assert infer_modality((brain - brain.mean()) / brain.std()) is Modality.UNKNOWN


def test_a_ct_cropped_to_soft_tissue_alone_is_not_guessed(chest):
    assert infer_modality(chest[40:70, 20:80, 20:100]) is Modality.UNKNOWN


def test_a_phase_image_is_no_ct():
    phase = np.random.default_rng(0).integers(-4096, 4096, (20, 64, 64))
    assert infer_modality(phase) is Modality.UNKNOWN


def test_a_residual_of_a_ct_is_no_ct(chest):
    assert infer_modality(np.diff(chest, axis=2)) is not Modality.CT


@pytest.mark.parametrize(
    "array", [np.zeros((3, 4, 5)), np.ones((3, 4, 5), bool), np.full((2, 2, 2), np.nan), np.zeros((0, 2, 2))]
)
def test_nothing_is_read_into_empty_arrays(array):
    assert infer_modality(array) is Modality.UNKNOWN
