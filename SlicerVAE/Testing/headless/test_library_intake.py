"""What the library keeps of an image with structures and dose."""

import dataclasses
import io

import matplotlib.image
import numpy as np
import pytest

from SlicerVAELib.core.engine import EncodedVolume, Provenance
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.planning_similarity import plan_geometry
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume
from SlicerVAELib.library.intake import (
    centroid_lps_mm,
    dose_facts,
    series_record,
    side_of_target,
    standardised,
    structure_facts,
    target_of,
)
from SlicerVAELib.library.structure_geometry import geometry_of, plan_geometry_of
from SlicerVAELib.library.thumbnails import PIXELS, slice_png, thumbnails_of

SHAPE = (12, 40, 40)
SPACING = (5.0, 4.0, 10.0)


def grid(flipped: bool = False) -> Geometry:
    """Rows to the back, columns to the patient's left; ``flipped`` columns to the right."""
    direction = np.diag([-1.0 if flipped else 1.0, 1.0, 1.0])
    origin = (97.5 if flipped else -97.5, -78.0, -55.0)
    return Geometry.from_lps(SHAPE, spacing=SPACING, origin=origin, direction=direction)


def box(k: slice, j: slice, i: slice) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[k, j, i] = True
    return mask


def patient(flipped: bool = False) -> Volume:
    """A body with a target on the left, two organs, and a structure with a clinic's own name."""
    masks = {
        "BODY": box(slice(0, 12), slice(4, 36), slice(2, 38)),
        "PTV": box(slice(4, 8), slice(18, 24), slice(28, 34)),
        "Heart": box(slice(3, 7), slice(10, 18), slice(16, 28)),
        "SpinalCord": box(slice(0, 12), slice(30, 32), slice(19, 21)),
        "Mrs Miller boost": box(slice(4, 6), slice(18, 20), slice(28, 30)),
    }
    if flipped:
        masks = {name: mask[:, :, ::-1] for name, mask in masks.items()}
    array = np.where(masks["BODY"], 0, -1000).astype(np.int16)
    array[masks["PTV"]] = 700
    source = Source(name="scan", patient="ID-1", body_part="CHEST")
    return Volume(array, grid(flipped), Modality.CT, masks=masks, source=source)


def encoded(volume: Volume) -> EncodedVolume:
    """Two latents a slice; positions from the middle of the scan."""
    centres = np.array([[0.0, 0.0, -55.0 + 10 * n] for n in range(len(volume.array))])
    mean = np.random.default_rng(0).normal(size=(len(centres), 2)).astype(np.float32)
    return EncodedVolume(
        mean=mean,
        log_variance=mean / 4,
        positions_mm=centres[:, 2].astype(np.float32),
        position_origin="scan",
        slice_positions_mm=centres,
        body_share=np.ones(len(centres), np.float32),
        latent_kind="gaussian",
        notices=(),
        provenance=Provenance("tiny", "1", "00", "test", "CT"),
    )


def test_only_standard_names_are_kept():
    volume, notices = standardised(patient())
    assert set(volume.masks) == {"External", "PTV", "Heart", "SpinalCord"}
    assert any("Mrs Miller boost" in notice for notice in notices)


@pytest.mark.parametrize("flipped", [False, True])
def test_places_and_sizes_are_in_the_patient(flipped):
    volume, _ = standardised(patient(flipped))
    facts = {each.name: each for each in structure_facts(volume, "PTV")}
    assert facts["PTV"].volume_cm3 == pytest.approx(4 * 6 * 6 * 0.2)
    assert facts["PTV"].centroid_mm == pytest.approx((-97.5 + 5 * 30.5, -78 + 4 * 20.5, -55 + 10 * 5.5))
    assert facts["PTV"].centroid_mm == pytest.approx(centroid_lps_mm(volume.masks["PTV"], volume.geometry))
    assert geometry_of(facts["Heart"]).extent_mm == pytest.approx((60.0, 32.0, 40.0))
    record = series_record(volume, encoded(volume))
    assert side_of_target(record.facts, "PTV") == "left"
    assert side_of_target(record.facts, "Heart") == ""


