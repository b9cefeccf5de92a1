"""Phantom patients in memory: anatomy on its side, attenuation as published, lesions where they are said to be."""

import numpy as np
import pytest

from slicervae.phantom import HEALTHY, STRUCTURES, LesionPolicy, PhantomPatient, make_patient
from slicervae.phantom.person import draw_person
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel

SEED = 41
SICK = LesionPolicy(share=1.0)  # odd numbers a nodule, even ones an effusion


def patient(number: int, lesions: LesionPolicy = HEALTHY, size: int = 96, slices: int = 34) -> PhantomPatient:
    return make_patient(SEED, number, size=size, slices=slices, lesions=lesions)


@pytest.fixture(scope="module")
def healthy() -> list[PhantomPatient]:
    return [patient(number) for number in range(1, 6)]


@pytest.fixture(scope="module")
def nodules() -> list[PhantomPatient]:
    return [patient(number, SICK) for number in (1, 3, 5)]


@pytest.fixture(scope="module")
def effusions() -> list[PhantomPatient]:
    return [patient(number, SICK) for number in (2, 4)]


def lps(case: PhantomPatient, mask: np.ndarray) -> np.ndarray:
    """Positions (N, 3) of a mask's voxels in LPS mm."""
    spacing, origin, _ = case.volume.geometry.lps
    return np.argwhere(mask)[:, ::-1] * spacing + origin


def centre(case: PhantomPatient, mask: np.ndarray) -> np.ndarray:
    return lps(case, mask).mean(axis=0)


def hu_about(case: PhantomPatient, x: float, y: float, z: float, radius: float = 9.0) -> float:
    """Median HU of the voxels within ``radius`` mm in the plane of the nearest slice."""
    spacing, origin, _ = case.volume.geometry.lps
    k = int(np.rint((z - origin[2]) / spacing[2]))
    columns = origin[0] + np.arange(case.volume.array.shape[2]) * spacing[0]
    rows = origin[1] + np.arange(case.volume.array.shape[1]) * spacing[1]
    near = np.hypot(columns[None, :] - x, rows[:, None] - y) < radius
    return float(np.median(case.volume.array[k][near]))


def test_sides_and_levels_are_right(healthy):
    for case in healthy:
        masks = case.volume.masks
        body, heart, cord = (centre(case, masks[name]) for name in ("BODY", "Heart", "SpinalCord"))
        left, right = centre(case, masks["Lung_L"]), centre(case, masks["Lung_R"])
        assert left[0] > cord[0] + 40, "the left lung lies at larger x"
        assert right[0] < cord[0] - 40
        assert heart[0] > cord[0] + 8, "the heart lies to the left of the spine"
        assert heart[1] < cord[1] - 50, "and in front of it"
        assert cord[1] > body[1] + 10, "the spine is at the back"
        apex = lps(case, masks["Heart"])
        assert apex[apex[:, 2] < heart[2] - 25][:, 0].mean() > heart[0], "the heart's apex points down and to the left"
        lungs = lps(case, masks["Lung_L"] | masks["Lung_R"])
        assert lungs[:, 2].max() > lps(case, masks["Heart"])[:, 2].max() + 40, "apices above the heart"


def test_the_liver_is_on_the_right_and_the_stomach_air_rises_to_the_front(healthy):
    for case in healthy:
        q = case.parameters
        cord = centre(case, case.volume.masks["SpinalCord"])
        x, z = 0.5 * float(q["inner_half_width_mm"]), float(q["right_dome_z_mm"]) - 45
        y = cord[1] - 75
        assert hu_about(case, cord[0] - x, y, z) == pytest.approx(float(q["liver_hu"]), abs=8)
        under_left_dome = case.volume.array[: int((z - case.volume.geometry.lps[1][2]) / 10)]
        air = np.argwhere((under_left_dome < -900) & case.volume.masks["BODY"][: len(under_left_dome)])
        outside_lungs = [not (case.volume.masks["Lung_L"] | case.volume.masks["Lung_R"])[tuple(v)] for v in air]
        spacing, origin, _ = case.volume.geometry.lps
        gas = air[outside_lungs]
        if len(gas) > 5:
            assert (gas[:, 2] * spacing[0] + origin[0]).mean() > cord[0], "gas is in the stomach, on the left"


def test_the_patient_lies_on_a_couch(healthy):
    for case in healthy:
        top = float(case.parameters["table_top_y_mm"])
        body = lps(case, case.volume.masks["BODY"])
        assert body[:, 1].max() == pytest.approx(top, abs=8), "the back touches the couch"
        assert hu_about(case, 0, top + 25, -150, 12) == pytest.approx(-970, abs=20), "foam inside the couch"
        assert hu_about(case, 0, top + 90, -150) == pytest.approx(-1000, abs=20), "air below it"


