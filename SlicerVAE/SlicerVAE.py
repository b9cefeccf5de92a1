"""The Slicer module: wiring between Slicer, the panel and the scene logic of SlicerVAELib.

Slicer imports this file at every start. Whatever is not needed to list the module is imported when it is used.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from SlicerVAELib.panel.parameters import SlicerVAEParameterNode
    from SlicerVAELib.panel.section import SectionName


class SlicerVAE(ScriptedLoadableModule):
    """What Slicer shows of the module before it is opened."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("SlicerVAE")
        parent.categories = [translate("qSlicerAbstractCoreModule", "Quantification")]
        parent.dependencies = []
        parent.contributors = ["The SlicerVAE authors"]
        parent.helpText = _(
            "Reconstructs CT and MR volumes with a variational autoencoder, maps what the model can't explain, and "
            "draws synthetic slices. The maps are a research tool: they do not tell normal from abnormal. "
            'See the <a href="https://github.com/SlicerVAE/SlicerVAE/blob/main/docs/user-guide.md">user guide</a>.'
        )
        parent.acknowledgementText = _("SlicerVAE is free software under the Apache License 2.0.")


class SlicerVAEWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The panel: parameter node, frame, sections and worker, put together."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self._isToLook = False

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        from SlicerVAELib.panel.binding import ParameterBinding
        from SlicerVAELib.panel.frame import Frame
        from SlicerVAELib.panel.installation import SlicerPackages
        from SlicerVAELib.panel.section import Panel

        self.logic = SlicerVAELogic()
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SlicerVAE.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        self.sections: dict[str, Any] = {}
        packages = SlicerPackages(Path(self.resourcePath("requirements.txt")))
        self._frame = Frame(self.ui, self.loadSection)
        self._panel = Panel(makeRunner, packages, self._frame.draw_strip)
        self._binding = ParameterBinding(self._panel.show)
        self._frame.listen(self._panel)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onSceneChanged)
        # What a scene file refers to is there only now, and nobody tells the parameter node.
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndImportEvent, self.onSceneChanged)
        self.initializeParameterNode()
        self._lookSoon()

    def loadSection(self, name: "SectionName") -> Any:
        """Put a section's .ui under its header, and return its named children as attributes."""
        uiWidget = slicer.util.loadUI(self.resourcePath(f"UI/{name.ui_file}"))
        getattr(self.ui, name.header).layout().addWidget(uiWidget)
        ui = self.sections[name.key] = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self._binding.add(ui)
        return ui

    def cleanup(self) -> None:
        """Called when the application closes and before the module is reloaded."""
        self.removeObservers()
        if self.logic is not None:
            self._binding.show(None)
            self._frame.close()
            self._panel.close()
            self.logic.close()
            self.logic = None

    def enter(self) -> None:
        """Called each time the person opens the module."""
        if self._binding.is_empty:  # setup fills it, too
            self.initializeParameterNode()
        self._lookSoon()

    def _lookSoon(self) -> None:
        """Look at packages and model once the panel is on the screen."""
        import qt

        if not self._isToLook:
            self._isToLook = True
            qt.QTimer.singleShot(0, self._look)

    def _look(self) -> None:
        self._isToLook = False
        if self.logic is not None:  # which cleanup lets go
            self._panel.look_again()

    def exit(self) -> None:
        """Called each time the person opens another module; a run goes on."""
        self._binding.show(None)

    def onReload(self) -> None:
        """Reload the library too: Slicer itself reloads only this file."""
        import sys

        for name in [name for name in sys.modules if name.partition(".")[0] == "SlicerVAELib"]:
            del sys.modules[name]
        ScriptedLoadableModuleWidget.onReload(self)

    def onSceneStartClose(self, *_) -> None:
        self._binding.show(None)
        self._panel.scene_closes()

    def onSceneChanged(self, *_) -> None:
        if self.parent.isEntered:
            self.initializeParameterNode()

    def initializeParameterNode(self) -> None:
        """Show the scene's parameter node, with the first image of the scene as the input if none is chosen."""
        node = self.logic.getParameterNode()
        if not node.inputVolume:
            volumes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
            images = (volume for volume in volumes if volume.GetClassName() == "vtkMRMLScalarVolumeNode")
            node.inputVolume = next(images, None)
        self._binding.show(node)


def makeRunner() -> Any:
    """Return what starts the model's process; imported when the person first runs something."""
    import qt

    from SlicerVAELib.panel.aside import WithAside
    from SlicerVAELib.panel.interpreter import worker_python
    from SlicerVAELib.panel.worker_process import WorkerProcess

    return WithAside(WorkerProcess(worker_python), lambda function: qt.QTimer.singleShot(0, function))


