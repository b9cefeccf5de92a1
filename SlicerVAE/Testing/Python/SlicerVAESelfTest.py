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
HAS_LIBRARY = all(importlib.util.find_spec(name) is not None for name in ("sqlalchemy", "cryptography"))
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


def add_patient(patient_id: str, radius: int):
    """A cylinder of water that belongs to a patient of the subject hierarchy."""
    rows, columns = np.mgrid[:48, :48] - 24
    slices = np.where(rows**2 + columns**2 < radius**2, 40, -1000).astype(np.int16)[None].repeat(8, axis=0)
    node = slicer.util.addVolumeFromArray(slices, np.diag([-8.0, -8.0, 5.0, 1.0]), f"CT of {patient_id}")
    tree = slicer.mrmlScene.GetSubjectHierarchyNode()
    patient = tree.CreateSubjectItem(tree.GetSceneItemID(), "somebody")
    tree.SetItemUID(patient, "DICOM", patient_id)
    series = tree.CreateItem(tree.CreateStudyItem(patient, "planning"), node)
    tree.SetItemUID(series, "DICOM", f"1.2.3.{radius}")
    tree.SetItemAttribute(series, "DICOM.Modality", "CT")
    return node


def volume_names() -> list[str]:
    return sorted(node.GetName() for node in slicer.util.getNodesByClass("vtkMRMLVolumeNode"))


