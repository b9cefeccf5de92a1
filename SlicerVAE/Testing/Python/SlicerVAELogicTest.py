"""Each function of the logic on the demonstration patient, with the real worker process, without a window or a network.

Slicer runs this as a self test, ``Testing/headless/test_self_tests.py`` on slicer-core.
"""

import importlib.util
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer
import slicer.util

from SlicerVAELib.core.engine import AnomalyOptions, DecodeRequest, LatentsRequest
from SlicerVAELib.core.errors import UserError
from SlicerVAELib.core.planes import range_mm
from SlicerVAELib.scene.demonstration import load_demonstration_patient
from SlicerVAELib.scene.logic import SceneLogic
from SlicerVAELib.scene.provenance import ANOMALY_UNIT, SYNTHETIC, provenance_of
from SlicerVAELib.scene.resources import MODEL
from SlicerVAELib.scene.volumes import volume_from_node
from SlicerVAELib.worker.client import WorkerEngine, worker_command

NO_TORCH = "PyTorch is not installed in Slicer's Python: reconstruct, detectAnomalies, synthesize and exportToDICOM"


@unittest.skipUnless(importlib.util.find_spec("torch"), NO_TORCH)
class SlicerVAELogicTest(unittest.TestCase):
    """One worker for all of them, a new scene for each."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.engine = WorkerEngine(worker_command(shutil.which("PythonSlicer") or sys.executable))
        cls.logic = SceneLogic(cls.engine)
        cls.folder = Path(tempfile.mkdtemp())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.logic.close()
        shutil.rmtree(cls.folder)

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        self.patient = load_demonstration_patient()
        self.volume = self.patient.volume

    def test_reconstruct(self) -> None:
        before = slicer.util.arrayFromVolume(self.volume).copy()
        made = self.logic.reconstruct(self.volume, MODEL)
        reconstruction = slicer.util.arrayFromVolume(made.reconstruction)
        residual = slicer.util.arrayFromVolume(made.residual)
        difference = before.clip(-800, 700) - reconstruction  # the model's window; the residual is taken in its space
        self.assertGreater(np.corrcoef(difference.ravel(), residual.ravel())[0, 1], 0.8)
        there = slicer.util.arrayFromVolume(self.patient.maps.reconstruction)
        np.testing.assert_allclose(reconstruction, there, atol=1.5)
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(self.volume), before)
        self.assertIn("demonstration", provenance_of(made.reconstruction).bundle_name)

    def test_reconstruct_into_chosen_nodes(self) -> None:
        first = self.logic.reconstruct(self.volume, MODEL)
        second = self.logic.reconstruct(
            self.volume, MODEL, outputVolume=first.reconstruction, residualVolume=first.residual
        )
        self.assertEqual(second.reconstruction.GetID(), first.reconstruction.GetID())

    def test_detect_anomalies(self) -> None:
        options = AnomalyOptions(body_erosion_mm=0.0)
        node = self.logic.detectAnomalies(self.volume, MODEL, options=options).anomaly
        array = slicer.util.arrayFromVolume(node)
        self.assertEqual(node.GetAttribute(ANOMALY_UNIT), "healthy z-score")
        cm3 = (array > 4.0).sum() * volume_from_node(self.volume).geometry.voxel_volume_cm3
        self.assertGreater(cm3, 20.0)  # a large effusion

    def test_synthesize(self) -> None:
        pictures = [slicer.util.arrayFromVolume(self.logic.synthesize(MODEL, 3, seed)) for seed in (7, 7, 8)]
        np.testing.assert_array_equal(pictures[0], pictures[1])
        self.assertFalse(np.array_equal(pictures[0], pictures[2]))
        node = self.logic.synthesize(MODEL, 1)
        self.assertEqual(node.GetAttribute(SYNTHETIC), "1")
        self.assertIn("synthetic", node.GetName())

    def test_export_to_dicom(self) -> None:
        exported = self.logic.exportToDICOM(self.logic.synthesize(MODEL, 2), self.folder / "synthetic")
        self.assertEqual(len(exported.files), 2)
        made = self.logic.reconstruct(self.volume, MODEL)
        with self.assertRaises(UserError):  # the phantom was not loaded from DICOM
            self.logic.exportToDICOM(made, self.folder / "reconstruction")
        self.assertFalse((self.folder / "reconstruction").exists())

    def test_encode_and_decode(self) -> None:
        volume = volume_from_node(self.volume)
        low, high = range_mm(volume.geometry, "axial")
        places = (low + 0.3 * (high - low), low + 0.7 * (high - low))
        latents = self.engine.latents(LatentsRequest(MODEL, volume, places)).latents
        pictures = self.engine.decode(DecodeRequest(MODEL, latents)).images
        self.assertEqual(len(pictures), 2)
        self.assertGreater(np.abs(pictures[0] - pictures[1]).mean(), 10.0)  # HU
        again = self.engine.decode(DecodeRequest(MODEL, latents[:1])).images
        np.testing.assert_allclose(again[0], pictures[0], atol=0.1)

    def test_a_patient_is_refused_by_the_demonstration_model(self) -> None:
        array = np.random.default_rng(0).integers(-1000, 600, (4, 48, 48)).astype(np.int16)
        node = slicer.util.addVolumeFromArray(array, np.diag([-8.0, -8.0, 5.0, 1.0]), "patient")
        names = {node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")}
        with self.assertRaisesRegex(UserError, "phantoms only"):
            self.logic.reconstruct(node, MODEL)
        self.assertEqual({node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode")}, names)
