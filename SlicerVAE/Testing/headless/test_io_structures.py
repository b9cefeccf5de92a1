"""Structures from RT structure sets and label maps become masks on a volume's grid, or one sentence."""

from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Geometry, Source, Volume
from SlicerVAELib.io.read import read_volume
from SlicerVAELib.io.structures import read_structures
from Testing.headless.dicom_series import save, stored_ct, write_series, write_structures

FRAME = "2.16.840.1.113662.2.12.0.3057.1241703565.36"


@pytest.fixture
def ct(tmp_path) -> Volume:
    """12 rows of 0.9 mm, 10 columns of 0.8 mm, 5 slices of 2.5 mm, from (−100, −120, 40) LPS."""
    write_series(tmp_path / "ct", stored_ct())
    return read_volume(tmp_path / "ct")


def rectangle(first: tuple[int, int], last: tuple[int, int], k: int) -> np.ndarray:
    """Around the pixels from ``first`` to ``last`` (i, j) of slice k, in LPS mm."""
    (i0, j0), (i1, j1) = first, last
    corners = np.array([(i0 - 0.5, j0 - 0.5), (i1 + 0.5, j0 - 0.5), (i1 + 0.5, j1 + 0.5), (i0 - 0.5, j1 + 0.5)])
    return np.column_stack([-100 + 0.8 * corners[:, 0], -120 + 0.9 * corners[:, 1], np.full(4, 40 + 2.5 * k)])


def refusal(path: Path, volume: Volume) -> str:
    with pytest.raises(UserError) as caught:
        read_structures(path, volume)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_contours_mark_the_voxels_that_they_enclose(ct, tmp_path):
    outer, hole = rectangle((2, 3), (7, 9), 1), rectangle((4, 5), (5, 6), 1)
    path = write_structures(
        tmp_path / "rs.dcm", [("Lung", [("CLOSED_PLANAR", outer), ("CLOSED_PLANAR", hole)])], drawn_on="a"
    )
    expected = np.zeros(ct.array.shape, bool)
    expected[1, 3:10, 2:8] = True
    expected[1, 5:7, 4:6] = False
    masks = read_structures(path, ct)
    assert list(masks) == ["Lung"] and masks["Lung"].dtype == bool
    np.testing.assert_array_equal(masks["Lung"], expected)


def test_empty_point_and_open_structures_are_left_out_and_equal_names_told_apart(ct, tmp_path):
    area = ("CLOSED_PLANAR", rectangle((2, 3), (7, 9), 1))
    structures = [
        ("Empty", []),
        ("Isocentre", [("POINT", area[1][:1])]),
        ("Wire", [("OPEN_PLANAR", area[1])]),
        ("Dot", [("CLOSED_PLANAR", area[1][:1])]),
        ("Heart", [area]),
        ("Heart", [area, ("POINT", area[1][:1])]),
        ("Elsewhere", [("CLOSED_PLANAR", area[1] + 500)]),
    ]
    masks = read_structures(write_structures(tmp_path / "rs.dcm", structures), ct)
    assert list(masks) == ["Heart", "Heart (2)"]


def test_overlapping_structures_keep_their_voxels(ct, tmp_path):
    first, second = rectangle((1, 1), (5, 5), 2), rectangle((3, 3), (8, 8), 2)
    path = write_structures(
        tmp_path / "rs.dcm", [("A", [("CLOSED_PLANAR", first)]), ("B", [("CLOSED_PLANAR", second)])]
    )
    masks = read_structures(path, ct)
    assert masks["A"].sum() == 25 and masks["B"].sum() == 36 and (masks["A"] & masks["B"]).sum() == 9