def is_shown(widget) -> bool:
    """Whether a widget would be seen if its module were."""
    return widget.isVisibleTo(widget.parent())


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
        self.show(slicer.util.getModuleWidget("SlicerVAE"))

    def show(self, widget) -> None:
        """Open every section of the panel."""
        self.widget, self.ui = widget, widget.ui
        widget.enter()
        for key in ("model", "input", "reconstruct", "anomalies", "batch"):
            getattr(self.ui, f"{key}Section").collapsed = False
        self.model, self.input = widget.sections["model"], widget.sections["input"]
        self.reconstruct, self.anomalies = widget.sections["reconstruct"], widget.sections["anomalies"]

    def choose(self, node) -> None:
        """Choose the model and an input, and accept what is doubtful about them."""
        self.model.modelPathEdit.currentPath = str(self.bundle)
        self.input.inputSelector.setCurrentNode(node)
        slicer.app.processEvents()
        if is_shown(self.ui.overrideCheckBox) and not self.ui.overrideCheckBox.checked:
            self.ui.overrideCheckBox.click()

    def wait_until_done(self) -> str:
        self.assertTrue(process_events_until(lambda: not is_shown(self.ui.cancelButton)))
        return self.ui.statusLabel.text

    def test_sections_are_loaded_when_they_are_expanded(self) -> None:
        self.assertEqual(set(self.widget.sections) & {"model", "batch"}, {"model", "batch"})
        self.assertGreater(self.anomalies.methodComboBox.count, 5)
        self.assertFalse(self.reconstruct.reconstructButton.enabled)

    def test_choices_are_saved_with_the_scene(self) -> None:
        node = add_thorax()
        self.input.inputSelector.setCurrentNode(node)
        self.anomalies.alarmLevelSlider.value = 7.5
        file = self.folder / "scene.mrb"
        slicer.util.saveScene(str(file))
        slicer.mrmlScene.Clear()
        self.assertEqual(self.anomalies.alarmLevelSlider.value, 3.0)
        slicer.util.loadScene(str(file))
        self.assertEqual(self.anomalies.alarmLevelSlider.value, 7.5)
        self.assertEqual(self.input.inputSelector.currentNode().GetName(), "thorax")

    def test_orientation_is_told(self) -> None:
        self.input.inputSelector.setCurrentNode(add_thorax())
        self.assertIn("axial; columns to L, rows to P, slices to S", self.input.orientationLabel.text)

    def test_a_dose_is_refused(self) -> None:
        node = add_thorax()
        node.SetAttribute("DicomRtImport.DoseVolume", "1")
        self.choose(node)
        self.assertFalse(self.reconstruct.reconstructButton.enabled)

    @unittest.skipIf(HAS_TORCH, "PyTorch is installed")
    def test_without_torch_the_panel_offers_to_install_it(self) -> None:
        self.choose(add_thorax())
        self.assertFalse(self.reconstruct.reconstructButton.enabled)
        self.assertTrue(is_shown(self.model.installButton))

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_reconstruct(self) -> None:
        node = add_thorax()
        before = slicer.util.arrayFromVolume(node).copy()
        self.choose(node)
        self.assertIn("selftest", self.model.cardLabel.text)
        self.assertTrue(self.reconstruct.reconstructButton.enabled, self.reconstruct.reconstructButton.toolTip)
        self.reconstruct.reconstructButton.click()
        self.reconstruct.reconstructButton.click()
        self.assertIn("Done in", self.wait_until_done())
        self.assertEqual(volume_names(), ["thorax", "thorax reconstruction", "thorax residual"])
        self.assertTrue(np.array_equal(slicer.util.arrayFromVolume(node), before))
        tree = slicer.mrmlScene.GetSubjectHierarchyNode()
        parents = {
            tree.GetItemParent(tree.GetItemByDataNode(volume))
            for volume in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        }
        self.assertEqual(len(parents), 1)
        self.assertIs(self.input.inputSelector.currentNode(), node)
        self.reconstruct.sideBySideButton.click()
        self.reconstruct.residualButton.click()

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_anomalies(self) -> None:
        self.choose(add_thorax())
        self.anomalies.findButton.click()
        self.assertIn("Done in", self.wait_until_done())
        node = slicer.util.getNode("thorax anomaly")
        array = slicer.util.arrayFromVolume(node)
        self.anomalies.smallestRegionSpinBox.value = 0.0
        self.anomalies.alarmLevelSlider.value = 0.5 * float(array.max())
        self.assertGreater(self.anomalies.regionTable.rowCount, 0)
        self.anomalies.regionTable.cellClicked(0, 0)
        self.anomalies.chartButton.click()
        self.anomalies.alarmLevelSlider.value = self.anomalies.alarmLevelSlider.maximum
        self.assertIn("does not mean that the image is normal", self.anomalies.summaryLabel.text)

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_batch_of_the_scene(self) -> None:
        self.choose(add_thorax())
        batch = self.widget.sections["batch"]
        batch.batchSourceComboBox.setCurrentIndex(1)
        batch.batchOutputEdit.currentPath = str(self.folder / "batch")
        batch.batchWarningsCheckBox.checked = True
        batch.batchButton.click()
        self.assertIn("1 of 1", self.wait_until_done())
        self.assertTrue((self.folder / "batch" / "thorax" / "result.json").is_file())

    def test_similar_patients_open_without_their_packages(self) -> None:
        self.ui.similarSection.collapsed = False
        similar = self.widget.sections["similar"]
        self.assertFalse(similar.findSimilarButton.enabled)
        self.assertNotEqual(is_shown(similar.installButton), HAS_LIBRARY)

    @unittest.skipUnless(HAS_TORCH and HAS_LIBRARY, "needs PyTorch, SQLAlchemy and cryptography in Slicer's Python")
    def test_similar_patients(self) -> None:
        from SlicerVAELib.panel.sections.similar import SimilarSection

        self.ui.similarSection.collapsed = False
        similar = self.widget.sections["similar"]
        # What a person answers to the dialogs.
        SimilarSection.agrees = lambda *_: True
        SimilarSection.ask_reason = lambda *_: "self test"
        (section,) = (each for each in self.widget._panel._sections if isinstance(each, SimilarSection))
        similar.siteKeyEdit.currentPath = str(self.folder / "keys" / "site.key")
        self.choose(add_patient("4711", 20))
        section.presenter.create_library(self.folder / "library.sqlite")
        self.assertIn("back the key up", self.wait_until_done())
        self.assertTrue(process_events_until(lambda: similar.addButton.enabled), similar.addButton.toolTip)
        similar.addButton.click()
        self.assertIn("Added as P-", self.wait_until_done())
        self.assertTrue(process_events_until(lambda: "Patients: 1" in similar.libraryNoteLabel.text))
        self.choose(add_patient("4712", 16))
        similar.findSimilarButton.click()
        self.assertIn("Found 1 patient", self.wait_until_done())
        self.assertEqual(similar.patientTable.rowCount, 1)
        self.assertTrue(similar.patientTable.item(0, 0).text().startswith("P-"))
        similar.patientTable.setCurrentCell(0, 0)
        similar.revealButton.click()
        self.assertIn("log", self.wait_until_done())
        self.assertIn("4711", similar.identityLabel.text)

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_cancel(self) -> None:
        self.choose(add_thorax(LONG))
        self.reconstruct.reconstructButton.click()
        progress = self.ui.progressBar
        self.assertTrue(process_events_until(lambda: progress.maximum > 0 and progress.value > 150))
        began = time.monotonic()
        self.ui.cancelButton.click()
        self.assertIn("Cancelled", self.wait_until_done())
        self.assertLess(time.monotonic() - began, 1.5)
        self.assertEqual(volume_names(), ["thorax"])

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_scene_closed_during_a_run(self) -> None:
        self.choose(add_thorax(LONG))
        self.reconstruct.reconstructButton.click()
        process_events_until(lambda: self.ui.progressBar.maximum > 0)
        slicer.mrmlScene.Clear()
        self.wait_until_done()
        self.assertEqual(volume_names(), [])

    @unittest.skipUnless(HAS_TORCH, "needs PyTorch in Slicer's Python")
    def test_reload(self) -> None:
        self.choose(add_thorax())
        self.reconstruct.reconstructButton.click()
        self.widget.onReload()
        self.show(slicer.util.getModuleWidget("SlicerVAE"))
        self.choose(slicer.util.getNode("thorax"))
        self.reconstruct.reconstructButton.click()
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