class SlicerVAELogic(ScriptedLoadableModuleLogic):
    """For scripts: everything goes to ``SlicerVAELib.scene.logic.SceneLogic``, whose methods wait for the result."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._scene: Any = None

    def getParameterNode(self) -> "SlicerVAEParameterNode":
        from SlicerVAELib.panel.parameters import SlicerVAEParameterNode

        return SlicerVAEParameterNode(super().getParameterNode())

    @property
    def scene(self) -> Any:
        """The scene logic, with a worker process that starts with the first request."""
        if self._scene is None:
            from SlicerVAELib.panel.interpreter import worker_python
            from SlicerVAELib.scene.logic import SceneLogic
            from SlicerVAELib.worker.client import WorkerEngine, worker_command

            self._scene = SceneLogic(WorkerEngine(worker_command(worker_python())))
        return self._scene

    def reconstruct(self, inputVolume, bundle, **options):
        """See ``SceneLogic.reconstruct``."""
        return self.scene.reconstruct(inputVolume, bundle, **options)

    def detectAnomalies(self, inputVolume, bundle, **options):
        """See ``SceneLogic.detectAnomalies``."""
        return self.scene.detectAnomalies(inputVolume, bundle, **options)

    def synthesize(self, bundle, **options):
        """See ``SceneLogic.synthesize``."""
        return self.scene.synthesize(bundle, **options)

    def exportToDICOM(self, outputs, folder, **options):
        """See ``SceneLogic.exportToDICOM``."""
        return self.scene.exportToDICOM(outputs, folder, **options)

    def rankSimilarPatients(self, inputVolume, library, structures=None, **options):
        """See ``SceneLogic.rankSimilarPatients``."""
        return self.scene.rankSimilarPatients(inputVolume, library, structures, **options)

    def loadSimilarPatient(self, ranking, pseudonym, key=None, **options):
        """See ``SceneLogic.loadSimilarPatient``."""
        return self.scene.loadSimilarPatient(ranking, pseudonym, key, **options)

    def dvhPlot(self, ranking, structures=(), **options):
        """See ``SceneLogic.dvhPlot``."""
        return self.scene.dvhPlot(ranking, structures, **options)

    def addToLibrary(self, inputVolume, library, segmentation=None, dose=None, plan=None, **options):
        """See ``SceneLogic.addToLibrary``."""
        return self.scene.addToLibrary(inputVolume, library, segmentation, dose, plan, **options)

    def close(self) -> None:
        """End the worker process, if one was started."""
        if self._scene is not None:
            self._scene.close()
            self._scene = None


class SlicerVAETest(ScriptedLoadableModuleTest):
    """A short check of the module in the application; Testing/Python holds the long ones."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        for name in [name for name in dir(self) if name.startswith("test_")]:
            self.setUp()
            getattr(self, name)()

    def test_parametersAreKeptInTheScene(self) -> None:
        from SlicerVAELib.panel.offers import Device

        SlicerVAELogic().getParameterNode().alarmLevel = 4.5
        SlicerVAELogic().getParameterNode().device = Device.CPU
        SlicerVAELogic().getParameterNode().structureChoices = {"Heart": "my heart"}
        self.assertEqual(SlicerVAELogic().getParameterNode().alarmLevel, 4.5)
        self.assertEqual(SlicerVAELogic().getParameterNode().device, Device.CPU)
        self.assertEqual(SlicerVAELogic().getParameterNode().structureChoices, {"Heart": "my heart"})

    def test_inputWithoutImageIsRefused(self) -> None:
        from SlicerVAELib.core.errors import UserError

        empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
        with self.assertRaisesRegex(UserError, "'empty' holds no image"):
            SlicerVAELogic().reconstruct(empty, "nowhere")

    def test_demonstrationPatientOpensWithoutPackages(self) -> None:
        from SlicerVAELib.scene.demonstration import load_demonstration_patient

        nodes = load_demonstration_patient()
        self.assertIn("phantom", nodes.volume.GetName())
        self.assertEqual(nodes.structures.GetSegmentation().GetNumberOfSegments(), 6)
        self.assertIsNotNone(nodes.maps.anomaly)

    def test_logicOnTheDemonstrationPatient(self) -> None:
        import importlib.util
        import tempfile

        from SlicerVAELib.scene.demonstration import load_demonstration_patient
        from SlicerVAELib.scene.resources import MODEL

        library = "rankSimilarPatients, loadSimilarPatient, dvhPlot and addToLibrary"
        self.delayDisplay(f"{library} are tested by Testing/Python/SlicerVAESelfTest.py, which makes a library.")
        if importlib.util.find_spec("torch") is None:
            skipped = "reconstruct, detectAnomalies, synthesize and exportToDICOM"
            self.delayDisplay(f"Skipped, because PyTorch is not installed: {skipped}.")
            return
        volume, logic = load_demonstration_patient().volume, SlicerVAELogic()
        try:
            self.assertEqual(len(logic.reconstruct(volume, MODEL).written), 2)
            self.assertIsNotNone(logic.detectAnomalies(volume, MODEL).anomaly)
            with tempfile.TemporaryDirectory() as folder:
                exported = logic.exportToDICOM(logic.synthesize(MODEL, count=2), Path(folder) / "synthetic")
                self.assertEqual(len(exported.files), 2)
        finally:
            logic.close()
