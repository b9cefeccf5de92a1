"""From the files of a cohort to images: channels, structures, what is left out, and what bad data is told."""

import shutil

import nibabel
import numpy as np
import pytest
import torch

from slicervae.data import preparation
from slicervae.data.cache import Cache
from slicervae.data.cohort import find
from slicervae.data.preparation import decide, images_of
from slicervae.phantom import write_cohort
from slicervae.recipe import load_recipe
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.progress import Cancel, ignore

CHANNELS = "data.channels=FLAIR=FLAIR*,T1=T1*,T2=T2*"
NAMES = ["BODY", "Lung_L", "Lung_R", "SpinalCord"]
STRUCTURES = f"data.structures=[{', '.join(NAMES)}]"


def prepared(data, cache, *changes, name="vae50"):
    recipe = load_recipe(name, ["size=64", "validation_share=0", *changes])
    network = build(recipe.network.family, recipe.network.settings)
    record = decide(recipe, data, network, 0, Cache(cache), ignore, Cancel())
    return recipe, record, images_of(recipe, record, Cache(cache), ignore, Cancel())


def everything(source):
    return source.batch(torch.arange(len(source)))


def save(path, array, affine):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)


@pytest.fixture(scope="module")
def brain(real_data, tmp_path_factory):
    """Ten slices of a real patient's FLAIR, T1, T2 and lesions, T2 on a grid of its own."""
    folder = tmp_path_factory.mktemp("brain")
    for name in ("FLAIR", "T1", "T2", "lesions"):
        image = nibabel.load(real_data / "open_ms" / "cross_sectional" / "patient07" / f"{name}.nii.gz")
        piece = image.slicer[:, :, 95:105] if name != "T2" else image.slicer[::2, ::2, 93:107]
        save(folder / "patient07" / f"{name}.nii.gz", np.asarray(piece.dataobj), piece.affine)
    return folder


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms") / "cohort"
    write_cohort(folder, patients=1, seed=4, size=96, slices=12, lesion_share=0.0)
    return folder


def test_co_registered_images_become_channels_on_the_main_ones_grid(brain, tmp_path):
    recipe, record, (training, _) = prepared(brain, tmp_path, CHANNELS)
    assert recipe.network.settings["channels"] == 3
    assert record.preprocessing.channels == ("FLAIR", "T1", "T2")
    images = everything(training).images
    assert images.shape == (10, 3, 64, 64)
    # Each channel is what the same image alone becomes, and T2, of half as many pixels, nearly so.
    for index, name in enumerate(("FLAIR", "T1")):
        alone = prepared(
            brain, tmp_path, f"include={name}*", f"spacing_mm={record.preprocessing.spacing_mm}", "centre=grid"
        )[2][0]
        with_others = prepared(
            brain, tmp_path, CHANNELS, "centre=grid", f"spacing_mm={record.preprocessing.spacing_mm}"
        )[2][0]
        torch.testing.assert_close(everything(alone).images[:, 0], everything(with_others).images[:, index])
    t1, t2 = images[:, 1].flatten(), images[:, 2].flatten()
    brain_pixels = t1 > 0.05
    assert (t2[brain_pixels] > 0.02).float().mean() > 0.95, "T2 lies where T1 does"
    assert float(torch.corrcoef(torch.stack([t1, t2]))[0, 1]) < 0.99


def test_lesions_are_left_out_and_nothing_else(brain, tmp_path):
    _, record, (training, _) = prepared(brain, tmp_path, "include=FLAIR*", "leave_out=*lesions*")
    assert record.notices == []
    batch = everything(training)
    lesions = nibabel.load(brain / "patient07" / "lesions.nii.gz").get_fdata() > 0
    affine = nibabel.load(brain / "patient07" / "FLAIR.nii.gz").affine
    assert batch.kept.shape == (10, 1, 64, 64)
    left_out = 1 - batch.kept[:, 0]
    spacing = record.preprocessing.spacing_mm
    for k in range(10):
        area = lesions[:, :, k].sum() * abs(np.linalg.det(affine[:2, :2]))
        pixels = float(left_out[k].sum())
        assert (pixels > 0) == (area > 0)
        assert pixels * spacing**2 >= area
        # No more than a pixel and a half around each lesion voxel.
        assert pixels <= lesions[:, :, k].sum() * (1 + 3.5 / spacing) ** 2
    plain = everything(prepared(brain, tmp_path, "include=FLAIR*")[2][0])
    assert plain.kept is None
    assert torch.equal(plain.images, batch.images)


