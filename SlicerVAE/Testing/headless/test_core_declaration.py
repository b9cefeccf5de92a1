"""A model is used where it was made for: what is wrong stops, what is doubtful warns."""

import dataclasses

import numpy as np
import pytest

from SlicerVAELib.core.acquisition import Acquisition, TrainingAcquisition
from SlicerVAELib.core.declaration import PHANTOM, Declaration, check
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.volume import Modality, Source, Volume
from Testing.headless.twins import grid, rotation

CHEST = Declaration(Modality.CT, "chest", 400.0, (2.0, 3.0), 40, "For tests only.")


def image(modality=Modality.CT, shape=(4, 20, 20), spacing=(20.0, 20.0, 2.5), turn=None, dtype="int16", **changes):
    source = Source(name="study 7")
    return Volume(np.zeros(shape, dtype), grid(shape, spacing, turn), modality, source=source, **changes)


def test_what_the_model_was_made_for_passes_without_a_word():
    assert check(image(), CHEST, "lungs 1.0") == ()


DEMONSTRATION = dataclasses.replace(CHEST, is_demonstration=True)


def test_a_demonstration_model_looks_at_phantoms_without_a_word():
    phantom = image().replace(source=Source(name="PHANTOM-0001", description=PHANTOM))
    assert check(phantom, DEMONSTRATION, "lungs 1.0") == ()


def test_a_demonstration_model_looks_at_a_patient_only_when_told_to():
    with pytest.raises(UserError, match=r"study 7 is none; train a model .* 'slicervae fit', or override"):
        check(image(), DEMONSTRATION, "lungs 1.0")
    (sentence,) = check(image(), DEMONSTRATION, "lungs 1.0", override=True)
    assert "its results mean nothing for study 7" in sentence


def test_no_override_helps_a_dose_or_another_modality():
    for modality in (Modality.DOSE, Modality.MR):
        with pytest.raises(UserError):
            check(image(modality), DEMONSTRATION, "lungs 1.0", override=True)


def test_a_dose_is_refused():
    with pytest.raises(UserError, match=r"study 7 is a dose .* choose the CT or MR"):
        check(image(Modality.DOSE), CHEST, "lungs 1.0")


@pytest.mark.parametrize("modality", [Modality.MR, Modality.XRAY])
@pytest.mark.parametrize("inferred", [False, True])
def test_another_modality_is_refused_with_both_named(modality, inferred):
    with pytest.raises(UserError) as caught:
        check(image(modality, modality_is_inferred=inferred), CHEST, "lungs 1.0")
    for word in ("study 7", str(modality), "lungs 1.0", "CT"):
        assert word in str(caught.value)
    assert ("by its values" in str(caught.value)) == inferred


def test_an_unnamed_input_still_gets_a_sentence():
    with pytest.raises(UserError, match=r"^The input is a dose"):
        check(image(Modality.DOSE).replace(source=Source()), CHEST, "lungs 1.0")


@pytest.mark.parametrize("dtype", ["float16", "float32", ">f8", "longdouble"])
def test_values_that_are_no_numbers_are_refused_with_their_count(dtype):
    volume = image(dtype=dtype)
    volume.array[0, 0, 0], volume.array[1, 2, 3], volume.array[3, :, 5] = np.nan, np.inf, -np.inf
    with pytest.raises(UserError, match="study 7 holds 22 values"):
        check(volume, CHEST, "lungs 1.0")


def test_a_single_value_that_is_no_number_reads_well():
    volume = image(dtype="float32")
    volume.array[0, 0, 0] = np.nan
    with pytest.raises(UserError, match="holds 1 value that is not a number"):
        check(volume, CHEST, "lungs 1.0")


