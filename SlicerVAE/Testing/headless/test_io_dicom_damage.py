"""2,400 damaged files: never a traceback, and never a grid other than the true one without a word.

An outcome is good when it is a refusal in words, or the grid of the undamaged data. What damage may change is told
apart: values of the damaged slice itself, and texts such as names. A NIfTI file holds its affine twice; where the two
disagree, the volume's notes must say so. An enhanced object says the pixel spacing and the direction once for all its
frames, and a structure set each point once, so that nothing tells a wrong digit from a right one: of these, only the
size of what is read is held against the undamaged data.
"""

from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.structures import read_structures
from Testing.headless.dicom_series import stored_ct, write_series, write_structures
from Testing.headless.file_damage import damaged, elements_of

SHAPE = (4, 16, 16)
ROUNDING_MM = 0.05  # what scanners' decimals and the tolerances of the grid leave open
_REFUSED, _UNCHANGED, _OTHER_VALUES = "refused", "unchanged", "other values or texts"


def refused(read, path):
    """What ``read(path)`` gives, or None when it says in words why not."""
    try:
        return read(path)
    except UserError as error:
        first, *rows = str(error).split("\n")
        assert len(first) > 20 and (not rows or "--series" in first), error
        return None


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_slice_never_moves_the_volume(tmp_path, seed):
    rng = np.random.default_rng(seed)
    files = write_series(tmp_path, stored_ct(SHAPE), spacing=(0.8, 0.9, 2.5))
    whole = {path: path.read_bytes() for path in files}
    tags = [(element.tag.group, element.tag.element) for element in pydicom.dcmread(files[0])]
    true = read_volume(tmp_path)
    counts = Counter()
    for _ in range(250):
        k = int(rng.integers(len(files)))
        data = whole[files[k]]
        files[k].write_bytes(damaged(data, rng, elements_of(data, tags)))
        volume = refused(read_volume, tmp_path)
        files[k].write_bytes(data)
        if volume is None:
            counts[_REFUSED] += 1
            continue
        assert volume.geometry.matches(true.geometry, ROUNDING_MM)
        others = [n for n in range(SHAPE[0]) if n != k]
        np.testing.assert_array_equal(volume.array[others], true.array[others])
        same = np.array_equal(volume.array[k], true.array[k])
        counts[_UNCHANGED if same else _OTHER_VALUES] += 1
    assert counts.total() == 250 and min(counts.values()) > 5 and len(counts) == 3, counts


@pytest.mark.parametrize("seed", range(2))
def test_a_damaged_enhanced_object_never_moves(tmp_path, seed):
    from Testing.headless.test_io_dicom_frames import write_enhanced

    rng = np.random.default_rng(10 + seed)
    path = write_enhanced(tmp_path / "a.dcm", stored_ct(SHAPE))
    data = path.read_bytes()
    tags = [(element.tag.group, element.tag.element) for element in pydicom.dcmread(path)]
    true = read_volume(path)
    counts = Counter()
    for _ in range(100):
        path.write_bytes(damaged(data, rng, elements_of(data, tags)))
        volume = refused(read_volume, path)
        counts[volume is None] += 1
        if volume is not None:
            assert volume.array.shape == true.array.shape
    assert counts[True] > 20 and counts[False] > 20


def write_nifti(path: Path) -> bytes:
    affine = np.array([[0.8, 0, 0, 10], [0, 0.9, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(stored_ct(SHAPE).T.astype(np.int16), affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nibabel.save(image, path)
    return path.read_bytes()


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_damaged_nifti_never_moves_without_a_word(tmp_path, name):
    path = tmp_path / name
    rng = np.random.default_rng(5)
    data = write_nifti(path)
    true = read_volume(path)
    counts = Counter()
    for _ in range(400):
        path.write_bytes(damaged(data, rng))
        volume = refused(read_volume, path)
        if volume is None:
            counts[_REFUSED] += 1
        elif name.endswith("gz"):  # its check sum covers everything
            np.testing.assert_array_equal(volume.array, true.array)
            assert volume.geometry.matches(true.geometry, 0) and volume.source.notes == ()
            counts[_UNCHANGED] += 1
        else:
            assert volume.array.shape == true.array.shape
            assert volume.source.notes or volume.geometry.matches(true.geometry, 0.15)
            counts["noted" if volume.source.notes else _OTHER_VALUES] += 1
    assert counts.total() == 400 and counts[_REFUSED] > 50 and len(counts) > 1, counts


def test_a_damaged_structure_set_gives_masks_or_a_sentence(tmp_path):
    rng = np.random.default_rng(6)
    write_series(tmp_path / "ct", stored_ct(SHAPE), spacing=(0.8, 0.9, 2.5))
    volume = read_volume(tmp_path / "ct")

    def ring(k, size):
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * size + (-98, -118)
        return "CLOSED_PLANAR", np.column_stack([corners, np.full(4, 40 + 2.5 * k)])

    path = write_structures(
        tmp_path / "rs.dcm", [(name, [ring(k, 4 + n) for k in range(4)]) for n, name in enumerate("ABC")]
    )
    data = path.read_bytes()
    tags = [(element.tag.group, element.tag.element) for element in pydicom.dcmread(path)]
    counts = Counter()
    for _ in range(400):
        path.write_bytes(damaged(data, rng, elements_of(data, tags)))
        masks = refused(lambda place: read_structures(place, volume), path)
        counts[masks is None] += 1
        for mask in (masks or {}).values():
            assert mask.shape == SHAPE and mask.dtype == bool and mask.any()
    assert counts[True] > 50 and counts[False] > 50
