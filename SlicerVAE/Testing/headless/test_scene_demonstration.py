"""What comes with the module: a small model that refuses patients, and a phantom patient to look at."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import slicer
import slicer.util

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.manifest import read_manifest
from SlicerVAELib.panel.demonstration import show_demonstration_patient
from SlicerVAELib.scene.demonstration import NAME, load_demonstration_patient
from SlicerVAELib.scene.provenance import ANOMALY_UNIT, KIND, provenance_of
from SlicerVAELib.scene.resources import MODEL, PATIENT
from SlicerVAELib.scene.volumes import volume_from_node
from Testing.headless.panel_helper import BlockingRunner, Packages, Parameters, make_panel

MODULE = Path(__file__).resolve().parents[2]


def test_model_and_patient_are_small_enough_for_the_package():
    assert sum(file.stat().st_size for file in MODEL.iterdir()) <= 8_000_000
    assert PATIENT.stat().st_size <= 4_000_000


def test_the_model_has_all_that_a_bundle_can_have():
    manifest = read_manifest(MODEL)
    assert manifest.declaration.is_demonstration and manifest.preprocessing.size == 128
    assert {"prior.json", "latents.json", "calibration.json"} <= set(manifest.files)


def test_the_patient_opens_without_torch_and_is_called_a_phantom_everywhere(scene):
    nodes = load_demonstration_patient()
    maps = nodes.maps.written
    for node in (nodes.volume, nodes.structures, nodes.dose, *maps):
        assert NAME in node.GetName()
    assert [node.GetAttribute(KIND) for node in maps[:2]] == ["reconstruction", "anomaly"]
    assert provenance_of(nodes.maps.anomaly).bundle_sha256 == read_manifest(MODEL).checksum
    assert nodes.maps.anomaly.GetAttribute(ANOMALY_UNIT) == "healthy z-score"
    assert nodes.structures.GetSegmentation().GetNumberOfSegments() == 6


def test_no_package_has_to_be_installed_to_see_it():
    code = """
        import sys, slicer
        sys.modules["torch"] = sys.modules["safetensors"] = None  # importing either fails
        slicer.mrmlScene = slicer.vtkMRMLScene()
        from SlicerVAELib.scene.demonstration import load_demonstration_patient
        print(load_demonstration_patient().maps.anomaly.GetName())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=MODULE, capture_output=True, text=True, check=False
    )
    assert NAME in done.stdout, done.stderr


def test_the_lesion_stands_out_in_the_map(scene):
    """The effusion is in the left or right pleural space: fluid where a healthy patient has lung."""
    nodes = load_demonstration_patient()
    anomaly = slicer.util.arrayFromVolume(nodes.maps.anomaly)
    found = (anomaly > 4.0).sum() * volume_from_node(nodes.volume).geometry.voxel_volume_cm3
    assert found > 20.0


def test_the_dose_is_never_taken_for_an_image(scene):
    from SlicerVAELib.core.volume import Modality

    assert volume_from_node(load_demonstration_patient().dose).modality is Modality.DOSE


def test_what_was_computed_beforehand_is_what_the_model_computes_now(scene, engine):
    from SlicerVAELib.core.engine import Hardware, ReconstructRequest

    nodes = load_demonstration_patient()
    volume = volume_from_node(nodes.volume)
    result = engine.reconstruct(ReconstructRequest(MODEL, volume, ("reconstruction",), hardware=Hardware("cpu")))
    there = slicer.util.arrayFromVolume(nodes.maps.reconstruction)
    np.testing.assert_allclose(there, result.arrays["reconstruction"], atol=1.5)
    assert "is a demonstration" in " ".join(result.notices)


def test_the_model_refuses_patients_until_it_is_overridden_which_it_tells(engine, scene, chest_ct):
    from SlicerVAELib.core.engine import Hardware, ReconstructRequest

    volume = volume_from_node(chest_ct)
    with pytest.raises(UserError, match="has seen phantoms only"):
        engine.reconstruct(ReconstructRequest(MODEL, volume, ("reconstruction",)))
    asked = ReconstructRequest(MODEL, volume, ("reconstruction",), hardware=Hardware("cpu"), override=True)
    told = engine.reconstruct(asked).provenance
    assert "override" in told.parameters and "mean nothing" in json.dumps(told.warnings)


def test_the_panel_shows_everything_at_once_without_any_package(scene, views):
    parameters = Parameters()
    panel = make_panel(BlockingRunner(None), parameters, Packages(("PyTorch",)))
    show_demonstration_patient(panel)
    assert parameters.modelPath == MODEL and parameters.inputVolume.GetName().startswith("CT")
    assert parameters.anomalyVolume is not None and parameters.reconstructionVolume is not None
    assert "phantom" in panel.runs.status.text and not panel.runs.status.is_error


def test_a_damaged_patient_leaves_the_scene_alone(scene, tmp_path):
    (tmp_path / "patient.npz").write_bytes(PATIENT.read_bytes()[:1000])
    with pytest.raises(UserError, match="install SlicerVAE again"):
        load_demonstration_patient(tmp_path / "patient.npz")
    assert slicer.util.getNodesByClass("vtkMRMLVolumeNode") == []
