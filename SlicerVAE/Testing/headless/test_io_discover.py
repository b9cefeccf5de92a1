"""The volumes of a data folder are found, told apart by patient, and nothing else is taken for one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file

from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.volume import Modality
from SlicerVAELib.io.discover import discover
from Testing.headless.dicom_series import stored_ct, write_projection, write_series, write_structures

TINY = np.random.default_rng(0).integers(0, 500, (3, 4, 5)).astype(np.int16)


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(TINY), str(path))


def names(folder: Path, **options: list[str]) -> list[str]:
    return [item.path.relative_to(folder).as_posix() for item in discover(folder, **options)]


def refusal(folder: Path, **options: list[str]) -> str:
    with pytest.raises(UserError) as caught:
        discover(folder, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_real_brain_scans_are_found_by_patient_without_their_lesion_masks(shared_data):
    found = discover(shared_data / "open_ms")
    assert len(found) == 26 and not any("lesion" in item.path.name for item in found)
    assert {item.patient for item in found} == {
        *(f"longitudinal/patient{n}" for n in ("01", "03", "04", "12")),
        *(f"cross_sectional/patient{n}" for n in ("07", "19")),
    }
    flair = discover(shared_data / "open_ms", include=["*flair*"], exclude=["*patient19*"])
    assert [f"{item.patient[-2:]} {item.path.name[:6]}" for item in flair] == [
        "07 FLAIR.",
        *("01 study1", "01 study2", "03 study1", "03 study2", "04 study1", "12 study1", "12 study2"),
    ]
    assert {item.modality for item in flair} == {Modality.UNKNOWN}


def test_files_side_by_side_are_patients_of_their_own_and_label_maps_are_none(shared_data):
    found = discover(shared_data / "totalsegmentator")
    assert [item.patient for item in found] == [
        "chest_abdomen_ct",
        "chest_abdomen_ct_30slices",
        "thorax_ct_a",
        "thorax_ct_b",
    ]
    volume = found[0].read()
    assert volume.modality is Modality.CT and volume.modality_is_inferred


def test_bids_subjects_stay_one_patient_over_their_sessions(tmp_path):
    touch(tmp_path, "sub-01/ses-1/anat/sub-01_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_T1w.nii.gz", "sub-02/a.nii")
    assert [item.patient for item in discover(tmp_path)] == ["sub-01", "sub-01", "sub-02"]


def test_x_ray_images_belong_to_their_patients(tmp_path):
    for number, patient in enumerate(("A", "A", "B")):
        write_projection(tmp_path / f"{number}", number=number + 1, patient=patient)
    found = discover(tmp_path)
    assert [item.patient for item in found] == ["A", "A", "B"]
    assert all(item.modality is item.read().modality is Modality.XRAY for item in found)


def test_pictures_count_as_x_ray_images_where_there_is_nothing_else(tmp_path):
    for name in (
        "grade0/1001_L.png",
        "grade3/1001_R.PNG",
        "grade3/2002 left.jpg",
        "grade1/mixt.jpeg",
        "grade2/3003R.png",
        "R.png",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(TINY[0].astype(np.uint8)), str(path))
    found = discover(tmp_path)
    assert [item.patient for item in found] == ["R", "1001", "mixt", "3003", "1001", "2002"]
    assert {item.read().array.shape for item in found} == {(1, 4, 5)}
    touch(tmp_path, "brain.nii.gz")
    assert names(tmp_path) == ["brain.nii.gz"]


@pytest.mark.parametrize(
    "name",
    [
        "p/lesions.nii.gz", "p/ct_label.nrrd", "p/labels.mha", "p/brain_mask.nii", "p/brainmask.nii", "p/aseg.nii",
        "p/sub-1_dseg.nii", "p/s.seg.nrrd", "p/Segmentation.nrrd", "truth/a.nii", "p/truth/a.nii", "labelsTr/a.nii",
        ".hidden/a.nii", "p/.a.nii",
    ],
)  # fmt: skip
def test_segmentations_truth_and_hidden_files_are_left_out(tmp_path, name):
    touch(tmp_path, "p/t1.nii.gz", name)
    assert names(tmp_path) == ["p/t1.nii.gz"]


@pytest.mark.parametrize("name", ["segment_of_aorta_ct.nii", "unlabelled.nii", "masked_t1.nii", "t1_segal.nii"])
def test_ordinary_names_are_volumes(tmp_path, name):
    touch(tmp_path, f"p/{name}")
    assert names(tmp_path) == [f"p/{name}"]


def test_dicom_series_are_grouped_and_other_objects_left_out(tmp_path):
    folder = tmp_path / "P1"
    write_series(folder, stored_ct(), name="a", description="Thorax")
    write_series(folder, stored_ct(seed=5), name="b", description="T1 FLAIR", modality="MR", slope=1, intercept=0)
    write_series(folder, stored_ct((2, 8, 8)), name="c", description="Scout")
    write_structures(folder / "rs.dcm", [])
    for other in ("rtdose.dcm", "rtplan.dcm", "SC_rgb_rle.dcm"):
        shutil.copy(str(get_testdata_file(other)), folder)
    write_series(tmp_path / "P2", stored_ct(), name="d", patient="another")
    found = discover(tmp_path)
    assert [(item.patient, item.description, item.modality) for item in found] == [
        ("P1", "T1 FLAIR", Modality.MR),
        ("P1", "Thorax", Modality.CT),
        ("another", "Thorax", Modality.CT),
    ]
    np.testing.assert_array_equal(found[0].read().array, stored_ct(seed=5))
    np.testing.assert_array_equal(found[1].read().array, stored_ct().astype(int) - 1024)
    assert [item.description for item in discover(tmp_path, include=["*flair*"])] == ["T1 FLAIR"]
    assert [item.patient for item in discover(tmp_path, exclude=["P1"])] == ["another"]


def test_a_slice_that_cannot_be_read_shows_when_the_series_is(tmp_path):
    files = write_series(tmp_path, stored_ct((6, 8, 8)))
    files[2].write_bytes(files[2].read_bytes()[:300])
    (found,) = discover(tmp_path)
    with pytest.raises(UserError, match="lacks 1 slice"):
        found.read()


def test_a_slice_that_vanished_since_is_named(tmp_path):
    files = write_series(tmp_path, stored_ct())
    (found,) = discover(tmp_path)
    files[2].unlink()
    with pytest.raises(UserError, match=files[2].name):
        found.read()


def test_the_order_does_not_depend_on_the_disk(tmp_path):
    shuffled = ["b/z.nii", "a/y.nii", "c.nii", "a/x.nii", "B/q.nii"]
    touch(tmp_path, *shuffled)
    assert names(tmp_path) == sorted(shuffled)


def test_patterns_fit_path_name_or_description_whatever_the_case(tmp_path):
    touch(tmp_path, "p1/T1.nii.gz", "p1/FLAIR.nii.gz", "p2/FLAIR.nii.gz", "p2/sub/T2.nii.gz")
    assert names(tmp_path, include=["flair.nii.gz"]) == ["p1/FLAIR.nii.gz", "p2/FLAIR.nii.gz"]
    assert names(tmp_path, include=["p2/*"]) == ["p2/FLAIR.nii.gz", "p2/sub/T2.nii.gz"]
    assert names(tmp_path, include=["*T1*", "*T2*"], exclude=["p1/*"]) == ["p2/sub/T2.nii.gz"]


def test_when_nothing_is_left_it_says_what_was_there(tmp_path):
    assert "it is empty" in refusal(tmp_path)
    (tmp_path / "a.pdf").touch()
    (tmp_path / "b.pdf").touch()
    assert "it holds 2 × .pdf" in refusal(tmp_path)
    touch(tmp_path, "p/T1.nii.gz", "p/T2.nii.gz")
    message = refusal(tmp_path, include=["*FLAIR*"], exclude=["x"])
    assert "including '*FLAIR*' and excluding 'x'" in message and "'p/T1.nii.gz', 'p/T2.nii.gz'" in message
    assert "not there" in refusal(tmp_path / "nowhere")
    assert "is a file" in refusal(tmp_path / "a.pdf")


def test_progress_runs_to_the_end_and_cancel_stops(tmp_path):
    write_series(tmp_path, stored_ct())
    seen = []
    discover(tmp_path, progress=seen.append)
    assert seen[0].fraction == 0 and seen[-1].fraction == 1
    cancel = Cancel()
    cancel.request()
    with pytest.raises(Cancelled):
        discover(tmp_path, cancel=cancel)
