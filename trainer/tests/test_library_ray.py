"""A folder of patients prepared as a Ray Data pipeline gives what one process gives; on a local Ray."""

import os

import numpy as np
import pytest

from slicervae.patient_library.patients import patients_in
from slicervae.patient_library.preparation import Settings
from slicervae.patient_library.runners import in_ray, one_after_another
from slicervae.phantom import write_cohort
from SlicerVAELib.core.engine import Hardware
from SlicerVAELib.core.progress import Cancel, ignore
from SlicerVAELib.core.volume import Modality
from Testing.headless.tiny_bundle import write_tiny_bundle

pytest.importorskip("ray", reason="the pipeline needs Ray")


def test_ray_gives_what_one_process_gives(tmp_path):
    write_cohort(tmp_path / "cohort", patients=2, seed=3, size=32, slices=10)
    for path in sorted((tmp_path / "cohort" / "PHANTOM-0002" / "CT").glob("*.dcm"))[2:6]:
        path.unlink()
    write_tiny_bundle(tmp_path / "bundle")
    settings = Settings(tmp_path / "bundle", str(tmp_path / "cohort"), Hardware(device="cpu"))
    patients = patients_in(tmp_path / "cohort", Modality.CT, ignore, Cancel())
    far = {outcome.patient_id: outcome for outcome in in_ray(patients, settings, Cancel(), workers=2)}
    near = {outcome.patient_id: outcome for outcome in one_after_another(patients, settings, Cancel())}
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert far.keys() == near.keys() == {"PHANTOM-0001", "PHANTOM-0002"}
    assert far["PHANTOM-0002"].complaint == near["PHANTOM-0002"].complaint != ""
    there, here = (outcomes["PHANTOM-0001"].prepared.record.series[0] for outcomes in (far, near))
    np.testing.assert_allclose(there.posteriors.mean, here.posteriors.mean, rtol=1e-4, atol=1e-5)
    assert there.facts.structures == here.facts.structures
