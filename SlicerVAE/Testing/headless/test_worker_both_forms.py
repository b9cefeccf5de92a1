"""The real engine in both its forms: the same arrays, the same errors, on a real image."""

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from SlicerVAELib.core.engine import Hardware, ReconstructRequest, SynthesizeRequest
from SlicerVAELib.core.errors import Cancelled, UserError
from SlicerVAELib.core.progress import Cancel
from SlicerVAELib.core.volume import Geometry, Modality, Source, Volume
from SlicerVAELib.worker.client import WorkerEngine

pytest.importorskip("torch")
CPU = Hardware("cpu")


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with WorkerEngine(scratch_base=tmp_path_factory.mktemp("scratch")) as engine:
        yield engine


@pytest.fixture(scope="module")
def chest(shared_data) -> Volume:
    import nibabel

    image = nibabel.load(shared_data / "totalsegmentator" / "chest_abdomen_ct.nii.gz")
    array = np.asarray(image.dataobj).transpose(2, 1, 0)[:24]  # the lowest 7 cm, so that it takes no time
    return Volume(array, Geometry(array.shape, image.affine), Modality.CT, source=Source("chest"))


def test_the_worker_is_ready_within_seconds_with_torch_in_it(tmp_path):
    began = time.monotonic()
    with WorkerEngine(scratch_base=tmp_path) as engine:
        engine.start()
        assert time.monotonic() - began < 15  # 4 s on a quiet machine; tests run beside others
        info = engine.info()
    assert info.process_id != 0 and info.torch == sys.modules["torch"].__version__ and "cpu" in info.devices


@pytest.mark.parametrize("seed", [None, 11])
def test_both_forms_reconstruct_the_same_arrays(worker, engine, ct_bundle, chest, seed):
    asked = ReconstructRequest(ct_bundle, chest, sample_seed=seed, hardware=CPU)
    seen = []
    there, here = worker.reconstruct(asked, seen.append), engine.reconstruct(asked)
    assert set(there.arrays) == {"reconstruction", "residual", "anomaly", "field_of_view"}
    for name, array in here.arrays.items():
        assert there.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(there.arrays[name], array)
    for name in ("anomaly_unit", "window", "slice_scores", "slice_positions_mm", "notices", "provenance"):
        assert getattr(there, name) == getattr(here, name)
    assert set(there.timings) == set(here.timings)
    assert seen[-1].fraction == 1.0


def test_further_images_and_structures_reach_the_worker_unchanged(worker, engine, chest, tmp_path):
    import torch

    from SlicerVAELib.core.bundle import write_bundle
    from SlicerVAELib.core.manifest import NetworkDescription
    from SlicerVAELib.core.networks import build
    from SlicerVAELib.core.preprocessing import HounsfieldWindow, Preprocessing
    from Testing.headless.tiny_bundle import PREVIEW_PNG, tiny_manifest

    settings = {"size": 64, "channels": 2, "structures": 1, "filters": 4}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build("conv_pool_structures", settings)
    manifest = tiny_manifest(
        network=NetworkDescription("conv_pool_structures", settings),
        preprocessing=Preprocessing(HounsfieldWindow(), 64, 6.0, channels=("CT", "late"), structures=("Lung",)),
    )
    write_bundle(tmp_path / "two", manifest, network, card="# Small\n", preview=PREVIEW_PNG)
    several = chest.replace(channels={"late": chest.array[::-1] + 20.0}, masks={"Lung": chest.array < -500})
    asked = ReconstructRequest(tmp_path / "two", several, ("residual", "anomaly", "structures"), hardware=CPU)
    there, here = worker.reconstruct(asked), engine.reconstruct(asked)
    residuals, maps = {"residual", "residual late"}, {"anomaly", "anomaly CT", "anomaly late"}
    assert set(here.arrays) == residuals | maps | {"structure Lung", "field_of_view"}
    assert set(there.arrays) == set(here.arrays)
    for name, array in here.arrays.items():
        np.testing.assert_array_equal(there.arrays[name], array)


def test_both_forms_draw_the_same_slices(worker, engine, ct_bundle):
    asked = SynthesizeRequest(ct_bundle, count=5, seed=3, hardware=CPU)
    there, here = worker.synthesize(asked), engine.synthesize(asked)
    np.testing.assert_array_equal(there.images, here.images)
    assert (there.spacing_mm, there.window, there.provenance) == (here.spacing_mm, here.window, here.provenance)


def test_both_forms_refuse_in_the_same_words(worker, engine, ct_bundle, chest, tmp_path):
    mr = chest.replace(modality=Modality.MR)
    for asked in (ReconstructRequest(ct_bundle, mr), ReconstructRequest(tmp_path / "nothing", chest)):
        sentences = set()
        for form in (worker, engine):
            with pytest.raises(UserError) as refusal:
                form.reconstruct(asked)
            sentences.add(str(refusal.value))
        assert len(sentences) == 1


def test_both_forms_cancel_and_go_on(worker, engine, ct_bundle, chest):
    for form in (worker, engine):
        form.info()
        cancel = Cancel()
        with pytest.raises(Cancelled):
            form.reconstruct(ReconstructRequest(ct_bundle, chest), lambda _, c=cancel: c.request(), cancel)
        assert form.synthesize(SynthesizeRequest(ct_bundle, count=1)).images.shape == (1, 64, 64)


def test_a_bundle_may_be_named_from_the_current_folder(worker, ct_bundle, monkeypatch):
    monkeypatch.chdir(ct_bundle.parent)
    assert worker.synthesize(SynthesizeRequest(Path(ct_bundle.name), count=1)).images.shape == (1, 64, 64)
