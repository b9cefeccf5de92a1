"""A calibrated anomaly map in the scene: signed colours, clear where nothing was seen, the patient's p-value."""

import shutil

import numpy as np
import pytest

pytest.importorskip("slicer", reason="the scene needs the package slicer-core")
pytest.importorskip("torch")

import slicer.util
from vtk.util.numpy_support import vtk_to_numpy

from SlicerVAELib.core.calibration import CalibratedMap, Calibration, MethodCalibration, write_calibration
from SlicerVAELib.core.healthy import PLACES, HealthyDistribution
from SlicerVAELib.core.healthy_scales import HealthyScales
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.provenance import ANOMALY_UNIT, PATIENT_P_VALUE


@pytest.fixture
def narrow(make_bundle):
    return make_bundle("narrow", spacing_mm=4.0)


@pytest.fixture
def calibrated(narrow, tmp_path):
    bundle = tmp_path / "calibrated"
    shutil.copytree(narrow, bundle)
    healthy = HealthyDistribution(
        np.empty(0, np.float32), np.zeros((PLACES, 1), np.float32), np.ones((PLACES, 1), np.float32)
    )
    record = CalibratedMap("signed-residual", 2.0, ("anomaly",), 20, tuple(float(n) for n in range(19)))
    made = Calibration((MethodCalibration(record, {"anomaly": HealthyScales((healthy,))}),), 0.05)
    write_calibration(bundle, made, "2026-01-01T00:00:00+00:00", "SlicerVAE")
    return bundle


def test_a_calibrated_map_is_shown_as_what_it_is_and_what_was_not_seen_is_clear(engine, chest_ct, narrow, calibrated):
    logic = SceneLogic(engine)
    node = logic.detectAnomalies(chest_ct, narrow).anomaly
    assert node.GetAttribute(PATIENT_P_VALUE) is None
    nodes = logic.detectAnomalies(chest_ct, calibrated, anomalyVolume=node)
    assert nodes.anomaly is node
    assert node.GetAttribute(ANOMALY_UNIT) == "healthy z-score"
    assert 0.05 <= float(node.GetAttribute(PATIENT_P_VALUE)) <= 1
    display = node.GetDisplayNode()
    assert display.GetWindowLevelMin() == -display.GetWindowLevelMax() < 0
    assert display.GetColorNode().GetName() == "SlicerVAE residual"
    display.UpdateImageDataPipeline()
    connection = display.GetImageDataConnection()
    connection.GetProducer().Update()
    drawn = vtk_to_numpy(
        connection.GetProducer().GetOutputDataObject(connection.GetIndex()).GetPointData().GetScalars()
    )
    array = slicer.util.arrayFromVolume(node)
    assert array[array > -1000].min() < 0
    clear = drawn.reshape(*array.shape, -1)[..., 3] == 0
    np.testing.assert_array_equal(clear, array == -1000)
    np.testing.assert_array_equal(clear, slicer.util.arrayFromVolume(nodes.field_of_view) == 0)
