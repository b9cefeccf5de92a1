"""What a scanner puts into one series is told apart, listed, and read as volumes of their own."""

import numpy as np
import pytest

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.io.discover import discover
from SlicerVAELib.io.read import read_volume
from Testing.headless.dicom_series import put_pixels, series_uid, stored_ct, write_series


def refusal(path, **options):
    with pytest.raises(UserError) as caught:
        read_volume(path, **options)
    return str(caught.value)


def write_two(folder, *, edit, second=None, **options):
    """Two stacks under one SeriesInstanceUID; ``edit(dataset, k, number)`` tells them apart."""
    for number in (1, 2):
        write_series(
            folder / str(number),
            stored_ct(seed=number),
            edit=lambda dataset, k, number=number: edit(dataset, k, number),
            **(second or {} if number == 2 else {}),
            **options,
        )


def set_echo(dataset, k, number):
    dataset.EchoNumbers, dataset.EchoTime = number, 4.9 * number


def set_echo_time(dataset, k, number):
    dataset.EchoTime = 4.6 * number


def set_acquisition(dataset, k, number):
    dataset.AcquisitionNumber = number + 1


def set_time_point(dataset, k, number):
    dataset.TemporalPositionIdentifier = number


def set_trigger_time(dataset, k, number):
    dataset.TriggerTime = 100 * number + 3.7 * k  # differs from place to place


def set_type(dataset, k, number):
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "MP"[number - 1], "ND"]


@pytest.mark.parametrize(
    ("edit", "names"),
    [
        (set_echo, ("echo 1", "echo 2")),
        (set_echo_time, ("echo time 4.6 ms", "echo time 9.2 ms")),
        (set_acquisition, ("acquisition 2", "acquisition 3")),
        (set_time_point, ("time point 1", "time point 2")),
        (set_trigger_time, ("time point 1", "time point 2")),
        (set_type, ("type M ND", "type P ND")),
    ],
)
def test_stacks_at_the_same_place_are_told_apart(tmp_path, edit, names):
    write_two(tmp_path, edit=edit, modality="MR", slope=1, intercept=0)
    message = refusal(tmp_path)
    assert "holds 2 series" in message and "its part behind a comma" in message
    for number, name in enumerate(names, start=1):
        assert f"'Thorax', {name}, MR, 5 slices" in message
        for wanted in (name, f"3, {name}", f"thorax, {name.upper()}", f"{series_uid('a')[-6:]}, {name}"):
            volume = read_volume(tmp_path, series=wanted)
            np.testing.assert_array_equal(volume.array, stored_ct(seed=number))
        assert volume.source.description == f"Thorax ({name})"
        by_file = read_volume(next((tmp_path / str(number)).iterdir()))
        np.testing.assert_array_equal(by_file.array, stored_ct(seed=number))


def test_two_attributes_make_four_parts(tmp_path):
    for phase in (1, 2):
        write_two(
            tmp_path / str(phase),
            edit=lambda dataset, k, number, phase=phase: (
                set_echo(dataset, k, number),
                set_time_point(dataset, k, phase),
            ),
            modality="MR",
        )
    message = refusal(tmp_path, series="3")
    for name in ("echo 1, time point 1", "echo 1, time point 2", "echo 2, time point 1", "echo 2, time point 2"):
        assert f"'Thorax', {name}, MR, 5 slices" in message


def test_attributes_that_vary_within_one_volume_do_not_split_it(tmp_path):
    def vary(dataset, k):
        dataset.AcquisitionNumber, dataset.EchoTime, dataset.TriggerTime = k // 2, 4.6 + k / 10, 20 * k

    write_series(tmp_path, stored_ct(), edit=vary)
    assert read_volume(tmp_path).array.shape == (5, 12, 10)


def test_acquisitions_that_meet_at_one_slice_are_told_apart(tmp_path):
    write_two(tmp_path, edit=set_acquisition, second={"origin": (-100.0, -120.0, 40 + 4 * 2.5)})
    assert "acquisition 2" in refusal(tmp_path)
    assert read_volume(tmp_path, series="acquisition 3").geometry.origin == pytest.approx([100, 120, 50])


