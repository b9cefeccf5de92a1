"""Models of other kinds on the command line: from training to a bundle, and with all their inputs and outputs."""

import json

import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch
from matplotlib import image

from slicervae.cli import main
from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.declaration import Declaration
from SlicerVAELib.core.manifest import FORMAT, FORMAT_VERSION, Manifest, NetworkDescription
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, Preprocessing
from SlicerVAELib.core.synthesis import draw_latents
from SlicerVAELib.core.volume import Modality


@pytest.mark.parametrize("name", ["ae50", "vqvae_std", "introvae50"])
def test_a_recipe_of_another_kind_becomes_a_bundle_that_is_used(name, mr_cohort, tmp_path, capsys):
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    small = ["--set", "size=64", "--set", "batch_size=8", "--max-epochs", "1"]
    assert main(["fit", name, "--data", str(mr_cohort), "--out", str(run), *small]) == 0
    assert main(["export", str(run), "--out", str(bundle)]) == 0
    words = ["evaluate", str(bundle), "--data", str(mr_cohort), "--samples", "0", "--out", str(tmp_path / "quality")]
    assert main(words) == 0
    volumes = json.loads((tmp_path / "quality" / "metrics.json").read_text())["volumes"]
    assert len(volumes) == 4 and all(np.isfinite(volume["mse"]) for volume in volumes)
    capsys.readouterr()
    network, picture = load_network(bundle), image.imread(bundle / "preview.png")
    sampled = main(["sample", str(bundle), "--count", "2", "--out", str(tmp_path / "samples")])
    if name == "ae50":
        assert sampled == 1 and "no prior to draw from" in capsys.readouterr().err
        assert picture.shape[:2] != (128, 384)
        assert (picture[..., 0] > 0.99).mean() > 0.9  # words on white, not a slice
        return
    assert sampled == 0
    drawn = network.decode(draw_latents(network, 12, seed=0))[:, 0]
    shown = picture[..., 0].reshape(2, 64, 6, 64).transpose(0, 2, 1, 3).reshape(12, 64, 64)
    np.testing.assert_allclose(shown, drawn.clamp(0, 1).numpy(), atol=0.02)


@pytest.fixture(scope="module")
def two_images_and_a_structure(tmp_path_factory):
    """An untrained model of FLAIR, T2 and a structure."""
    settings = {"size": 64, "channels": 2, "structures": 1, "filters": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("conv_pool_structures", settings)
    manifest = Manifest(
        format=FORMAT,
        format_version=FORMAT_VERSION,
        name="two",
        version="1.0",
        created="2026-01-01T00:00:00+00:00",
        software="SlicerVAE",
        recipe="rtvae_structures",
        network=NetworkDescription("conv_pool_structures", settings),
        preprocessing=Preprocessing(
            ForegroundPercentiles(), 64, 4.0, "foreground", channels=("FLAIR", "T2"), structures=("White/grey",)
        ),
        declaration=Declaration(Modality.MR, "head", 256.0, (1.0, 6.0), 1, "For tests only.", ("White/grey",)),
        noise_variance=0.02,
    )
    bundle = tmp_path_factory.mktemp("two") / "bundle"
    write_bundle(bundle, manifest, network, card="# Small\n", preview=b"\x89PNG\r\n\x1a\n")
    return bundle


def test_further_images_and_structures_come_from_files_of_their_own(
    two_images_and_a_structure, mr_cohort, tmp_path, capsys
):
    flair = mr_cohort / "patient01" / "FLAIR.nii.gz"
    other = nibabel.load(flair)
    array = np.asarray(other.dataobj)
    nibabel.save(nibabel.Nifti1Image(array[::-1].copy(), other.affine), tmp_path / "T2.nii.gz")
    mask = sitk.Cast(sitk.ReadImage(str(flair)) > float(array.mean()), sitk.sitkUInt8)
    for key, value in {"Name": "White/grey", "ID": "Segment_1", "LabelValue": "1", "Layer": "0"}.items():
        mask.SetMetaData(f"Segment0_{key}", value)
    sitk.WriteImage(mask, str(tmp_path / "structures.seg.nrrd"))
    words = ["reconstruct", str(two_images_and_a_structure), str(flair), "--modality", "MR"]
    files = ["--channel", f"T2={tmp_path / 'T2.nii.gz'}", "--structures", str(tmp_path / "structures.seg.nrrd")]
    assert main([*words, *files, "--out", str(tmp_path / "out")]) == 0, capsys.readouterr().err
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"residual.nrrd", "residual T2.nrrd", "reconstruction T2.nrrd", "structure White_grey.nrrd"} <= written
    mask.SetMetaData("Segment0_Name", "Ours")
    sitk.WriteImage(mask, str(tmp_path / "structures.seg.nrrd"))
    (tmp_path / "names.txt").write_text("White/grey: Ours\n")
    own = ["--structure-names", str(tmp_path / "names.txt")]
    assert main([*words, *files, *own, "--out", str(tmp_path / "named")]) == 0, capsys.readouterr().err
    assert list(json.loads((tmp_path / "named" / "result.json").read_text())["structures"]) == ["White/grey"]
    assert main([*words, *files, "--out", str(tmp_path / "nothing")]) == 1
    capsys.readouterr()
    for missing in (files[:2], files[2:]):
        assert main([*words, *missing, "--out", str(tmp_path / "nothing")]) == 1
        sentence = capsys.readouterr().err
        assert "White/grey" in sentence or "T2" in sentence
        assert not (tmp_path / "nothing").exists()
    assert main([*words, "--channel", "T2", "--out", str(tmp_path / "nothing")]) == 1
    assert "NAME=FILE" in capsys.readouterr().err
