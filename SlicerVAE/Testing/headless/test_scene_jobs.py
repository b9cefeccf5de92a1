"""What happens to a job when the person goes on working while the model computes."""

import subprocess
import sys

import numpy as np
import pytest
import slicer

from SlicerVAELib.core.errors import UserError
from SlicerVAELib.scene.jobs import prepare_maps, prepare_synthesis


@pytest.fixture
def ct(add_volume):
    array = np.random.default_rng(0).integers(-1000, 600, (6, 30, 40), dtype=np.int16)
    return add_volume(array, np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")


@pytest.fixture
def computed(ct, ct_bundle, engine, add_volume):
    """A prepared job, the engine's answer to it, and the node chosen for one of its outputs."""
    chosen = add_volume(np.zeros((2, 2, 2), np.float32), name="mine")
    job = prepare_maps(ct, ct_bundle, {"reconstruction": chosen, "anomaly": None})
    return job, engine.reconstruct(job.request), chosen


def ids_of(scene) -> list[str]:
    return [scene.GetNthNode(index).GetID() for index in range(scene.GetNumberOfNodes())]


def refuse(scene, job, result, sentence: str) -> None:
    before = ids_of(scene)
    with pytest.raises(UserError, match=sentence):
        job.publish(result)
    assert ids_of(scene) == before


def test_only_what_was_asked_for_is_made(computed):
    job, result, chosen = computed
    nodes = job.publish(result)
    assert nodes.reconstruction is chosen and nodes.anomaly is not None and nodes.residual is None


def test_input_deleted(scene, computed, ct):
    job, result, chosen = computed
    scene.RemoveNode(ct)
    refuse(scene, job, result, "'thorax' was removed while the model computed; nothing was written")
    assert slicer.util.arrayFromVolume(chosen).shape == (2, 2, 2)


def test_scene_closed(scene, computed):
    job, result, _ = computed
    scene.Clear(0)
    refuse(scene, job, result, "'thorax' was removed")


def test_another_patient_with_the_same_node_id(scene, computed, ct, add_volume):
    """A scene loaded meanwhile may reuse the input's id: the answer must not land on another patient."""
    job, result, _ = computed
    node_id = ct.GetID()
    scene.Clear(0)
    other = add_volume(np.zeros((6, 30, 40), np.int16), np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")
    assert other.GetID() == node_id
    refuse(scene, job, result, "'thorax' was removed")


def test_output_deleted(scene, computed):
    job, result, chosen = computed
    scene.RemoveNode(chosen)
    refuse(scene, job, result, "'mine' is no longer in the scene")


def test_voxels_edited(scene, computed, ct):
    job, result, _ = computed
    slicer.util.arrayFromVolume(ct)[0] = 0
    slicer.util.arrayFromVolumeModified(ct)
    refuse(scene, job, result, "'thorax' was edited.*apply again")


def test_voxels_replaced(scene, computed, ct):
    job, result, _ = computed
    slicer.util.updateVolumeFromArray(ct, np.zeros((7, 30, 40), np.int16))
    refuse(scene, job, result, "'thorax' was edited")


def test_spacing_changed(scene, computed, ct):
    job, result, _ = computed
    ct.SetSpacing(8.0, 8.0, 5.1)
    refuse(scene, job, result, "'thorax' was moved")


def test_put_under_a_transform(scene, computed, ct):
    job, result, _ = computed
    transform = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    transform.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(np.diag([-1.0, 1.0, 1.0, 1.0])))
    ct.SetAndObserveTransformNodeID(transform.GetID())
    refuse(scene, job, result, "'thorax' was moved")


def test_looking_at_the_input_is_no_edit(computed, ct):
    """Window, level, name and scalar range may change while the model computes."""
    job, result, _ = computed
    ct.GetDisplayNode().SetWindowLevel(200, 10)
    ct.GetDisplayNode().UpdateImageDataPipeline()
    ct.GetImageData().GetScalarRange()
    ct.SetName("renamed")
    ct.Modified()
    assert job.publish(result).anomaly is not None


def test_samples_need_no_input(scene, ct_bundle, engine, ct):
    job = prepare_synthesis(ct_bundle, 2, 1)
    result = engine.synthesize(job.request)
    scene.RemoveNode(ct)
    assert job.publish(result).GetImageData().GetDimensions() == (64, 64, 2)


def test_scene_code_never_imports_torch():
    """Slicer's own process reads and writes the scene without torch."""
    code = (
        "import slicer, sys; import SlicerVAELib.scene.logic, SlicerVAELib.panel.section, SlicerVAELib.worker.client;"
        "assert not {'torch', 'qt', 'safetensors'} & set(sys.modules)"
    )
    path = {"PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