def test_directions_and_sizes_are_told_apart(tmp_path):
    write_two(tmp_path / "turned", edit=lambda *_: None, second={"orientation": (0, 1, 0, 0, 0, -1)})
    message = refusal(tmp_path / "turned")
    assert "axial, CT, 5 slices" in message and "sagittal, CT, 5 slices" in message
    sagittal = read_volume(tmp_path / "turned", series="3, sagittal")
    np.testing.assert_allclose(np.abs(sagittal.geometry.directions[:, 2]), [1, 0, 0], atol=1e-6)
    write_two(tmp_path / "slant", edit=lambda *_: None, second={"orientation": (0.96, 0.28, 0, -0.28, 0.96, 0)})
    assert "axial 2" in refusal(tmp_path / "slant")

    def crop(dataset, k):
        if k == 2:
            put_pixels(dataset, np.zeros((6, 10), np.uint16))

    write_series(tmp_path / "size", stored_ct(), edit=crop)
    message = refusal(tmp_path / "size")
    assert (
        "10×12 pixels of 0.8×0.9 mm, CT, 4 slices" in message and "10×6 pixels of 0.8×0.9 mm, CT, 1 slice," in message
    )


@pytest.mark.parametrize("spacing", [[0.9, 0.81], [0.91, 0.8]])
def test_slices_of_different_pixel_spacing_are_no_stack(tmp_path, spacing):
    def stretch(dataset, k):
        if k == 1:
            dataset.PixelSpacing = spacing

    write_series(tmp_path, stored_ct((2, 12, 10)), edit=stretch)
    assert f"pixels of {spacing[1]}×{spacing[0]} mm, CT, 1 slice," in refusal(tmp_path)


def as_type(*words):
    def edit(dataset, k):
        dataset.ImageType = list(words)

    return edit


def write_clinic(folder):
    write_series(folder, stored_ct(), name="ct", number=3, edit=as_type("ORIGINAL", "PRIMARY", "AXIAL"))
    scouts = as_type("ORIGINAL", "PRIMARY", "LOCALIZER")
    write_series(folder, stored_ct((3, 9, 9)), name="s1", number=1, description="Scout", edit=scouts)
    write_series(folder, stored_ct((3, 9, 9)), name="s2", number=2, description="Scout 2", edit=scouts)
    mip = as_type("DERIVED", "SECONDARY", "MIP")
    write_series(folder, stored_ct((4, 9, 9)), name="mip", number=90, description="MIP", edit=mip)


def test_localizers_and_derived_series_are_left_out_with_a_word(tmp_path):
    write_clinic(tmp_path)
    volume = read_volume(tmp_path)
    assert volume.source.series_uid == series_uid("ct")
    assert volume.source.notes == ("left out: 2 localizers and 1 derived series",)
    assert read_volume(tmp_path, series="Scout").array.shape == (3, 9, 9)
    assert read_volume(tmp_path, series="90").array.shape == (4, 9, 9)
    write_series(tmp_path, stored_ct(), name="b", number=4)
    message = refusal(tmp_path)
    assert "holds 2 series" in message and message.endswith("left out: 2 localizers and 1 derived series")
    assert "Scout" in refusal(tmp_path, series="no such")


def test_a_derived_series_counts_where_there_is_no_original(tmp_path):
    write_series(tmp_path, stored_ct(), edit=as_type("DERIVED", "SECONDARY", "AXIAL"))
    assert read_volume(tmp_path).source.notes == ()
    write_series(tmp_path, stored_ct(), name="mr", number=7, modality="MR", edit=as_type("ORIGINAL", "PRIMARY"))
    assert "holds 2 series" in refusal(tmp_path)


def test_scouts_within_a_series_do_not_stand_in_its_way(tmp_path):
    write_series(tmp_path / "scan", stored_ct())
    scout = as_type("ORIGINAL", "PRIMARY", "LOCALIZER")
    write_series(tmp_path / "scout", stored_ct((1, 30, 30)), orientation=(1, 0, 0, 0, 0, -1), edit=scout)
    for wanted in (None, "3"):
        volume = read_volume(tmp_path, series=wanted)
        assert volume.array.shape == (5, 12, 10) and volume.source.notes == ("left out: 1 localizer",)
        assert volume.source.description == "Thorax"


def test_discovery_lists_the_parts_and_leaves_the_rest_out(tmp_path):
    write_clinic(tmp_path)
    write_two(tmp_path / "echoes", edit=set_echo, name="e", modality="MR", slope=1, intercept=0, description="T2")
    for path in [*(tmp_path / "echoes").rglob("*.dcm")]:
        path.rename(tmp_path / "echoes" / f"{path.parent.name}{path.name}")
    found = discover(tmp_path)
    assert [item.description for item in found] == ["Thorax", "T2 (echo 1)", "T2 (echo 2)"]
    for number in (1, 2):
        volume = found[number].read()
        np.testing.assert_array_equal(volume.array, stored_ct(seed=number))
        assert volume.source.description == f"T2 (echo {number})"