def test_a_structure_set_of_another_image_is_refused(ct, tmp_path):
    area = [("A", [("CLOSED_PLANAR", rectangle((1, 1), (5, 5), 2))])]
    path = write_structures(tmp_path / "rs.dcm", area, frame="1.2.3.4", drawn_on="another")
    assert "drawn on another image" in refusal(path, ct) and ct.source.path in refusal(path, ct)
    assert read_structures(write_structures(tmp_path / "b.dcm", area, frame="1.2.3.4", drawn_on="a"), ct)
    assert read_structures(write_structures(tmp_path / "c.dcm", area, drawn_on="another"), ct)
    assert read_structures(path, ct.replace(source=Source(name="no UIDs known")))


def test_structures_that_lie_elsewhere_are_refused(ct, tmp_path):
    path = write_structures(tmp_path / "rs.dcm", [("A", [("CLOSED_PLANAR", rectangle((1, 1), (5, 5), 200))])])
    assert "No structure" in refusal(path, ct)


def test_contours_in_no_plane_are_refused_by_file(ct, tmp_path):
    bent = rectangle((1, 1), (5, 5), 2)
    bent[0, 2] += 20
    path = write_structures(tmp_path / "rs.dcm", [("A", [("CLOSED_PLANAR", bent)])])
    assert str(path) in refusal(path, ct) and "parallel planes" in refusal(path, ct)


@pytest.mark.parametrize("undefined_length", [True, False])
def test_a_cut_off_structure_set_never_loses_structures_silently(ct, tmp_path, undefined_length):
    area = [("CLOSED_PLANAR", rectangle((1, 1), (5, 5), k)) for k in (1, 2)]
    path = write_structures(tmp_path / "rs.dcm", [("A", area), ("B", area)])
    dataset = pydicom.dcmread(path)
    for element in dataset.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = undefined_length
            for item in element.value:
                item.is_undefined_length_sequence_item = undefined_length
    dataset.save_as(path)
    data = path.read_bytes()
    assert list(read_structures(path, ct)) == ["A", "B"]
    for kept in range(0, len(data) - 16, 23):
        path.write_bytes(data[:kept])
        assert str(path) in refusal(path, ct)


def test_contours_with_a_coordinate_missing_are_refused(ct, tmp_path):
    path = write_structures(tmp_path / "rs.dcm", [("A", [("CLOSED_PLANAR", rectangle((1, 1), (5, 5), 2))])])
    dataset = pydicom.dcmread(path)
    contour = dataset.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = list(contour.ContourData)[:-1]
    save(dataset, path)
    assert "damaged" in refusal(path, ct)


def test_what_is_no_structure_set_is_named(ct, tmp_path):
    slice_file = next((tmp_path / "ct").iterdir())
    assert "not an RT structure set" in refusal(slice_file, ct)
    (tmp_path / "a.txt").write_text("nothing")
    assert "not an RT structure set" in refusal(tmp_path / "a.txt", ct)
    assert "does not exist" in refusal(tmp_path / "nowhere.dcm", ct)
    assert "is a folder" in refusal(tmp_path / "ct", ct)


def test_the_real_structure_set_on_a_grid_of_its_series(shared_data):
    grid = Geometry.from_lps((143, 256, 256), spacing=(2.148438, 2.148438, 3.0), origin=(-274.46, -523.46, -125.44))
    source = Source(frame_of_reference_uid=FRAME, name="breast")
    volume = Volume(np.zeros(grid.shape, np.int16), grid, source=source)
    masks = read_structures(shared_data / "rt" / "rtss.dcm", volume)
    assert "Areola" not in masks and len(masks) == 9  # the Areola has no contours
    body = masks["BODY"]
    for name in ("Heart", "Lt Lung", "Tumor Bed"):
        assert (masks[name] & body).sum() > 0.98 * masks[name].sum(), name
    litres = {name: mask.sum() * grid.voxel_volume_cm3 / 1000 for name, mask in masks.items()}
    assert 0.4 < litres["Heart"] < 1.0 and 0.7 < litres["Lt Lung"] < 2.5
    left = (grid.ijk_to_ras @ [*np.argwhere(masks["Lt Lung"]).mean(axis=0)[::-1], 1])[0]
    assert left < (grid.ijk_to_ras @ [*np.argwhere(body).mean(axis=0)[::-1], 1])[0]  # to the patient's left, R is +


