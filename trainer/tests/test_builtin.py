"""The demonstration patient's file: what a model finds on a phantom, kept and read back."""

import numpy as np
import pytest

from slicervae.builtin.patient import make_patient_file
from SlicerVAELib.core.demonstration import read_demonstration
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.core.volume import Modality
from Testing.headless.tiny_bundle import write_tiny_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def made(bundle, tmp_path_factory):
    path = tmp_path_factory.mktemp("patient") / "new" / "patient.npz"
    return path, make_patient_file(path, bundle, size=48, slices=12, listener=ignore, cancel=Cancel())


def test_the_patient_is_read_as_it_was_made(made):
    path, patient = made
    read = read_demonstration(path)
    np.testing.assert_array_equal(read.volume.array, patient.volume.array)
    np.testing.assert_allclose(read.volume.geometry.ijk_to_ras, patient.volume.geometry.ijk_to_ras)
    assert read.volume.source == patient.volume.source and read.volume.modality is Modality.CT
    assert list(read.volume.masks) == list(patient.volume.masks)
    for name, mask in patient.volume.masks.items():
        np.testing.assert_array_equal(read.volume.masks[name], mask)
    np.testing.assert_array_equal(read.result.arrays["field_of_view"], patient.result.arrays["field_of_view"])
    for name, step in {"reconstruction": 1.0, "anomaly": 1 / 16}.items():
        np.testing.assert_allclose(read.result.arrays[name], patient.result.arrays[name], atol=0.51 * step)
    for name in ("provenance", "anomaly_unit", "window", "slice_scores", "notices", "patient_p_value"):
        assert getattr(read.result, name) == getattr(patient.result, name)


def test_the_dose_lies_on_the_target(made):
    _, patient = made
    hottest = np.argwhere(patient.dose.array > 0.95 * patient.dose.array.max()).mean(axis=0)[::-1]
    target = np.argwhere(patient.volume.masks["PTV"]).mean(axis=0)[::-1]
    places = [
        volume.geometry.ijk_to_ras @ np.append(index, 1.0)
        for volume, index in ((patient.dose, hottest), (patient.volume, target))
    ]
    assert np.linalg.norm(places[0] - places[1]) < 40.0
    assert 20.0 < patient.dose.array.max() < 100.0


def test_the_same_patient_gives_the_same_bytes(made, bundle, tmp_path):
    path, _ = made
    make_patient_file(tmp_path / "again.npz", bundle, size=48, slices=12, listener=ignore, cancel=Cancel())
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_a_damaged_file_is_refused_in_one_sentence(made, tmp_path, content):
    broken = tmp_path / "broken.npz"
    if content is None:
        broken.write_bytes(made[0].read_bytes()[:-3000])
    else:
        broken.write_bytes(content)
    with pytest.raises(UserError, match="install SlicerVAE again"):
        read_demonstration(broken)