def test_a_study_without_a_channel_is_left_out_with_a_word(brain, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(brain, data)
    shutil.copytree(data / "patient07", data / "patient08")
    (data / "patient08" / "T1.nii.gz").unlink()
    _, record, (training, _) = prepared(data, tmp_path / "cache", CHANNELS)
    assert record.training_patients == ["patient07"]
    assert len(training) == 10
    assert [word for word in record.notices if "patient08" in word and "T1" in word]
    (data / "patient07" / "T1.nii.gz").unlink()
    with pytest.raises(UserError, match=r"No study .* has all channels"):
        prepared(data, tmp_path / "cache", CHANNELS)


def test_a_pattern_that_fits_two_images_is_refused(real_data, tmp_path):
    with pytest.raises(
        UserError, match=r"channel FLAIR\) fits 2 volumes of .*patient01.*: study1_FLAIR.nii.gz, study2"
    ):
        prepared(real_data / "open_ms" / "longitudinal", tmp_path, "data.channels=FLAIR=*FLAIR*,T1=*T1W*")


def test_structures_of_a_dicom_patient_become_classes(phantoms, tmp_path):
    recipe, record, (training, _) = prepared(phantoms, tmp_path, STRUCTURES, name="rtvae_structures")
    assert recipe.network.settings["structures"] == len(NAMES)
    assert record.preprocessing.structures == tuple(NAMES)
    images = everything(training).images
    assert images.shape == (12, 1 + len(NAMES) + 1, 64, 64)
    classes = images[:, 1:]
    assert torch.equal(classes.sum(dim=1), torch.ones(12, 64, 64))
    assert set(classes.unique().tolist()) == {0.0, 1.0}
    # The areas are those of the drawn contours, with pixels of half as many a side.
    volume, _ = find(phantoms, recipe.data)[0][0].read(recipe.data)
    pixel = record.preprocessing.spacing_mm**2
    voxel = float(volume.geometry.spacing[0] * volume.geometry.spacing[1])
    inner = volume.masks["Lung_L"] | volume.masks["Lung_R"] | volume.masks["SpinalCord"]
    truth = dict(volume.masks) | {"BODY": volume.masks["BODY"] & ~inner}
    for index, name in enumerate(NAMES):
        area, expected = float(classes[:, index].sum()) * pixel, truth[name].sum() * voxel
        assert area == pytest.approx(expected, rel=0.05), name
    cord = classes[:, NAMES.index("SpinalCord")]
    assert (cord.sum(dim=(1, 2)) > 0).sum() >= 9, "the cord runs through the slices, at less than a pixel's width"


def test_structures_go_by_what_their_names_mean(phantoms, tmp_path):
    """The same images, whether a recipe says Lung_L or Lunge li; a site's own words come from its file."""
    cohort = tmp_path / "cohort"
    shutil.copytree(phantoms, cohort)
    by_name = prepared(cohort, tmp_path / "cache", STRUCTURES, name="rtvae_structures")[2][0]
    others = "data.structures=[External, Lunge li, Right lung, Rope]"
    with pytest.raises(UserError, match="no structure 'Rope'"):
        prepared(cohort, tmp_path / "cache", others, name="rtvae_structures")
    (cohort / "names.txt").write_text("SpinalCord: Rope\n")
    site = "data.structure_names=names.txt"
    by_meaning = prepared(cohort, tmp_path / "cache", others, site, name="rtvae_structures")[2][0]
    assert torch.equal(everything(by_meaning).images, everything(by_name).images)
    (cohort / "names.txt").write_text("Heart: Rope\n")  # a changed file can't serve the cache of the old one
    of_heart = prepared(cohort, tmp_path / "cache", others, site, name="rtvae_structures")[2][0]
    assert not torch.equal(everything(of_heart).images, everything(by_name).images)


def test_a_structure_that_nobody_has_is_refused_with_the_nearest_name(phantoms, tmp_path):
    with pytest.raises(UserError, match="did you mean 'SpinalCord'"):
        prepared(phantoms, tmp_path, "data.structures=[SpinalCrd]", name="rtvae_structures")


def test_structures_can_be_left_out_by_name(phantoms, tmp_path):
    training = prepared(phantoms, tmp_path, "leave_out=lung_*")[2][0]
    left_out = 1 - everything(training).kept
    structures = prepared(phantoms, tmp_path, STRUCTURES, name="rtvae_structures")[2][0]
    lungs = everything(structures).images[:, 2:4].sum(dim=1, keepdim=True)
    assert (left_out >= lungs).all()
    around = torch.nn.functional.max_pool2d(lungs, 3, stride=1, padding=1)
    # What a voxel has no part in counts; but for tips so small that they became no pixel of the structure.
    assert float((left_out > around).sum()) < 0.005 * float(lungs.sum())


def test_label_maps_of_a_cohort_of_files_become_structures(phantoms, tmp_path):
    """The same structures as a label map per structure beside a NIfTI volume, as TotalSegmentator writes them."""
    recipe, _, (training, _) = prepared(phantoms, tmp_path / "cache", STRUCTURES, name="rtvae_structures")
    volume, _ = find(phantoms, recipe.data)[0][0].read(recipe.data)
    affine = np.array(volume.geometry.ijk_to_ras)
    folder = tmp_path / "files" / "patient"
    save(folder / "ct.nii.gz", np.ascontiguousarray(volume.array.T), affine)
    for name in NAMES:
        mask = volume.masks[name].T.astype(np.uint8)
        save(folder / "segmentations" / f"{name.lower()}.nii.gz", np.ascontiguousarray(mask), affine)
    other = prepared(tmp_path / "files", tmp_path / "cache", STRUCTURES, name="rtvae_structures")[2][0]
    torch.testing.assert_close(everything(other).images, everything(training).images, atol=1e-4, rtol=0)


def test_cubes_are_one_item_a_study(phantoms, tmp_path):
    _, record, (training, _) = prepared(phantoms, tmp_path, "leave_out=SpinalCord", name="rtvae3d")
    assert record.preprocessing.depth == "cube"
    batch = everything(training)
    assert batch.images.shape == (1, 1, 64, 64, 64)
    assert batch.kept.shape == (1, 1, 64, 64, 64)
    assert 0 < float(1 - batch.kept.mean()) < 0.01
    with pytest.raises(UserError, match="takes slices"):
        prepared(phantoms, tmp_path, "depth=cube")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["validation_share=0.2"], "has 1 patient, too few"),
        (["leave_out=*tumour*"], "is like '.tumour.'"),
        (["data.structures=[SpinalCord]"], "takes no structures"),
        (["exclude_patients=PHANTOM-1"], "did you mean"),
        (["data.channels=CT=*,MR=*flair*"], "no volume like"),
    ],
)
def test_data_that_do_not_fit_are_told_in_one_sentence(phantoms, tmp_path, changes, words):
    with pytest.raises(UserError, match=words) as failure:
        prepared(phantoms, tmp_path, *changes)
    assert "\n" not in str(failure.value)