def test_a_real_label_map_gives_each_label_a_mask(shared_data):
    folder = shared_data / "totalsegmentator"
    volume = read_volume(folder / "chest_abdomen_ct_30slices.nii.gz")
    path = folder / "chest_abdomen_ct_labels_30slices.nii.gz"
    labels = np.asarray(nibabel.load(path).dataobj).T
    masks = read_structures(path, volume)
    assert set(masks) == {f"label {n}" for n in np.unique(labels) if n}
    np.testing.assert_array_equal(masks["label 5"], labels == 5)


def save_labels(path: Path, volume: Volume, labels: np.ndarray, fields: dict[str, str] | None = None) -> Path:
    image = sitk.GetImageFromArray(labels, isVector=labels.ndim == 4)
    spacing, origin, direction = volume.geometry.lps
    image.SetSpacing(spacing.tolist())
    image.SetOrigin(origin.tolist())
    image.SetDirection(direction.ravel().tolist())
    for key, value in (fields or {}).items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), True)
    return path


def test_segments_of_slicer_keep_their_names_and_may_overlap(ct, tmp_path):
    layers = np.zeros((*ct.array.shape, 2), np.uint8)
    layers[1, 2:5, 2:5, 0], layers[2, 2:5, 2:5, 0], layers[1, 4:8, 4:8, 1] = 1, 2, 1
    fields = {}
    for n, (name, layer, value) in enumerate([("Lung_L", 0, 1), ("Heart", 0, 2), ("PTV ü", 1, 1), ("Empty", 1, 2)]):
        fields |= {f"Segment{n}_ID": f"Segment_{n}", f"Segment{n}_Name": name}
        fields |= {f"Segment{n}_Layer": str(layer), f"Segment{n}_LabelValue": str(value)}
    masks = read_structures(save_labels(tmp_path / "s.seg.nrrd", ct, layers, fields), ct)
    assert list(masks) == ["Lung_L", "Heart", "PTV ü"]
    np.testing.assert_array_equal(masks["Heart"], layers[..., 0] == 2)
    np.testing.assert_array_equal(masks["PTV ü"], layers[..., 1] == 1)


def test_a_label_map_in_floats_is_one_when_its_values_are_whole(ct, tmp_path):
    labels = np.zeros(ct.array.shape, np.float32)
    labels[2, 3:6, 3:6] = 4
    assert list(read_structures(save_labels(tmp_path / "a.mha", ct, labels), ct)) == ["label 4"]
    assert "not whole numbers" in refusal(save_labels(tmp_path / "b.nrrd", ct, labels + 0.5), ct)


def test_a_label_map_on_another_grid_is_refused(ct, tmp_path):
    labels = np.ones((5, 12, 9), np.uint8)
    assert "9×12×5 against 10×12×5 voxels" in refusal(save_labels(tmp_path / "a.nrrd", ct, labels), ct)
    moved = ct.replace(geometry=ct.geometry.transformed(np.diag([1, 1, 1.1, 1])))
    path = save_labels(tmp_path / "b.nrrd", moved, np.ones(ct.array.shape, np.uint8))
    assert "does not lie on the grid" in refusal(path, ct)


def test_an_image_is_no_label_map(tmp_path):
    grid = Geometry((4, 20, 20), np.eye(4))
    image = np.arange(1600, dtype=np.int16).reshape(grid.shape)
    volume = Volume(image, grid)
    assert "1599 different values" in refusal(save_labels(tmp_path / "a.nrrd", volume, image), volume)
    colour = np.zeros((*grid.shape, 3), np.uint8)
    assert "not one volume with one number a voxel" in refusal(save_labels(tmp_path / "b.nrrd", volume, colour), volume)