@pytest.mark.parametrize(
    ("volume", "words"),
    [
        (image(Modality.UNKNOWN), ("does not say what it is", "taken for a CT")),
        (image(modality_is_inferred=True), ("by its values it is a CT",)),
        (image(spacing=(5.0, 5.0, 2.5)), ("100 × 100 mm", "less than half", "400 mm")),
        (image(spacing=(30.0, 20.0, 2.5)), ("600 × 400 mm", "central 400 mm", "not seen")),
        (image(spacing=(20.0, 20.0, 8.0)), ("8.0 mm", "2.0 to 3.0 mm")),
        (image(spacing=(20.0, 20.0, 0.5)), ("0.5 mm", "2.0 to 3.0 mm")),
    ],
)
def test_what_is_doubtful_warns_in_one_sentence(volume, words):
    (warning,) = check(volume, CHEST, "lungs 1.0")
    assert warning.startswith("study 7")
    assert warning.endswith(".")
    for word in words:
        assert word in warning


def test_a_coronal_scan_is_measured_along_the_patient():
    coronal = np.array([[1.0, 0, 0], [0, 0, 1.0], [0, 1.0, 0]])  # j runs to the head, k to the front
    volume = image(shape=(160, 20, 160), spacing=(2.5, 2.5, 2.5), turn=coronal)
    assert check(volume, CHEST, "lungs 1.0") == ()
    (warning,) = check(image(shape=(160, 20, 160), spacing=(2.5, 9.0, 2.5), turn=coronal), CHEST, "lungs 1.0")
    assert "slices every 9.0 mm" in warning


def test_a_scan_tilted_by_a_little_raises_no_doubt():
    assert check(image(turn=rotation((1, 0.3, 0.2), 8)), CHEST, "lungs 1.0") == ()


ACQUIRED = dataclasses.replace(CHEST, acquisition=TrainingAcquisition((100.0, 120.0), False, True))


def acquired(kilovoltage=None, has_contrast=None):
    return image().replace(source=Source(name="study 7", acquisition=Acquisition(kilovoltage, has_contrast)))


@pytest.mark.parametrize("known", [(), (120.0,), (100.0, False), (None, False)])
def test_an_acquisition_like_those_of_the_training_passes(known):
    assert check(acquired(*known), ACQUIRED, "lungs 1.0") == ()
    assert check(acquired(*known), CHEST, "lungs 1.0") == ()  # a model that does not know how it was trained


def test_another_tube_voltage_and_a_contrast_agent_warn():
    voltage, contrast = check(acquired(80.0, True), ACQUIRED, "lungs 1.0")
    assert voltage == "study 7 was acquired at 80 kV; lungs 1.0 was trained on images of 100 to 120 kV."
    assert contrast == "study 7 was acquired with a contrast agent; lungs 1.0 was trained on images without."
    always = dataclasses.replace(CHEST, acquisition=TrainingAcquisition(None, True, False))
    (missing,) = check(acquired(80.0, False), always, "lungs 1.0")
    assert "names no contrast agent" in missing


def test_training_images_are_summed_up():
    images = [Acquisition(120.0, True), Acquisition(100.0), Acquisition(None, False)]
    of_all = TrainingAcquisition.summed_up(map(TrainingAcquisition.of, images))
    assert of_all == TrainingAcquisition((100.0, 120.0), True, True)
    assert TrainingAcquisition.summed_up([TrainingAcquisition()]) == TrainingAcquisition()


def thorax_on_a_couch():
    """A body of 300 × 200 mm in air, slices of 2.5 mm, pixels of 2 mm."""
    array = np.full((4, 200, 200), -1000, np.int16)
    array[:, 50:150, 25:175] = 40
    return Volume(array, grid(array.shape, (2.0, 2.0, 2.5)), Modality.CT, source=Source(name="study 7"))


def test_metal_in_the_body_warns_and_that_of_the_couch_does_not():
    implant, couch, marker = (thorax_on_a_couch() for _ in range(3))
    implant.array[1:3, 90:96, 60:66] = 3071
    (sentence,) = check(implant, CHEST, "lungs 1.0")
    assert "shows 0.7 cm³ of metal (3000 HU or more) in the body" in sentence
    couch.array[:, 165:170, 60:90] = 3071
    marker.array[1, 90, 60] = 3071
    assert check(couch, CHEST, "lungs 1.0") == check(marker, CHEST, "lungs 1.0") == ()