def test_structures_are_whole_and_do_not_overlap(healthy, nodules):
    for case in [*healthy, *nodules]:
        masks = case.volume.masks
        assert tuple(masks) == STRUCTURES
        assert all(mask.any() and mask.dtype == bool for mask in masks.values())
        inner = [masks[name] for name in ("Lung_L", "Lung_R", "Heart", "SpinalCord")]
        assert np.sum(inner, axis=0).max() == 1
        assert (masks["BODY"] | ~np.any(inner, axis=0)).all(), "organs lie within the body"
        assert (masks["BODY"] | ~masks["PTV"]).all()


def test_attenuation_is_in_the_published_ranges(healthy):
    for case in healthy:
        array, masks, q = case.volume.array, case.volume.masks, case.parameters
        assert array.dtype == np.int16
        assert -880 < np.median(array[masks["Lung_L"]]) < -780
        assert -850 < float(q["lungs_mean_hu"]) < -740
        assert 38 < np.median(array[masks["Heart"]]) < 58
        assert np.median(array[0, :8, :8]) == pytest.approx(-1000, abs=4)
        body = array[masks["BODY"]]
        assert 0.01 < (body > 250).mean() < 0.09, "bone"
        assert 0.08 < ((body > -130) & (body < -70)).mean() < 0.5, "fat"
        assert body.max() > 450, "cortical bone, thinner than these voxels"


def test_noise_is_correlated_and_grows_with_attenuation():
    case = make_patient(SEED, 2, size=256, slices=12, lesions=HEALTHY)
    q = case.parameters
    cord = centre(case, case.volume.masks["SpinalCord"])
    spacing, origin, _ = case.volume.geometry.lps
    k = int(np.rint((float(q["right_dome_z_mm"]) - 45 - origin[2]) / spacing[2]))
    j = int((cord[1] - 75 - origin[1]) / spacing[1])
    i = int((cord[0] - 0.5 * float(q["inner_half_width_mm"]) - origin[0]) / spacing[0])
    liver = case.volume.array[k, j - 8 : j + 8, i - 8 : i + 8].astype(float)
    air = case.volume.array[k, 2:30, 2:30].astype(float)
    assert 5 < liver.std() < 30
    assert air.std() < 0.8 * liver.std()
    liver -= liver.mean()
    neighbours = (liver[:, 1:] * liver[:, :-1]).mean() / liver.var()
    distant = (liver[:, 8:] * liver[:, :-8]).mean() / liver.var()
    assert neighbours > distant + 0.15, "neighbouring pixels share noise, distant ones don't"


def test_edges_have_partial_volume(healthy):
    case = healthy[0]
    share = case.coverage["Lung_R"]
    assert ((share > 0) & (share < 255)).sum() > 0.05 * (share == 255).sum()
    boundary = (share > 100) & (share < 155) & ~case.volume.masks["Heart"]
    assert -800 < np.median(case.volume.array[boundary]) < -100


def test_true_parameters_match_the_voxels(healthy):
    for case in healthy:
        cm3, q = case.volume.geometry.voxel_volume_cm3, case.parameters
        for name, key in (("Lung_L", "lung_left_cm3"), ("Lung_R", "lung_right_cm3"), ("Heart", "heart_cm3")):
            assert case.volume.masks[name].sum() * cm3 == pytest.approx(float(q[key]), rel=0.05)
        assert float(q["heart_cm3"]) == pytest.approx(float(q["heart_volume_cm3"]), rel=0.03)
        assert float(q["lung_right_cm3"]) / float(q["lungs_cm3"]) == pytest.approx(0.536, abs=0.035)


def test_anatomy_varies_between_patients_as_published():
    people = [draw_person(SEED, number) for number in range(1, 301)]
    for name in people[0].__dataclass_fields__:
        if name not in ("sex", "breast_thickness_mm"):
            assert np.std([getattr(person, name) for person in people]) > 0, name
    men = [person for person in people if person.is_male]
    women = [person for person in people if not person.is_male]
    assert 110 < len(men) < 190
    assert np.mean([p.stature_mm for p in men]) == pytest.approx(1756, abs=15)
    assert np.mean([p.heart_volume_cm3 for p in women]) == pytest.approx(590, abs=35)
    assert np.mean([p.ascending_aorta_mm for p in men]) == pytest.approx(34.1 + 0.12 * 12, abs=1.2)
    tall, volumes = ([getattr(p, n) for p in men] for n in ("stature_mm", "wanted_lung_volume_cm3"))
    assert np.corrcoef(tall, volumes)[0, 1] > 0.3, "tall men have large lungs"


def test_realised_volumes_vary(healthy):
    for key in ("lungs_cm3", "heart_cm3", "body_in_scan_cm3", "lungs_mean_hu", "table_top_y_mm", "ptv_cm3"):
        assert np.std([float(case.parameters[key]) for case in healthy]) > 0


