"""What the engine says of a volume for the patient library, for every kind of model that has posteriors."""

from pathlib import Path

import numpy as np
import pytest
import torch

from SlicerVAELib.core.body import body_of, tissue_threshold
from SlicerVAELib.core.body_position import body_origin
from SlicerVAELib.core.bundle import load_network, write_bundle
from SlicerVAELib.core.encoding import HierarchicalGaussian
from SlicerVAELib.core.engine import EncodedVolume, EncodeRequest, Hardware
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.local_engine import LocalEngine
from SlicerVAELib.core.manifest import NetworkDescription, read_manifest
from SlicerVAELib.core.networks import build
from SlicerVAELib.core.preprocessing import ForegroundPercentiles, HounsfieldWindow, Preprocessing
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.stack import prepare
from SlicerVAELib.core.volume import Modality, Source, Volume
from SlicerVAELib.worker.client import WorkerEngine
from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest, write_tiny_bundle
from Testing.headless.twins import grid, positions

CPU = Hardware("cpu")
BODY = 32  # slices of the trunk below that show its body
FAMILIES = {
    "gaussian": ("table52_vae", {"size": 64, "latent": 5}, {}),
    "hierarchy": ("pchvae", {"size": 64}, {}),
    "cube": ("conv_pool_vae", {"size": 32, "dimensions": 3, "filters": 4}, {"size": 32, "depth": "cube"}),
    "coronal": ("table52_vae", {"size": 64, "latent": 5}, {"plane": "coronal"}),
    "codes": ("table52_vqvae", {"size": 64}, {}),
    "point": ("table52_ae", {"size": 64, "latent": 5}, {}),
}
LUNG, FAT, AIR = -850.0, -80.0, -1000.0
GRID = grid((40, 48, 54), (5.0, 5.0, 5.0))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoded")
    for number, (kind, (family, settings, changes)) in enumerate(FAMILIES.items()):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            network = build(family, settings)
        fields = {"intensity": HounsfieldWindow(), "size": 64, "spacing_mm": 6.0} | changes
        manifest = tiny_manifest(
            name=kind, network=NetworkDescription(family, settings), preprocessing=Preprocessing(**fields)
        )
        write_bundle(folder / kind, manifest, network, card="# Small\n", preview=PREVIEW_PNG)
    return {kind: folder / kind for kind in FAMILIES}


@pytest.fixture(scope="module")
def local():
    return LocalEngine()


def trunk(couch_hu: float = AIR) -> Volume:
    """A trunk from −100 to 60 mm S, the rest of the scan empty, with lungs about −20 mm, on a couch along all of it."""
    x, y, z = np.moveaxis(positions(GRID), -1, 0)
    body = ((x / 110) ** 2 + (y / 75) ** 2 < 1) & (z < 60)
    lungs = (((np.abs(x) - 46) / 26) ** 2 + (y / 42) ** 2 < 1) & (np.abs(z + 20) < 60)
    array = np.where(body, np.where(lungs, LUNG, FAT), AIR)
    couch = (np.abs(y + 97) < 6) & (np.abs(x) < 120)
    return Volume(np.where(couch, couch_hu, array).astype(np.float32), GRID, Modality.CT, source=Source("trunk"))


@pytest.fixture(scope="module")
def patient() -> Volume:
    return trunk()


@pytest.fixture(scope="module")
def encoded(local, bundles, patient) -> EncodedVolume:
    return local.encode(EncodeRequest(bundles["gaussian"], patient, CPU))


