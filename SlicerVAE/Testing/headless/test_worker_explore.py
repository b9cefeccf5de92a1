"""What a latent explorer asks of the engine, in both its forms: latents decoded, and those of a patient's slice."""

import dataclasses
import statistics
import time

import numpy as np
import pytest

from SlicerVAELib.core.engine import (
    DecodeRequest,
    Hardware,
    LatentPath,
    LatentsRequest,
    ReconstructRequest,
    SynthesizeRequest,
)
from SlicerVAELib.core.errors import UserError
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
    array = np.asarray(image.dataobj).transpose(2, 1, 0)[:24]
    return Volume(array, Geometry(array.shape, image.affine), Modality.CT, source=Source("chest"))


@pytest.fixture(scope="module")
def some_latents(ct_bundle) -> np.ndarray:
    from SlicerVAELib.core.bundle import load_network

    shape = load_network(ct_bundle).latent.shape
    return np.random.default_rng(0).standard_normal((3, *shape), dtype=np.float32)


def test_both_forms_decode_the_same_pictures_in_the_units_of_synthesis(worker, engine, ct_bundle, some_latents):
    asked = DecodeRequest(ct_bundle, some_latents, hardware=CPU)
    there, here = worker.decode(asked), engine.decode(asked)
    np.testing.assert_array_equal(there.images, here.images)
    assert (there.window, there.spacing_mm, there.provenance) == (here.window, here.spacing_mm, here.provenance)
    drawn = engine.synthesize(SynthesizeRequest(ct_bundle, count=1, hardware=CPU))
    assert (here.window, here.spacing_mm, here.images.shape[1:]) == (drawn.window, 6.0, drawn.images.shape[1:])
    assert len(here.images) == 3 and here.images.min() >= here.window[0] and here.images.max() <= here.window[1]


def test_the_latents_of_a_slice_decode_to_its_reconstruction(worker, engine, ct_bundle, chest):
    flat = chest.replace(source=dataclasses.replace(chest.source, name="flat"))
    reconstruction = engine.reconstruct(ReconstructRequest(ct_bundle, flat, outputs=("reconstruction",), hardware=CPU))
    places = reconstruction.slice_positions_mm[3], reconstruction.slice_positions_mm[9] + 0.1
    asked = LatentsRequest(ct_bundle, flat, places, hardware=CPU)
    there, here = worker.latents(asked), engine.latents(asked)
    np.testing.assert_array_equal(there.latents, here.latents)
    assert here.positions_mm == (reconstruction.slice_positions_mm[3], reconstruction.slice_positions_mm[9])
    decoded = engine.decode(DecodeRequest(ct_bundle, here.latents, hardware=CPU)).images
    seen = reconstruction.arrays["field_of_view"].any(axis=(1, 2))
    whole = reconstruction.arrays["reconstruction"][seen]
    # The volume's own slices are those of the model here, so that only interpolation within the plane lies between.
    for picture, index in zip(decoded, (3, 9), strict=True):
        assert abs(np.median(picture) - np.median(whole[index])) < 0.1 * (decoded.max() - decoded.min())


def test_a_path_leads_from_one_patient_to_the_other(engine, ct_bundle, some_latents):
    ends = engine.decode(DecodeRequest(ct_bundle, some_latents[:2], hardware=CPU)).images
    path = engine.decode(DecodeRequest(ct_bundle, some_latents[:2], LatentPath(4, "linear"), CPU))
    assert len(path.images) == 5
    np.testing.assert_allclose(path.images[[0, -1]], ends, atol=0.01)
    assert path.provenance.parameters["path"] == "linear, 4 steps between 2 latents"
    nearer = [np.abs(image - ends[1]).mean() for image in path.images]
    assert nearer == sorted(nearer, reverse=True)


def test_latents_that_do_not_fit_are_refused_in_one_sentence(worker, engine, ct_bundle, some_latents):
    broken = some_latents.copy()
    broken[0].flat[0] = np.nan
    for latents, reason in ((some_latents[:, :-1], "take those of this model"), (broken, "not numbers")):
        for form in (worker, engine):
            with pytest.raises(UserError, match=reason):
                form.decode(DecodeRequest(ct_bundle, latents, hardware=CPU))


def test_a_warm_worker_answers_while_the_slider_moves(worker, ct_bundle, some_latents):
    asked = DecodeRequest(ct_bundle, some_latents[:1], hardware=CPU)
    worker.decode(asked)
    seconds = []
    for _ in range(20):
        began = time.monotonic()
        worker.decode(asked)
        seconds.append(time.monotonic() - began)
    assert min(seconds) < 0.05, statistics.median(seconds)
