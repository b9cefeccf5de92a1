"""The whole panel in the application: a model, a volume, Apply, Cancel, closing the scene, reloading the module.

Needs PyTorch in Slicer's Python; without it, only what the panel says then is tested.
"""

import importlib.util
import shutil
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

import numpy as np
import slicer

MODULE = Path(__file__).resolve().parents[2]
HAS_TORCH = importlib.util.find_spec("torch") is not None
LONG = 900  # slices: seconds of work, so that there is something to cancel

MAKE_BUNDLE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from Testing.headless.tiny_bundle import write_tiny_bundle
write_tiny_bundle(Path(sys.argv[2]), name="selftest")
"""


def process_events_until(condition, limit_s: float = 60.0) -> bool:
    """Let the application live until ``condition`` holds."""
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        slicer.app.processEvents()
        time.sleep(0.005)
    return bool(condition())


def add_thorax(slices: int = 8):
    array = np.random.default_rng(0).integers(-1000, 600, (slices, 48, 48)).astype(np.int16)
    return slicer.util.addVolumeFromArray(array, np.diag([-8.0, -8.0, 5.0, 1.0]), "thorax")


def volume_names() -> list[str]:
    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode"))


class SlicerVAESelfTest(unittest.TestCase):
    """Presses the panel's own buttons."""

    @classmethod
    def setUpClass(cls) -> None:
        cls.folder = Path(tempfile.mkdtemp())
        cls.bundle = cls.folder / "selftest"
        if HAS_TORCH:
            command = [shutil.which("PythonSlicer"), "-c", MAKE_BUNDLE, str(MODULE), str(cls.bundle)]
            subprocess.run(command, check=True, timeout=120)

    @classmethod
    def tearDownClass(cls) -> None:
        shutil.rmtree(cls.folder)

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()
        if slicer.util.mainWindow() is not None:
            slicer.util.selectModule("SlicerVAE")
        self.widget = slicer.util.getModuleWidget("SlicerVAE")
        self.widget.enter()
        self.ui = self.widget.ui

    def choose(self, node) -> None:
        self.ui.modelPathEdit.currentPath = str(self.bundle)
        self.ui.inputSelector.setCurrentNode(node)

    def wait_until_done(self) -> str:
        self.assertTrue(
            process_events_until(lambda: not self.ui.cancelButton.isVisibleTo(self.ui.cancelButton.parent()))
        )
        return self.ui.statusLabel.text

    @unittest.skipIf(HAS_TORCH, "PyTorch is installed")
    def test_without_torch_the_panel_offers_to_install_it(self) -> None:
        self.choose(add_thorax())
        self.assertFalse(self.ui.applyButton.enabled)
        self.assertTrue(self.ui.installButton.isVisibleTo(self.ui.installButton.parent()))

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_apply(self) -> None:
        node = add_thorax()
        before = slicer.util.arrayFromVolume(node).copy()
        self.choose(node)
        self.assertIn("selftest", self.ui.modelLabel.text)
        self.assertTrue(self.ui.applyButton.enabled, self.ui.applyButton.toolTip)
        self.ui.applyButton.click()
        self.ui.applyButton.click()
        self.assertIn("Done in", self.wait_until_done())
        self.assertEqual(volume_names(), ["thorax", "thorax anomaly", "thorax reconstruction", "thorax residual"])
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(node), before))
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        parents = {
            tree.GetItemParent(tree.GetItemByDataNode(volume))
            for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        }
        self.assertEqual(len(parents), 1)
        self.assertIs(self.ui.inputSelector.currentNode(), node)

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_samples(self) -> None:
        self.choose(None)
        self.ui.sampleCountSpinBox.value = 3
        self.ui.createSamplesButton.click()
        self.wait_until_done()
        self.assertEqual(volume_names(), ["selftest synthetic slices"])

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_cancel(self) -> None:
        self.choose(add_thorax(LONG))
        self.ui.applyButton.click()
        self.assertTrue(
            process_events_until(lambda: self.ui.progressBar.maximum > 0 and self.ui.progressBar.value > 150)
        )
        began = time.monotonic()
        self.ui.cancelButton.click()
        self.assertIn("Cancelled", self.wait_until_done())
        self.assertLess(time.monotonic() - began, 1.5)
        self.assertEqual(volume_names(), ["thorax"])

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_scene_closed_during_a_run(self) -> None:
        self.choose(add_thorax(LONG))
        self.ui.applyButton.click()
        process_events_until(lambda: self.ui.progressBar.maximum > 0)
        slicer.mrmlScene.Clear()
        self.wait_until_done()
        self.assertEqual(volume_names(), [])

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_reload(self) -> None:
        self.choose(add_thorax())
        self.ui.applyButton.click()
        self.widget.onReload()
        self.widget = slicer.util.getModuleWidget("SlicerVAE")
        self.ui = self.widget.ui
        self.choose(slicer.util.getNode("thorax"))
        self.ui.applyButton.click()
        self.assertIn("Done in", self.wait_until_done())

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_script_interface(self) -> None:
        from SlicerVAE import SlicerVAELogic

        logic = SlicerVAELogic()
        try:
            nodes = logic.reconstruct(add_thorax(), self.bundle)
        finally:
            logic.close()
        self.assertEqual(nodes.reconstruction.GetImageData().GetDimensions(), (48, 48, 8))