def by_network(bundle: Path, volume: Volume, body_only: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Mean and log variance of every image by the bundle's own network."""
    manifest = read_manifest(bundle)
    stack = prepare(volume, Preprocessing(**(vars(manifest.preprocessing) | {"body_only": body_only})))
    network = load_network(bundle)
    with torch.inference_mode():
        encodings = [network.encode(image[None]) for image in stack.images]
    firsts = [each.first if isinstance(each, HierarchicalGaussian) else each for each in encodings]
    return tuple(torch.cat([getattr(p, name).flatten(1) for p in firsts]).numpy() for name in ("mean", "log_variance"))


@pytest.mark.parametrize("kind", ["gaussian", "hierarchy"])
def test_posteriors_are_those_of_the_network_for_slices_with_a_body(local, bundles, patient, kind):
    found = local.encode(EncodeRequest(bundles[kind], patient, CPU))
    mean, log_variance = by_network(bundles[kind], patient)
    assert found.latent_kind == "gaussian"
    assert found.mean.dtype == found.log_variance.dtype == np.float32
    np.testing.assert_allclose(found.mean, mean[:BODY], atol=1e-5)
    np.testing.assert_allclose(found.log_variance, log_variance[:BODY], atol=1e-5)
    assert found.notices == ("8 slices show no body and had no part.",)
    assert found.body_share.min() > 0.1 and found.body_share.max() < 0.9


def test_positions_are_told_in_the_body_and_in_the_patient(encoded, patient):
    superior = np.arange(BODY) * 5 - 97.5
    assert encoded.position_origin == "lungs"
    np.testing.assert_allclose(encoded.slice_positions_mm, np.outer(superior, [0, 0, 1]), atol=1e-6)
    np.testing.assert_allclose(encoded.positions_mm, superior + 20, atol=3)
    body = body_of(patient.array, GRID, tissue_threshold(Modality.CT, -800, 700), -800.0)
    np.testing.assert_array_equal(encoded.positions_mm, body_origin(patient, body).positions(superior))


def test_a_couch_changes_nothing_though_the_bundle_does_not_ask_for_it(local, tmp_path, patient):
    bundle = tmp_path / "tiny"
    assert not write_tiny_bundle(bundle).preprocessing.body_only
    without, with_couch = (local.encode(EncodeRequest(bundle, v, CPU)) for v in (patient, trunk(300.0)))
    seen, _ = by_network(bundle, trunk(300.0), body_only=False)
    np.testing.assert_allclose(with_couch.mean, without.mean, atol=0.02 * np.abs(seen[:BODY] - without.mean).max())


def test_a_cube_is_one_posterior_in_the_middle_of_the_scan(local, bundles, patient):
    found = local.encode(EncodeRequest(bundles["cube"], patient, CPU))
    np.testing.assert_allclose(found.mean, by_network(bundles["cube"], patient)[0], atol=1e-5)
    assert len(found.mean) == len(found.positions_mm) == len(found.body_share) == 1
    np.testing.assert_allclose(found.slice_positions_mm, [[0, 0, 0]], atol=1e-6)
    assert found.positions_mm[0] == pytest.approx(20, abs=3)


def test_an_mr_keeps_what_lies_beside_the_body(local, tmp_path, patient):
    write_tiny_bundle(tmp_path / "mr", Modality.MR, preprocessing=Preprocessing(ForegroundPercentiles(), 64, 6.0))
    mr = patient.replace(array=trunk(-600.0).array + 1000, modality=Modality.MR)
    found = local.encode(EncodeRequest(tmp_path / "mr", mr, CPU))
    mean, _ = by_network(tmp_path / "mr", mr, body_only=False)
    assert len(found.mean) in (BODY, BODY + 1) and found.position_origin == "vertex"
    np.testing.assert_allclose(found.mean, mean[: len(found.mean)], atol=1e-5)


def test_coronal_slices_lie_at_one_level(local, bundles, patient):
    found = local.encode(EncodeRequest(bundles["coronal"], patient, CPU))
    assert np.ptp(found.slice_positions_mm[:, 1]) == pytest.approx(5 * (len(found.mean) - 1))
    assert np.ptp(found.positions_mm) == 0


@pytest.mark.parametrize(("kind", "has"), [("codes", "has codes"), ("point", "without a posterior")])
def test_models_without_a_posterior_refuse(local, bundles, patient, kind, has):
    with pytest.raises(UserError, match=f"^{kind}.*{has}.*choose a variational model"):
        local.encode(EncodeRequest(bundles[kind], patient, CPU))


def test_an_image_without_a_body_and_another_modality_are_refused(local, bundles, patient):
    with pytest.raises(UserError, match="is an MR image"):
        local.encode(EncodeRequest(bundles["gaussian"], patient.replace(modality=Modality.MR), CPU))
    beside = np.full(GRID.shape, AIR, np.float32)
    beside[:, 10:30, 2:12] = FAT  # as thick as a body, but beyond the sides of the model's square of 64 mm
    bundle = write_narrow_bundle(bundles["gaussian"].parent / "narrow")
    with pytest.raises(UserError, match="trunk shows no body; choose"):
        local.encode(EncodeRequest(bundle, patient.replace(array=beside), CPU))


def write_narrow_bundle(folder: Path) -> Path:
    write_tiny_bundle(folder, preprocessing=Preprocessing(HounsfieldWindow(), 64, 1.0))
    return folder


def test_progress_and_cancel(local, bundles, patient):
    seen, cancel = [], Cancel()
    local.encode(EncodeRequest(bundles["gaussian"], patient, CPU), seen.append)
    assert seen[-1].fraction == 1 and [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    with pytest.raises(Cancelled):
        local.encode(EncodeRequest(bundles["gaussian"], patient, CPU), lambda _: cancel.request(), cancel)


def test_the_worker_encodes_the_same(encoded, bundles, patient, tmp_path):
    asked = EncodeRequest(bundles["gaussian"], patient, CPU)
    here, seen = encoded, []
    with WorkerEngine(scratch_base=tmp_path) as worker:
        there = worker.encode(asked, seen.append)
        for name in ("mean", "log_variance", "positions_mm", "slice_positions_mm", "body_share"):
            assert getattr(there, name).dtype == getattr(here, name).dtype
            np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
        for name in ("position_origin", "latent_kind", "notices", "provenance"):
            assert getattr(there, name) == getattr(here, name)
        assert seen[-1].fraction == 1
        with pytest.raises(UserError, match="has codes, which the patient library can't compare"):
            worker.encode(EncodeRequest(bundles["codes"], patient, CPU))