def test_a_network_of_other_channels_than_the_data_is_refused(brain, tmp_path):
    recipe = load_recipe("vae50", ["size=64", "validation_share=0", CHANNELS])
    network = build(recipe.network.family, recipe.network.settings | {"channels": 2})
    with pytest.raises(UserError, match="takes 2 image channels, but the data have 3"):
        decide(recipe, brain, network, 0, Cache(tmp_path), ignore, Cancel())


def test_patients_without_an_identifier_can_not_be_split(tmp_path):
    import pydicom

    data = tmp_path / "data"
    write_cohort(data, patients=3, seed=1, size=40, slices=10, lesion_share=0.0)
    for path in (data / "PHANTOM-0002" / "CT").iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PatientID = dataset.PatientName = ""
        dataset.save_as(path)
    with pytest.raises(UserError, match=r"PHANTOM-0002.* has no PatientID"):
        prepared(data, tmp_path / "cache", "validation_share=0.3")
    assert len(prepared(data, tmp_path / "cache")[1].training_patients) == 3


def test_data_that_changed_since_the_run_began_are_refused(mr_cohort, tmp_path):
    data, cache = tmp_path / "data", tmp_path / "cache"
    shutil.copytree(mr_cohort, data)
    recipe, record, _ = prepared(data, cache, "validation_share=0.3", "exclude_patients=patient12")
    path = data / "patient03" / "FLAIR.nii.gz"
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(dtype=np.float32) + 1, image.affine), path)
    with pytest.raises(UserError, match=r"not those the run was begun with \(patient03/FLAIR.nii.gz differs\)"):
        images_of(recipe, record, Cache(cache), ignore, Cancel())
    shutil.copy(mr_cohort / "patient03" / "FLAIR.nii.gz", path)
    shutil.copy(path, data / "patient03" / "second.nii.gz")
    with pytest.raises(UserError, match=r"second\.nii\.gz differs"):
        images_of(recipe, record, Cache(cache), ignore, Cancel())
    (data / "patient03" / "second.nii.gz").unlink()
    _, validation = images_of(recipe, record, Cache(cache), ignore, Cancel())
    again = preparation.validation_images_of(recipe, record, Cache(cache), ignore, Cancel())
    assert torch.equal(everything(again).images, everything(validation).images)
    assert len(preparation.test_images_of(recipe, record, ["patient12"], Cache(cache), Cancel())) >= 6
    with pytest.raises(UserError, match="has seen patient03"):
        preparation.test_images_of(recipe, record, ["patient03"], Cache(cache), Cancel())