def test_the_geometry_comes_back_as_planning_compares_it():
    volume, _ = standardised(patient())
    found = plan_geometry_of(structure_facts(volume, "PTV"))
    expected = plan_geometry(volume, "PTV", ["Heart", "SpinalCord"])
    assert found.target == "PTV"
    assert found.target_volume_cm3 == expected.target_volume_cm3
    for there, here in zip(found.organs, expected.organs, strict=True):
        assert there.name == here.name
        np.testing.assert_allclose(there.overlap_volume_histogram, here.overlap_volume_histogram, atol=1e-5)
        assert there.centroid_distance_mm == pytest.approx(here.centroid_distance_mm, abs=1e-5)
    assert plan_geometry_of(structure_facts(volume, "")) is None


def test_damaged_geometry_is_one_sentence():
    volume, _ = standardised(patient())
    facts = structure_facts(volume, "PTV")
    for damaged in (b"\xff\x00", b"{}", facts[0].plan_geometry[:-4]):
        with pytest.raises(UserError):
            geometry_of(dataclasses.replace(facts[0], plan_geometry=damaged))


def test_the_target_is_the_one_with_most_dose():
    volume, _ = standardised(patient())
    masks = {**volume.masks, "PTV_High": volume.masks["PTV"], "PTV_Low": volume.masks["Heart"]}
    volume = volume.replace(masks={name: mask for name, mask in masks.items() if name != "PTV"})
    dose = np.where(volume.masks["PTV_High"], 60.0, 20.0).astype(np.float32)
    assert target_of(volume) == "PTV_Low"  # the largest
    assert target_of(volume, dose_facts(volume, dose)) == "PTV_High"
    assert target_of(volume.replace(masks={"Heart": masks["Heart"]})) == ""


def test_doses_are_of_what_the_dose_covers():
    volume, _ = standardised(patient())
    dose = np.full(SHAPE, np.nan, dtype=np.float32)
    dose[3:5] = 12.0
    facts = {each.structure: each for each in dose_facts(volume, dose)}
    assert facts["Heart"].statistics.mean_gy == 12.0
    assert facts["Heart"].statistics.covered_share == 0.5
    dose[3:5] = np.nan
    dose[11] = 1.0
    assert {each.structure for each in dose_facts(volume, dose)} == {"External", "SpinalCord"}


@pytest.mark.parametrize("flipped", [False, True])
def test_pictures_have_the_patients_right_on_the_left(flipped):
    volume = patient(flipped)
    png = slice_png(volume, np.array([0.0, 0.0, 0.0]), 200.0, (-800.0, 700.0))
    picture = matplotlib.image.imread(io.BytesIO(png))
    assert picture.shape == (PIXELS, PIXELS)
    rows, columns = np.nonzero(picture > 0.9)
    # The target's centre is 55 mm to the left and 4 mm to the back of the picture's middle.
    assert columns.mean() == pytest.approx(PIXELS / 2 + 55 * PIXELS / 200, abs=2)
    assert rows.mean() == pytest.approx(PIXELS / 2 + 4 * PIXELS / 200, abs=2)
    beyond = matplotlib.image.imread(io.BytesIO(slice_png(volume, np.array([0.0, 0.0, 500.0]), 200.0, (-800.0, 700.0))))
    assert beyond.max() == 0


def test_pictures_lie_at_common_levels():
    volume = patient()
    pictures = thumbnails_of(volume, encoded(volume), 200.0, (-800.0, 700.0))
    levels = [picture.position_mm for picture in pictures]
    assert levels == sorted(levels)
    assert all(abs(level - 20 * round(level / 20)) <= 5 for level in levels)
    assert len(levels) == 7