def test_a_nodule_is_a_ball_of_soft_tissue_in_the_lung_it_names(nodules):
    for case in nodules:
        q = case.parameters
        assert case.lesion is not None
        assert case.lesion_kind == q["lesion_kind"] == "nodule"
        assert case.lesion.any()
        assert (case.volume.masks[f"Lung_{q['lesion_side']}"] | ~case.lesion).all()
        diameter = (float(q["lesion_cm3"]) * 1000 * 6 / np.pi) ** (1 / 3)
        assert 8 <= diameter <= 36
        where = [float(q[f"lesion_{axis}_mm"]) for axis in "xyz"]
        assert np.allclose(centre(case, case.lesion), where, atol=5)
        twin, cm3 = patient(case.number), case.volume.geometry.voxel_volume_cm3
        added = (case.volume.array.astype(float) - twin.volume.array).sum() * cm3
        contrast = float(q["lesion_hu"]) - float(q["lungs_mean_hu"])
        assert added / contrast == pytest.approx(float(q["lesion_cm3"]), rel=0.15), "partial volume conserves it"
        assert (case.volume.masks["PTV"] | ~case.lesion).all(), "the target encloses the nodule"


def test_an_effusion_lies_behind_and_below_in_what_was_lung(effusions):
    for case in effusions:
        q, twin = case.parameters, patient(case.number)
        lung = f"Lung_{q['lesion_side']}"
        assert case.lesion is not None
        assert 20 < float(q["lesion_cm3"]) < 1200
        assert not (case.lesion & case.volume.masks[lung]).any()
        assert (twin.volume.masks[lung] & case.lesion).sum() > 0.95 * case.lesion.sum()
        fluid, whole = centre(case, case.lesion), centre(twin, twin.volume.masks[lung])
        assert fluid[1] > whole[1] + 15, "it collects behind"
        assert fluid[2] < whole[2] - 15, "and below"
        assert -12 < np.median(case.volume.array[case.lesion]) < 32


def test_a_sick_patient_and_the_healthy_twin_differ_by_the_lesion_only(nodules):
    case = nodules[0]
    twin = patient(case.number)
    assert twin.lesion is None
    assert twin.lesion_kind == "none"
    assert twin.parameters["lesion_cm3"] == ""
    changed = case.volume.array != twin.volume.array
    assert changed[case.lesion].any()
    away = np.ones_like(changed)
    k = np.nonzero(case.lesion.any(axis=(1, 2)))[0]
    away[k.min() - 2 : k.max() + 3] = False
    assert not changed[away].any()


def test_the_lesion_policy_spreads_kinds_evenly():
    kinds = [LesionPolicy().kind(number) for number in range(1, 25)]
    assert kinds.count("none") == 16
    assert kinds.count("nodule") == kinds.count("effusion") == 4
    assert {HEALTHY.kind(number) for number in range(1, 50)} == {"none"}
    assert "none" not in {SICK.kind(number) for number in range(1, 50)}
    with pytest.raises(UserError, match="from 0 to 1"):
        LesionPolicy(share=1.5)


def test_the_same_seed_gives_the_same_patient_and_another_gives_another():
    one, two = (make_patient(SEED, 7, size=48, slices=12) for _ in range(2))
    assert np.array_equal(one.volume.array, two.volume.array)
    assert one.parameters == two.parameters
    assert one.volume.source == two.volume.source
    others = [make_patient(SEED, 8, size=48, slices=12), make_patient(SEED + 1, 7, size=48, slices=12)]
    for other in others:
        assert not np.array_equal(one.volume.array, other.volume.array)
        assert one.volume.source.series_uid != other.volume.source.series_uid


def test_a_finer_scan_shows_the_same_patient(healthy):
    fine = patient(1, size=192, slices=68)
    assert float(fine.parameters["lungs_cm3"]) == pytest.approx(float(healthy[0].parameters["lungs_cm3"]), rel=0.02)
    assert np.allclose(fine.volume.geometry.centre, healthy[0].volume.geometry.centre, atol=0.01)
    coarse = healthy[0].volume.array.astype(float)
    block = fine.volume.array.reshape(34, 2, 96, 2, 96, 2).mean(axis=(1, 3, 5))
    assert np.corrcoef(coarse.ravel(), block.ravel())[0, 1] > 0.99


def test_sizes_that_cannot_hold_a_patient_are_refused():
    with pytest.raises(UserError, match="4 pixels"):
        make_patient(SEED, 1, size=4)
    with pytest.raises(UserError, match="1 slices"):
        make_patient(SEED, 1, slices=1)


def test_cancel_stops_between_slices():
    cancel, seen = Cancel(), []

    def watch(progress):
        seen.append(progress.fraction)
        if progress.fraction > 0.3:
            cancel.request()

    with pytest.raises(Cancelled):
        make_patient(SEED, 1, size=48, slices=12, progress=watch, cancel=cancel)
    assert max(seen) < 0.6