@pytest.mark.parametrize("written", ["FLAIR=*FLAIR*,T1=*T1*", "{FLAIR: '*FLAIR*', T1: '*T1*'}"])
def test_channels_are_set_in_one_word(written):
    recipe = load_recipe("vae50", [f"data.channels={written}"])
    assert list(recipe.data.channels.items()) == [("FLAIR", "*FLAIR*"), ("T1", "*T1*")]
    assert recipe.network.settings["channels"] == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("data.channels=T1", "a name and a pattern each"),
        ("data.channels=[T1]", "named values"),
        ("data.structures=[Heart, Heart]", "one twice"),
        ("depth=pyramid", "'auto', 'cube', 'slices'"),
        ("rotation_degrees=400", "0.0 to 180"),
    ],
)
def test_wrong_settings_of_the_data_are_told(change, words):
    with pytest.raises(UserError, match=words):
        load_recipe("vae50", [change])


def test_masks_drawn_on_another_grid_are_passed_over_unless_they_are_named(brain, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(brain, data)
    image = nibabel.load(data / "patient07" / "lesions.nii.gz")
    half = image.slicer[::2]
    save(data / "patient07" / "other_seg.nii.gz", np.asarray(half.dataobj), half.affine)
    training = prepared(data, tmp_path / "cache", "include=FLAIR*", "leave_out=*lesions*")[2][0]
    assert float(everything(training).kept.min()) == 0
    with pytest.raises(UserError, match=r"other_seg.* does not lie on the grid"):
        prepared(data, tmp_path / "cache", "include=FLAIR*", "leave_out=*other*")


def test_images_that_do_not_overlap_are_no_channels(brain, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(brain, data)
    image = nibabel.load(data / "patient07" / "T1.nii.gz")
    far = image.affine.copy()
    far[:3, 3] += 1000
    save(data / "patient07" / "T1.nii.gz", np.asarray(image.dataobj), far)
    with pytest.raises(UserError, match="do not overlap"):
        prepared(data, tmp_path / "cache", CHANNELS)
