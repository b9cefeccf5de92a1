"""A bundle's calibration: kept, applied to maps, told to the person, and refused where it can't be trusted."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from SlicerVAELib.core.bundle import load_network
from SlicerVAELib.core.calibration import (
    ARRAYS,
    DESCRIPTION,
    CalibratedMap,
    Calibration,
    MethodCalibration,
    calibration_of,
    write_calibration,
)
from SlicerVAELib.core.engine import NOT_SEEN, NOT_SEEN_SIGNED, AnomalyOptions, Hardware, ReconstructRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.healthy import (
    FIELDS,
    OUTSIDE,
    PLACES,
    HealthyDistribution,
    body_on,
    cells_of,
    places_in_body,
    places_in_box,
)
from SlicerVAELib.core.healthy_scales import HealthyScales
from SlicerVAELib.core.healthy_tails import SCORES, Tails
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Volume
from SlicerVAELib.worker.client import WorkerEngine
from Testing.headless.tiny_bundle import write_tiny_bundle
from Testing.headless.twins import body, grid, rotation

CPU = Hardware("cpu")
EDGES = np.array([0.4847, 0.4862], dtype=np.float32)  # what the small model makes lies between 0.48 and 0.49
SCORES_OF_PATIENTS = tuple(float(n) for n in range(25))


def distribution(seed: int = 0) -> HealthyDistribution:
    random = np.random.default_rng(seed)
    location = random.normal(size=(PLACES, 3)).astype(np.float32)
    return HealthyDistribution(EDGES, location, random.uniform(0.5, 2, (PLACES, 3)).astype(np.float32))


def calibration(
    scores: tuple[float, ...] = SCORES_OF_PATIENTS, methods: tuple[str, ...] = ("signed-residual",)
) -> Calibration:
    records = [CalibratedMap(method, 2.0, ("anomaly",), 20, scores) for method in methods]
    return Calibration(
        tuple(MethodCalibration(each, {"anomaly": HealthyScales((distribution(),))}) for each in records), 0.05
    )


def calibrated(folder: Path, **changes) -> Path:
    write_tiny_bundle(folder)
    write_calibration(folder, calibration(**changes), "2026-01-01T00:00:00+00:00", "SlicerVAE")
    return folder


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    return calibrated(tmp_path_factory.mktemp("calibrated") / "bundle")


@pytest.fixture(scope="module")
def volume() -> Volume:
    return body(grid((11, 30, 48), (10.0, 8.0, 9.0), rotation((0.1, 0.2, 1), 20)))


def reconstruct(bundle: Path, volume: Volume, engine=None, sample_seed=None, **options):
    wanted = AnomalyOptions(**options)
    request = ReconstructRequest(bundle, volume, ("anomaly",), wanted, sample_seed, CPU)
    return (engine or LocalEngine()).reconstruct(request)


def test_a_calibration_comes_back_as_it_was_and_leaves_the_weights_alone(bundle):
    before = read_manifest(bundle)
    found = calibration_of(bundle, before)
    assert found is not None and found.false_alarm_rate == 0.05
    assert found.methods[0].record == calibration().methods[0].record
    for field in ("edges", "location", "scale"):
        np.testing.assert_array_equal(
            getattr(found.of("signed-residual").healthy["anomaly"].scales[0], field), getattr(distribution(), field)
        )
    assert found.of("restoration") is None
    assert load_network(bundle).latent.size == 8


def test_a_calibration_of_the_first_version_is_still_applied(bundle, tmp_path, volume):
    from SlicerVAELib.core.bundle_parts import write_parts

    old = tmp_path / "old"
    shutil.copytree(bundle, old)
    data = json.loads((old / DESCRIPTION).read_text())
    data["version"] = 1
    del data["calibrated"][0]["coarse_mm"]
    write_parts(old, {DESCRIPTION: json.dumps(data).encode()})
    before, after = reconstruct(bundle, volume), reconstruct(old, volume)
    np.testing.assert_array_equal(after.arrays["anomaly"], before.arrays["anomaly"])
    assert after.patient_p_value == before.patient_p_value


def test_a_map_is_smoothed_as_it_is_calibrated_unless_told(tmp_path, volume):
    write_tiny_bundle(tmp_path / "four")
    record = CalibratedMap("signed-residual", 4.0, ("anomaly",), 20, SCORES_OF_PATIENTS)
    made = Calibration((MethodCalibration(record, {"anomaly": HealthyScales((distribution(),))}),), 0.05)
    write_calibration(tmp_path / "four", made, "2026-01-01T00:00:00+00:00", "SlicerVAE")
    for smoothing in (None, 4.0):
        result = reconstruct(tmp_path / "four", volume, smoothing_mm=smoothing)
        assert result.anomaly_unit == "healthy z-score"
        assert result.provenance.parameters["smoothing in mm"] == "4"
    other = reconstruct(tmp_path / "four", volume, smoothing_mm=2.0)
    assert "uncalibrated" in other.anomaly_unit and other.provenance.parameters["smoothing in mm"] == "2"
    without = reconstruct(tmp_path / "four", volume, calibrated=False)
    assert without.provenance.parameters["smoothing in mm"] == "2"


def test_a_bundle_without_one_is_uncalibrated_and_says_so(tmp_path, volume):
    write_tiny_bundle(tmp_path / "plain")
    assert calibration_of(tmp_path / "plain", read_manifest(tmp_path / "plain")) is None
    result = reconstruct(tmp_path / "plain", volume)
    assert "uncalibrated" in result.anomaly_unit
    assert result.patient_p_value is None and not result.anomaly_is_signed


def test_a_calibrated_map_is_the_z_score_of_its_place_and_tissue(bundle, volume):
    result = reconstruct(bundle, volume)
    raw = reconstruct(bundle, volume, method="signed-residual", calibrated=False)
    assert result.anomaly_unit == "healthy z-score" and result.anomaly_is_signed and raw.anomaly_is_signed
    assert "uncalibrated" in raw.anomaly_unit and raw.patient_p_value is None
    stack = prepare(volume, read_manifest(bundle).preprocessing)
    with torch.inference_mode():
        made = load_network(bundle).reconstruct(stack.pixels)
    from SlicerVAELib.core.anomaly import smooth
    from SlicerVAELib.core.stack import body_in

    signed = smooth(((stack.pixels - made) / 0.02**0.5)[:, 0], 2.0 / 6.0).numpy()
    places, tissues = (
        places_in_box(body_on(stack, body_in(stack, volume))).numpy(),
        np.digitize(made[:, 0].numpy(), EDGES),
    )
    assert len(np.unique(places)) > 30 and len(np.unique(tissues)) == 3
    healthy = distribution()
    expected = (signed - healthy.location[places, tissues]) / healthy.scale[places, tissues]
    on_input = stack.to_source(torch.from_numpy(expected), fill=NOT_SEEN_SIGNED)
    np.testing.assert_allclose(result.arrays["anomaly"], on_input, atol=2e-3)
    unseen = result.arrays["field_of_view"] == 0
    assert unseen.any() and (result.arrays["anomaly"][unseen] == result.anomaly_not_seen).all()
    assert (result.arrays["anomaly"][~unseen] > -1000).all()
    percentiles = np.sort(np.abs(expected).reshape(len(expected), -1), axis=1)[:, -41]
    np.testing.assert_allclose(result.slice_map_scores, percentiles, atol=2e-3)
    half_a_cm3 = max(1, round(0.5 / stack.geometry.voxel_volume_cm3))
    own = np.sort(np.abs(expected).ravel())[-half_a_cm3]
    assert 0 < own < 24
    assert result.patient_p_value == (1 + sum(score >= own for score in SCORES_OF_PATIENTS)) / 26
    assert result.provenance.parameters["calibration"] == "20 + 25 healthy patients"


def test_an_unusual_patient_is_told_and_too_few_to_tell_as_well(tmp_path, volume):
    low = calibrated(tmp_path / "low", scores=tuple(n / 1e6 for n in range(19)))
    result = reconstruct(low, volume)
    assert result.patient_p_value == 0.05
    assert any("p = 0.05" in notice and "19 healthy patients" in notice for notice in result.notices)
    few = calibrated(tmp_path / "few", scores=(0.0, 0.0))
    told = reconstruct(few, volume)
    assert told.patient_p_value == pytest.approx(1 / 3)
    assert any("at least 19" in notice for notice in told.notices)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"smoothing_mm": 5.0}, "5 mm"),
        ({"method": "absolute-residual"}, "not for this map"),
        ({"sample_seed": 3}, "draw"),
    ],
)
def test_where_the_calibration_does_not_fit_the_map_says_so(bundle, volume, changes, word):
    result = reconstruct(bundle, volume, **changes)
    assert "uncalibrated" in result.anomaly_unit and result.patient_p_value is None
    assert any("calibrated" in notice and word in notice for notice in result.notices)


def test_the_first_calibrated_method_is_shown_by_itself(tmp_path, volume):
    both = calibrated(tmp_path / "both", methods=("structural-residual", "signed-residual"))
    result = reconstruct(both, volume)
    assert result.provenance.parameters["anomaly method"] == "structural-residual"
    assert result.anomaly_unit == "healthy z-score" and result.anomaly_is_signed


def test_the_worker_gives_the_same_calibrated_map(bundle, volume, tmp_path):
    options = {"body_erosion_mm": 8.0, "minimum_region_cm3": 5.0, "region_threshold": 1.5}
    here = reconstruct(bundle, volume, **options)
    with WorkerEngine(scratch_base=tmp_path) as engine:
        there = reconstruct(bundle, volume, engine, **options)
    np.testing.assert_array_equal(there.arrays["anomaly"], here.arrays["anomaly"])
    for name in ("patient_p_value", "slice_map_scores", "anomaly_is_signed", "notices", "provenance", "anomaly_unit"):
        assert getattr(there, name) == getattr(here, name)


def in_air(volume: Volume) -> Volume:
    """The same within an ellipse of 240 × 160 mm, air around it."""
    _, j, i = np.ogrid[tuple(map(slice, volume.array.shape))]
    spacing = volume.geometry.spacing
    x, y = ((i - volume.array.shape[2] // 2) * spacing[0], (j - volume.array.shape[1] // 2) * spacing[1])
    inside = np.broadcast_to((x / 120) ** 2 + (y / 80) ** 2 < 1, volume.array.shape)
    return volume.replace(array=np.where(inside, volume.array.clip(-100), -1000).astype(np.float32))


def test_erosion_marks_what_was_not_looked_at(tmp_path):
    write_tiny_bundle(tmp_path / "plain")
    person = in_air(body(grid((8, 60, 80), (4.0, 4.0, 8.0))))
    whole = reconstruct(tmp_path / "plain", person).arrays["anomaly"]
    assert whole.min() >= 0
    areas = []
    for depth in (0.0, 12.0, 24.0):
        result = reconstruct(tmp_path / "plain", person, body_erosion_mm=depth)
        looked_at = result.arrays["anomaly"] != NOT_SEEN
        areas.append(looked_at.sum(axis=(1, 2)).mean() * 16)
        assert (result.arrays["field_of_view"] == 1).all()
        deep = looked_at & np.roll(looked_at, 2, 1) & np.roll(looked_at, -2, 1) & np.roll(looked_at, 2, 2)
        deep &= np.roll(looked_at, -2, 2)
        np.testing.assert_allclose(result.arrays["anomaly"][deep], whole[deep], atol=1e-5)
        assert result.provenance.parameters["body erosion in mm"] == f"{depth:g}"
    for area, depth in zip(areas, (0, 12, 24), strict=True):
        assert area == pytest.approx(np.pi * (120 - depth) * (80 - depth), rel=0.08)


def test_only_large_regions_pass_the_threshold(tmp_path):
    from scipy import ndimage

    write_tiny_bundle(tmp_path / "plain")
    on_grid = body(grid((12, 64, 64), (6.0, 6.0, 6.0)))  # of the model itself
    whole = reconstruct(tmp_path / "plain", on_grid).arrays["anomaly"]
    threshold = float(np.percentile(whole, 80))
    labels, count = ndimage.label(whole > threshold)
    volumes = np.bincount(labels.ravel())[1:] * 0.216
    smallest = float(np.sort(volumes)[-2:].mean())  # between the two largest
    result = reconstruct(tmp_path / "plain", on_grid, region_threshold=threshold, minimum_region_cm3=smallest).arrays[
        "anomaly"
    ]
    assert count > 1
    largest = labels == 1 + volumes.argmax()
    np.testing.assert_array_equal(result, np.where(largest, whole, np.minimum(whole, np.float32(threshold))))


def test_places_follow_the_box_about_the_body_in_each_slice():
    mask = torch.zeros(3, 40, 40, dtype=torch.bool)
    mask[0, 8:32, 16:24] = True
    mask[1, 4:6, 30] = True
    places = places_in_box(mask)
    assert places[0, 8, 16] == 0 and places[0, 31, 23] == FIELDS * FIELDS - 1
    assert places[0, 8, 23] == FIELDS - 1 and places[0, 31, 16] == FIELDS * (FIELDS - 1)
    assert (places[0][~mask[0]] == OUTSIDE).all() and (places[0][mask[0]] < OUTSIDE).all()
    assert (torch.bincount(places[0][mask[0]]) == 3).all()
    assert places[1, 4, 30] == 0 and places[1, 5, 30] == FIELDS * FIELDS // 2
    assert (places[2] == OUTSIDE).all()
    assert cells_of(places, torch.full((3, 40, 40), 0.485), EDGES)[0, 8, 23] == 3 * (FIELDS - 1) + 1
    round_ = mask.clone()
    round_[0, 8, 16] = False  # a corner of the box that is air
    assert places_in_box(round_)[0, 8, 16] == 0 and places_in_body(round_)[0, 8, 16] == OUTSIDE


def tails(seed: int, groups: int = 4) -> Tails:
    """Of each group the values that a normal variable of another mean and width has."""
    random = np.random.default_rng(seed)
    return Tails(random.normal(size=(groups, 1)) + random.uniform(0.5, 3, (groups, 1)) * SCORES)


def test_a_score_is_normal_in_its_own_tissue_and_continues_to_the_last_knot():
    of_two = Tails(np.stack([SCORES, 1 + 3 * SCORES]))
    values = torch.tensor([[-50.0, -4.0, 0.0, 1.7], [1.0, 4.0, 121.0, 1e9]])
    expected = [[-40.0, -4.0, 0.0, 1.7], [0.0, 1.0, 40.0, 40.0]]
    scores = of_two.normal_scores(values, torch.tensor([[0] * 4, [1] * 4]))
    assert scores.dtype == torch.float32
    np.testing.assert_allclose(scores.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("knots", [SCORES[None, :-1], SCORES[None, ::-1].copy(), SCORES[None] * 1e6])
def test_knots_that_are_no_tails_are_refused(knots):
    with pytest.raises(ValueError, match="knots"):
        Tails(knots)


def two_scales() -> HealthyScales:
    scales = tuple(dataclasses.replace(distribution(seed), tails=tails(seed)) for seed in (1, 2))
    return HealthyScales(scales, tails(3))


def test_two_scales_come_back_and_the_map_is_the_more_unusual_of_them(tmp_path, volume):
    from SlicerVAELib.core.anomaly.postprocessing import smooth, smooth_in_space
    from SlicerVAELib.core.stack import body_in

    folder = tmp_path / "two"
    write_tiny_bundle(folder)
    record = CalibratedMap("signed-residual", 2.0, ("anomaly",), 20, SCORES_OF_PATIENTS, coarse_mm=12.0)
    made = Calibration((MethodCalibration(record, {"anomaly": two_scales()}),), 0.05)
    write_calibration(folder, made, "2026-01-01T00:00:00+00:00", "SlicerVAE")
    kept = calibration_of(folder, read_manifest(folder)).methods[0].healthy["anomaly"]
    np.testing.assert_array_equal(kept.tails.knots, two_scales().tails.knots)
    np.testing.assert_array_equal(kept.scales[1].tails.knots, two_scales().scales[1].tails.knots)
    np.testing.assert_array_equal(kept.scales[1].location, distribution(2).location)

    result = reconstruct(folder, volume)
    assert result.provenance.parameters["coarse smoothing in mm"] == "12"
    stack = prepare(volume, read_manifest(folder).preprocessing)
    with torch.inference_mode():
        tissue = load_network(folder).reconstruct(stack.pixels)[:, 0]
    residual = (stack.pixels[:, 0] - tissue) / 0.02**0.5
    places = places_in_body(body_on(stack, body_in(stack, volume)))
    across = 12.0 / float(stack.geometry.spacing[2])
    fine, coarse = (
        own.z_scores(map_, like, places)
        for own, map_, like in zip(
            kept.scales,
            (smooth(residual, 2.0 / 6.0), smooth_in_space(residual, 2.0, across)),
            (tissue, smooth_in_space(tissue, 2.0, across)),
            strict=True,
        )
    )
    farthest = torch.where(coarse.abs() > fine.abs(), coarse, fine)
    assert 0.1 < (farthest == fine).float().mean() < 0.9
    groups = np.where(places.numpy() == OUTSIDE, 3, np.digitize(tissue.numpy(), EDGES))
    expected = kept.tails.normal_scores(farthest, torch.from_numpy(groups))
    on_input = stack.to_source(expected, fill=NOT_SEEN_SIGNED)
    np.testing.assert_allclose(result.arrays["anomaly"], on_input, atol=5e-3)


def test_smoothing_in_space_is_the_same_along_every_axis():
    from SlicerVAELib.core.anomaly.postprocessing import smooth_in_space

    point = torch.zeros(21, 21, 21)
    point[10, 10, 10] = 1
    spread = smooth_in_space(point, 2.0, 2.0)
    torch.testing.assert_close(spread, spread.permute(2, 1, 0))
    assert float(spread.sum()) == pytest.approx(1)
    offsets = torch.arange(21) - 10.0
    assert float((spread.sum(dim=(1, 2)) * offsets**2).sum()) == pytest.approx(4, rel=0.03)
    torch.testing.assert_close(smooth_in_space(point, 0.0, 0.0), point)


def test_a_calibration_of_other_weights_is_refused(bundle, tmp_path, volume):
    write_tiny_bundle(tmp_path / "other", seed=1)
    from SlicerVAELib.core.bundle_parts import write_parts

    write_parts(tmp_path / "other", {name: (bundle / name).read_bytes() for name in (ARRAYS, DESCRIPTION)})
    with pytest.raises(UserError, match="another model; run 'slicervae calibrate'"):
        reconstruct(tmp_path / "other", volume)
    assert "uncalibrated" in reconstruct(tmp_path / "other", volume, calibrated=False).anomaly_unit


@pytest.mark.parametrize("damage", ["bytes", "missing", "array", "json", "scale"])
def test_a_damaged_calibration_is_refused_in_one_sentence(bundle, tmp_path, volume, damage):
    from SlicerVAELib.core.bundle_parts import write_parts

    broken = tmp_path / "broken"
    shutil.copytree(bundle, broken)
    if damage == "bytes":
        content = bytearray((broken / ARRAYS).read_bytes())
        content[-3] ^= 0xFF
        (broken / ARRAYS).write_bytes(content)
    elif damage == "missing":
        (broken / ARRAYS).unlink()
    elif damage == "array":
        write_parts(broken, {ARRAYS: b"no arrays"})
    elif damage == "json":
        data = json.loads((broken / DESCRIPTION).read_text())
        data["calibrated"][0]["maps"] = ["anomaly", "anomaly T1"]
        write_parts(broken, {DESCRIPTION: json.dumps(data).encode()})
    else:
        import safetensors.numpy

        arrays = safetensors.numpy.load_file(broken / ARRAYS)
        arrays["signed-residual/anomaly/scale"] = np.zeros_like(arrays["signed-residual/anomaly/scale"])
        write_parts(broken, {ARRAYS: safetensors.numpy.save(arrays)})
    with pytest.raises(UserError) as refusal:
        reconstruct(broken, volume)
    assert str(broken) in str(refusal.value) and str(refusal.value).count(". ") == 0
